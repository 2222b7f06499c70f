"""Whether Karpenter leaves the nodes of a NodePool alone, so that Bayplan alone decides about them.

Source: kubernetes-sigs/karpenter v1.14.1, pkg/apis/v1/nodepool.go (budgets) and
pkg/controllers/disruption. Budget 0 stops emptiness, consolidation and drift; `consolidateAfter:
Never` stops the first two also where somebody edits the budgets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api.names import POOL
from bayplan.model.untyped import mapping, sequence

_NEVER = "Never"
_KARPENTERS_REASONS = frozenset({"Underutilized", "Empty", "Drifted"})
_ZERO = frozenset({"0", "0%", "00%"})


@dataclass(frozen=True, slots=True)
class Problem:
    """`reason` is a CamelCase word of a closed list; `message` names the field and the remedy."""

    reason: str
    message: str


def problem(node_pool: Mapping[str, Any], pool: str) -> Problem | None:
    """Why Bayplan may not buy through this NodePool, as stored, for this Pool; None if it may."""
    name = str(mapping(node_pool.get("metadata")).get("name") or "")
    spec = mapping(node_pool.get("spec"))
    return (
        _static(name, spec)
        or _consolidating(name, mapping(spec.get("disruption")))
        or _disrupting(name, mapping(spec.get("disruption")))
        or _unlabelled(name, mapping(spec.get("template")), pool)
        or _untainted(name, mapping(spec.get("template")), pool)
    )


def _static(name: str, spec: Mapping[str, Any]) -> Problem | None:
    if spec.get("replicas") is None:
        return None
    return Problem(
        "NodePoolStatic",
        f"NodePool {name} has spec.replicas: Karpenter itself keeps that number of nodes and "
        "deletes what is beyond it. Name a NodePool without replicas.",
    )


def _consolidating(name: str, disruption: Mapping[str, Any]) -> Problem | None:
    after = disruption.get("consolidateAfter", "0s")
    if after == _NEVER:
        return None
    return Problem(
        "NodePoolConsolidates",
        f"NodePool {name} lets Karpenter consolidate (spec.disruption.consolidateAfter is "
        f"{str(after)[:40]}). Set it to Never, so that Bayplan alone decides which nodes go.",
    )


def _disrupting(name: str, disruption: Mapping[str, Any]) -> Problem | None:
    stopped: set[str] = set()
    for one in map(mapping, sequence(disruption.get("budgets"))):
        if one.get("schedule") is None and str(one.get("nodes")) in _ZERO:
            reasons = one.get("reasons")
            stopped |= _KARPENTERS_REASONS if reasons is None else set(map(str, sequence(reasons)))
    left = sorted(_KARPENTERS_REASONS - stopped)
    if not left:
        return None
    return Problem(
        "NodePoolDisrupts",
        f"NodePool {name} lets Karpenter replace nodes ({', '.join(left)}). Set "
        'spec.disruption.budgets to [{nodes: "0"}], without a schedule and without reasons.',
    )


def _unlabelled(name: str, template: Mapping[str, Any], pool: str) -> Problem | None:
    label = mapping(mapping(template.get("metadata")).get("labels")).get(POOL)
    if label == pool:
        return None
    found = "lacks the label" if label is None else f"names the Pool {str(label)[:63]} in the label"
    return Problem(
        "LabelMissing",
        f"NodePool {name} {found} {POOL}. Set spec.template.metadata.labels to "
        f'{{"{POOL}": {pool}}}, so that its nodes are known as nodes of this Pool.',
    )


def _untainted(name: str, template: Mapping[str, Any], pool: str) -> Problem | None:
    wanted = {"key": POOL, "value": pool, "effect": "NoSchedule"}
    taints = map(mapping, sequence(mapping(template.get("spec")).get("taints")))
    if any(all(taint.get(key) == value for key, value in wanted.items()) for taint in taints):
        return None
    return Problem(
        "TaintMissing",
        f"NodePool {name} lacks the taint {POOL}={pool}:NoSchedule. Add it to "
        "spec.template.spec.taints, so that nobody else fills nodes that Bayplan has planned.",
    )
