"""A status in which a person or another version wrote one value: the rest of it still counts."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from bayplan.api.batchjob_status import BatchJobStatus
from bayplan.api.longservice_status import LongServiceStatus
from bayplan.api.resource import Resource
from bayplan.api.times import rfc3339
from bayplan.model.intents import Outcome
from bayplan.reconcile import defect
from bayplan.reconcile.batchjob import parent_summaries, reconcile, stored_status
from bayplan.reconcile.longservice import reconcile as services
from tests import jobs
from tests.services import running

FAR = "9999-12-31T23:59:59-14:00"  # text that the server takes for a time, and no year has
LAST = "9999-12-31T23:59:59Z"
OLD = "0001-01-01T00:00:00+14:00"
OTHERS = (
    FAR,
    LAST,
    OLD,
    "",
    "x" * 300,
    "\x00",
    -1,
    2**63 - 1,
    True,
    1.5,
    None,
    [],
    {},
    [None],
    [{}],
)

# What a look writes again as it was stored, until there is news of it.
KEPT = {"history", "placement", "effectiveRequests", "lastFailure", "badRevisions"}
READ_FROM = {
    "lastSlotTime": "last_slot",
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
Body = dict[str, Any]


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


def changed(status: Body, path: Path, value: object) -> Body:
    body = copy.deepcopy(status)
    at: Any = body
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return body


def edits(status: Body) -> Iterator[tuple[Path, Body]]:
    for path in paths(status):
        for value in OTHERS:
            yield path, changed(status, path, value)


WAITING = {
    "pendingTasks": 7,
    "pendingSince": "2026-09-21T14:00:00Z",
    "message": "7 tasks wait",
    "nodesConsidered": 10,
    "refusals": [{"reason": "NoRoom", "detail": "cpu", "nodes": 10}],
    "nearest": {"node": "n1", "lacks": "300m cpu"},
}


def job_world() -> jobs.World:
    """A job of four tasks: a run succeeded, one stands at a retry, one task of it is done."""
    world = jobs.World({"schedule": "@hourly", "tasks": 4, "retryPolicy": {"limit": 3}})
    for run in range(3):
        world.now = jobs.START + 3600 * run
        world.settle()
        world.now += 700
        world.settle()
        first, *others = (pod.name for pod in world.pods.values() if not pod.terminal)
        world.finish(run // 2, first)
        for name in others[run:]:
            world.finish(0, name)
        world.settle()
    return world


def job_status(world: jobs.World) -> Body:
    told = {
        "placement": WAITING,
        "gaps": [{"fromTime": "2026-09-21T10:00:00Z", "toTime": "2026-09-21T11:00:00Z"}],
        "backfill": {
            "request": "x",
            "fromTime": "2026-09-21T10:00:00Z",
            "toTime": "2026-09-21T11:00:00Z",
            "left": 3,
        },
        "consumed": [{"name": "a", "run": world.status["history"][0]["run"]}],
        "pausedUntil": "2026-09-21T14:00:00Z",
        "forgivenFailures": 1,
        "handledTokens": ["r00000000"],
    }
    status: Body = json.loads(json.dumps({**world.status, **told}))
    return status


def service_status(status: Mapping[str, Any], now: int) -> Body:
    """With all that can be wrong of a service, or be on its way."""
    revision, current = status["updateRevision"], status["currentRevision"]
    bad = {"reason": "x", "message": "m", "time": rfc3339(now)}
    told = {
        "restartBackoff": {
            "revision": revision,
            "failures": 2,
            "retryTime": rfc3339(now + 20),
            "failureTime": rfc3339(now - 5),
        },
        "recentMoves": [{"pod": "web-1", "uid": "u", "time": rfc3339(now)}],
        "lastFailure": {"pod": "web-1", "reason": "Error", "exitCode": 1, "time": rfc3339(now)},
        "badRevisions": [{"revision": name, **bad} for name in (current, "web-other")],
        "placement": WAITING,
        "rollout": {
            "revision": revision,
            "step": 0,
            "healthy": 1,
            "outdated": 4,
            "stepReachedTime": rfc3339(now),
            "handledPromote": "a",
            "progressTime": rfc3339(now),
            "waitingSince": rfc3339(now),
        },
    }
    told = {**status, "pinnedRevision": current, "pinnedOver": "another", **told}
    body: Body = json.loads(json.dumps(told))
    return body


def test_any_value_of_a_jobs_status_may_be_another() -> None:
    """Nothing is raised, what is written instead fits the schema, and nothing else was lost."""
    world = job_world()
    job, pods, view = world.job, dict(world.pods), world.view()
    status = job_status(world)
    sound = stored_status.read(status)
    [active] = sound.active
    assert all([active.lanes, sound.history, sound.gaps, sound.backfill.left])

    def look(edited: Body) -> Outcome:
        resource = replace(job, status=edited)
        parent_summaries.summary(resource)
        defect.status(resource, ValueError(), 60, world.now)
        return reconcile.reconcile(resource, pods, view, world.now)

    assert look(status).status is not None
    for path, edited in edits(status):
        written = look(edited).status
        if written is not None and path[0] not in KEPT:
            BatchJobStatus.model_validate(written)
        read = stored_status.read(edited)
        other = {
            one.name for one in fields(read) if getattr(read, one.name) != getattr(sound, one.name)
        }
        assert other <= {READ_FROM.get(str(path[0]), "")}, (path, other)


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
    status = service_status(world.service.status, world.now)
    view, pods = world.view(), world.visible()

    def look(service: Resource) -> Outcome:
        defect.status(service, ValueError(), 60, world.now)
        return services.reconcile(service, pods, view, world.now)

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
        outcome = services.reconcile(service, world.visible(), world.view(), world.now)

        assert () == outcome.tasks
        assert (time == LAST) == (outcome.status is None), name
