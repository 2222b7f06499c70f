"""Whatever a person writes into a status or an annotation: no exception, no crowd of instances."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bayplan.api import names
from bayplan.api.longservice_status import LongServiceStatus
from bayplan.reconcile.longservice import reconcile
from tests.builders import NOON
from tests.services import make_service, running

CRDS = Path(__file__).parents[4] / "crds"
LIMIT_BYTES = 60_000  # what client-side `kubectl apply` can keep in an annotation, with room

FIELDS = sorted(field.alias or name for name, field in LongServiceStatus.model_fields.items())
PART_FIELDS = [
    "revision", "step", "stepReachedTime", "handledPromote", "healthy", "outdated", "waitingSince",
    "progressTime", "failures", "retryTime", "failureTime", "reason", "message", "time", "pod",
    "node", "exitCode", "type", "status", "lastTransitionTime", "observedGeneration",
]  # fmt: skip
WORDS = st.sampled_from(
    [
        "True", "Ready", "Progressing", "web-1", "x", "2026-09-21T14:00:00Z", "", "x" * 300,
        "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-09-21T14:00:00",
        "\ud800", "\x00",
    ]
)  # fmt: skip
NUMBERS = st.sampled_from([-1, 0, 1, 5, 10**9, 2**63, 10**40, True, 1.5, float("nan")])
VALUES = st.recursive(
    st.one_of(WORDS, NUMBERS, st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(PART_FIELDS), inner, max_size=6),
    ),
    max_leaves=12,
)
STATUSES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
SPECS: list[dict[str, Any]] = [
    {},
    {"replicas": 0},
    {"updateStrategy": {"steps": [{"percent": 10, "manual": True}]}, "image": "web:2"},
    {"updateStrategy": {"paused": True}},
    {"replicas": "nonsense"},
]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(STATUSES, st.sampled_from(SPECS), st.sampled_from([NOON, NOON + 7200, 0, 2**33]))
@example({"rollout": {"revision": "x", "step": 10**9, "progressTime": "x"}}, SPECS[2], NOON)
def test_any_stored_status_is_survived(status: Any, spec: dict[str, Any], now: int) -> None:
    """A status that a person edited raises nothing, and asks for no instance beyond the surge."""
    world = running(2)
    service = make_service(status=status, annotations={names.PROMOTE: "x"}, **spec)
    outcome = reconcile.reconcile(service, world.visible(), world.view(), now)

    assert 4 >= len(world.visible()) + len(outcome.tasks)  # 3 replicas, one more at most


@pytest.mark.parametrize("verb", [names.PROMOTE, names.ROLLBACK_TO, names.RESTARTED_AT])
@pytest.mark.parametrize("token", ["", " ", "x" * 100_000, "\ud800", "\x00", "../.."])
def test_any_token_is_survived(verb: str, token: str) -> None:
    """What stands behind a verb raises nothing, and the status fits the schema."""
    world = running(2)
    service = make_service(replicas=2, annotations={verb: token})
    outcome = reconcile.reconcile(service, world.visible(), world.view(), NOON)

    if outcome.status is not None:
        LongServiceStatus.model_validate(outcome.status)


@pytest.mark.parametrize("path", sorted(CRDS.glob("*.yaml")), ids=lambda path: path.name)
def test_a_crd_fits_client_side_apply(path: Path) -> None:
    """Each CRD stays below 60 KB as JSON."""
    assert LIMIT_BYTES > len(json.dumps(yaml.safe_load(path.read_text())))
