"""Whatever a person writes into a status, a token or a pod: no exception, and a sound status."""

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bayplan.api import names
from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.run_names import backfill_run, slot_run
from bayplan.model.pods import Phase
from bayplan.reconcile.batchjob import reconcile, status_entries, stored_status
from tests.jobs import PREFIX, START, World, make_job, make_run_pod, make_view

FIELDS = [
    "conditions", "observedGeneration", "nextSlotTime", "lastSlotTime", "scheduleHash",
    "scheduleSinceTime", "remainingRuns", "running", "active", "history", "statistics",
    "effectiveRequests", "handledTokens", "placement", "gaps", "backfill", "fulfilled", "consumed",
    "pausedUntil", "samples", "forgivenFailures",
]  # fmt: skip
RUN_FIELDS = [
    "run", "trigger", "slotTime", "since", "attempt", "failures", "disruptions", "retryTime",
    "startTime", "pods", "reason", "node", "outcome", "endTime", "type", "status", "message",
    "fromTime", "toTime", "left", "request", "arguments", "tasks", "count", "gang", "retries",
]  # fmt: skip
WORDS = st.sampled_from(
    [
        "True", "Ready", "Suspended", slot_run(START), slot_run(START + 3600), "r00000000",
        "Succeeded", "Missed", "RunNow", "2026-09-21T14:00:00Z", "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00", "2026-09-21T14:00:00", "", "x" * 300, "\ud800", "\x00",
        backfill_run(START - 3600), "1970-01-01T00:00:00Z", "2026-09-21T11:00:00Z", "Failed",
        "stop",
        "2026-09-21T01:00:00Z/2026-09-21T13:00:00Z",
    ]
)  # fmt: skip
NUMBERS = st.sampled_from([-1, 0, 1, 5, 10**9, 2**63, 10**40, True, 1.5, float("nan")])
LEAVES = st.one_of(WORDS, NUMBERS, st.none())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(RUN_FIELDS), inner, max_size=6)
    ),
    max_leaves=12,
)
STATUSES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
# One of them asks for a run at once: with Replace the second of two ends the first a look later.
NOTES = st.one_of(
    st.dictionaries(st.sampled_from([verb, names.BACKFILL, names.PAUSED_UNTIL]), WORDS)
    for verb in (names.RUN_NOW, names.RETRY)
)
SPECS: list[dict[str, Any]] = [
    {},
    {"schedule": "30 * * * *"},
    {"schedule": "R4/2026-09-21T14:00:00Z/PT10M", "concurrencyPolicy": "Allow"},
    {"schedule": "@hourly", "suspend": True, "concurrencyPolicy": "Replace"},
    {"schedule": "nonsense"},
]


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(STATUSES, st.sampled_from(SPECS), st.sampled_from([START, START + 7200, 0, 2**33]), NOTES)
@example(
    {"active": [{"run": slot_run(START), "attempt": 10**9, "since": "x"}]}, SPECS[1], START, {}
)
def test_any_stored_status_is_survived(
    status: Any, spec: dict[str, Any], now: int, notes: dict[str, str]
) -> None:
    """A status that a person edited raises nothing; what replaces it fits the schema."""
    job = make_job(status=status, annotations=notes, **spec)
    runs = slot_run(START), "r00000000", backfill_run(START - 3600)
    pods = {pod.key: pod for pod in map(make_run_pod, runs)}
    outcome = reconcile.reconcile(job, pods, make_view(job), now)

    if outcome.status is not None:
        BatchJobStatus.model_validate(outcome.status)
        again = make_job(status=outcome.status, annotations=notes, **spec)
        assert None is reconcile.reconcile(again, pods, make_view(job), now).status
    for task in outcome.tasks:
        assert len(task.name) <= 63


@given(STATUSES)
def test_what_was_read_is_written_and_read_alike(status: Any) -> None:
    """Reading what was written for a run gives that run."""
    for run in stored_status.read(status).active:
        [again] = stored_status.read({"active": [status_entries.wire_run(run)]}).active

        assert run == again


@pytest.mark.parametrize("token", ["", " ", "x" * 100_000, "\ud800", "\x00", "r00000000", "../.."])
def test_any_token_is_a_name(token: str) -> None:
    """A token is never part of a name or a message, only its hash is."""
    world = World({"schedule": "@yearly"}, annotations={names.RUN_NOW: token})
    world.settle()

    assert (1 if token else 0) == len(world.created)


@pytest.mark.parametrize(
    "name",
    ["other", f"{PREFIX}x-1", f"{PREFIX}{slot_run(START)}-x", f"{PREFIX}{slot_run(START)}", PREFIX],
)
def test_pods_with_other_names_are_left_alone(name: str) -> None:
    """A pod that somebody hung under the job is neither counted nor deleted."""
    job = make_job(schedule="@yearly")
    pod = make_run_pod("s1", name=name, phase=Phase.FAILED)
    outcome = reconcile.reconcile(job, {pod.key: pod}, make_view(job), START)

    assert ((), ()) == (outcome.deletes, outcome.releases)
    assert outcome.status is not None
    assert "statistics" not in outcome.status


def test_what_a_template_says_of_its_grace_may_be_anything() -> None:
    """A template is the user's; the API server judges it, not we."""
    for grace in (None, -1, "x", [], 1.5):
        template = {"spec": {"terminationGracePeriodSeconds": grace, "containers": [{"name": "a"}]}}
        job = make_job(template=template)

        assert 1 == len(reconcile.reconcile(job, {}, make_view(job), START).tasks)
