"""A status in which a person or another version wrote one value: the rest of it still counts."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import pytest

from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.longservice_status import LongServiceStatus
from bayplan.api.resource import Resource
from bayplan.model.intents import Outcome
from bayplan.reconcile import defect
from bayplan.reconcile.batchjob import parent_summaries, reconcile, stored_status
from bayplan.reconcile.longservice import reconcile as reconcile_
from tests import jobs
from tests.services import running
from tests.statuses import Body, job_status, service_status

FAR = "9999-12-31T23:59:59-14:00"  # text that the server takes for a time, and no year has
LAST = "9999-12-31T23:59:59Z"
OLD = "0001-01-01T00:00:00+14:00"
OTHERS = (FAR, LAST, OLD, "", "x" * 300, -1, 2**63 - 1, True, None, [], [{}])

# What a look writes again as it was stored, until there is news of it.
KEPT = {"history", "placement", "effectiveRequests", "lastFailure", "badRevisions"}
READ_FROM = {
    "lastSlotTime": "last_slot",
    "lastRunTime": "last_run",
    "scheduleHash": "schedule_hash",
    "scheduleSinceTime": "since",
    "active": "active",
    "history": "history",
    "statistics": "statistics",
    "handledTokens": "handled",
    "forgivenFailures": "forgiven",
    "fulfilled": "fulfilled",
    "consumed": "consumed",
    "pausedUntil": "paused_until",
    "gaps": "gaps",
    "backfill": "backfill",
}

Path = tuple[str | int, ...]


def paths(value: object, path: Path = ()) -> Iterator[Path]:
    """The way to each value in it; of a list to the first two."""
    if path:
        yield path
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:2]):
            yield from paths(inner, (*path, index))


def changed(at: Any, path: Path, value: object) -> Any:
    """The same with another value at the end of this way."""
    if not path:
        return value
    copied = copy.copy(at)
    copied[path[0]] = changed(at[path[0]], path[1:], value)
    return copied


def edits(status: Body) -> Iterator[tuple[Path, Body]]:
    for path in paths(status):
        for value in OTHERS:
            yield path, changed(status, path, value)


def test_any_value_of_a_jobs_status_may_be_another() -> None:
    """Nothing is raised, what is written instead fits the schema, and nothing else was lost."""
    job = jobs.make_job(schedule="@hourly", tasks=8, created_at=jobs.START - 86_400)
    now, view = jobs.START + 100, jobs.make_view(job)
    status = job_status(jobs.START, job.template_hash)
    sound = stored_status.read(status)
    pods = {pod.key: pod for pod in (jobs.make_run_pod(run.id) for run in sound.active)}

    def look(edited: Body) -> Outcome:
        resource = replace(job, status=edited)
        parent_summaries.summary(resource)
        defect.status(resource, ValueError(), 60, now)
        return reconcile.reconcile(resource, pods, view, now)

    assert look(status).status is not None
    for path, edited in edits(status):
        written = look(edited).status
        if written is not None and path[0] not in KEPT:
            BatchJobStatus.model_validate(written)
        read = stored_status.read(edited)
        names = (one.name for one in fields(read))
        other = {name for name in names if getattr(read, name) != getattr(sound, name)}

        assert other <= {READ_FROM.get(str(path[0]), "")}, path
        if path[0] == "active" and len(path) > 1:
            lost = {run.id for run in sound.active} - {run.id for run in read.active}
            assert len(lost) <= 1, path


def test_any_value_of_a_services_status_may_be_another() -> None:
    """Nothing is raised, and what is written instead fits the schema."""
    world = running(5)
    world.edit(
        image="web:2",
        updateStrategy={"steps": [{"percent": 20, "pauseSeconds": 100}]},
        rebalance={"maxMovesPerHour": 2},
        placement={"constraints": [{"key": "zone", "operator": "Is", "value": "z"}]},
    )
    world.act()
    world.hear()
    stored = world.service.status
    status = service_status(world.now, stored["currentRevision"], stored["updateRevision"])
    view, pods = world.view(), world.visible()

    def look(service: Resource) -> Outcome:
        defect.status(service, ValueError(), 60, world.now)
        return reconcile_.reconcile(service, pods, view, world.now)

    for path, edited in edits(status):
        written = look(replace(world.service, status=edited)).status
        if written is not None and path[0] not in KEPT:
            LongServiceStatus.model_validate(written)


@pytest.mark.parametrize("time", [FAR, OLD, LAST])
def test_a_time_of_no_year_is_no_time(time: str) -> None:
    """What could not be written again is not read: a service with it is cared for as before."""
    world = running(3)
    revision = world.service.status["updateRevision"]
    told: dict[str, Callable[[str], Any]] = {
        "restartBackoff": lambda at: {
            "revision": revision, "failures": 2, "retryTime": at, "failureTime": at,
        },
        "recentMoves": lambda at: [{"pod": "web-1", "uid": "u", "time": at}],
    }  # fmt: skip
    for name, of in told.items():
        status = {**world.service.status, name: of(time)}
        service = replace(world.service, status=status)
        outcome = reconcile_.reconcile(service, world.visible(), world.view(), world.now)

        assert () == outcome.tasks
        assert (time == LAST) == (outcome.status is None), name
