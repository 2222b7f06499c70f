"""Bayplan buys only through NodePools whose nodes Karpenter leaves alone."""

import copy
from typing import Any

import pytest

from bayplan.reconcile.pool import quiet

TAINT = {"key": "bayplan.dev/pool", "value": "b", "effect": "NoSchedule"}
QUIET: dict[str, Any] = {
    "metadata": {"name": "batch"},
    "spec": {
        "disruption": {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]},
        "template": {
            "metadata": {"labels": {"bayplan.dev/pool": "b"}},
            "spec": {"taints": [{"key": "other", "effect": "NoExecute"}, TAINT]},
        },
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The quiet NodePool with another value (None: without one) at a path of its spec."""
    body = copy.deepcopy(QUIET)
    place = body["spec"]
    *parents, last = path.split(".")
    for key in parents:
        place = place[key]
    place[last] = value
    if value is None:
        del place[last]
    return body


def test_a_quiet_node_pool() -> None:
    """Never, budget 0, our label and our taint: nobody else decides about these nodes."""
    assert quiet.problem(QUIET, "b") is None


@pytest.mark.parametrize(
    "budgets",
    [
        [{"nodes": "0%"}],
        [{"nodes": "10%"}, {"nodes": "0"}],
        [
            {"nodes": "0", "reasons": ["Empty", "Drifted"]},
            {"nodes": "5", "reasons": []},
            {"nodes": "0%", "reasons": ["Underutilized"]},
        ],
    ],
)
def test_budgets_that_stop_everything(budgets: list[Any]) -> None:
    """The most restrictive budget holds, and reasons may be split over several."""
    assert quiet.problem(changed("disruption.budgets", budgets), "b") is None


@pytest.mark.parametrize(
    ("path", "value", "reason", "words"),
    [
        ("disruption.consolidateAfter", "30s", "NodePoolConsolidates", "consolidateAfter is 30s"),
        ("disruption.consolidateAfter", None, "NodePoolConsolidates", "is 0s). Set it to Never"),
        ("disruption.budgets", None, "NodePoolDisrupts", "Drifted, Empty, Underutilized"),
        ("disruption.budgets", [{"nodes": "1"}], "NodePoolDisrupts", "Drifted, Empty"),
        (
            "disruption.budgets",
            [{"nodes": "0", "reasons": ["Empty", "Underutilized"]}],
            "NodePoolDisrupts",
            "(Drifted)",
        ),
        (
            "disruption.budgets",
            [{"nodes": "0", "schedule": "@daily", "duration": "8h"}],
            "NodePoolDisrupts",
            "without a schedule",
        ),
        ("disruption", None, "NodePoolConsolidates", "is 0s"),
        ("replicas", 3, "NodePoolStatic", "spec.replicas"),
        ("template.metadata", None, "LabelMissing", "lacks the label bayplan.dev/pool"),
        (
            "template.metadata.labels",
            {"bayplan.dev/pool": "other"},
            "LabelMissing",
            "names the Pool other",
        ),
        ("template.spec.taints", [{**TAINT, "value": "x"}], "TaintMissing", "=b:NoSchedule"),
        ("template.spec.taints", [{**TAINT, "effect": "NoExecute"}], "TaintMissing", "Add it"),
        ("template.spec.taints", "nonsense", "TaintMissing", "spec.template.spec.taints"),
    ],
)
def test_two_deciders(path: str, value: Any, reason: str, words: str) -> None:
    """The problem names the NodePool, the field and the remedy."""
    found = quiet.problem(changed(path, value), "b")

    assert found is not None
    assert reason == found.reason
    assert "NodePool batch" in found.message
    assert words in found.message


@pytest.mark.parametrize("body", [{}, {"spec": None}, {"metadata": 3, "spec": {"disruption": []}}])
def test_hostile_objects_are_not_quiet(body: dict[str, Any]) -> None:
    """What cannot be read is a problem, and no exception."""
    assert quiet.problem(body, "b") is not None
