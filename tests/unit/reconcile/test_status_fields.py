"""The schema of a status beside the code: all its fields are written, no others are read."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.model.admission import Admission
from bayplan.model.pods import Ending, Phase
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.reconcile.batchjob import (
    parent_summaries,
    reconcile,
    statistics,
    status_entries,
    stored_status,
)
from bayplan.reconcile.batchjob.runs import Finished
from bayplan.reconcile.longservice import reconcile as reconcile_
from bayplan.reconcile.view import NoRoom
from bayplan.reports import rollout, slots, top
from tests import jobs
from tests.builders import NOON, make_vector
from tests.schemas import Schema, schema_of, violations
from tests.services import World, make_body, running
from tests.statuses import Body, Path, Watched, fields_of, job_status, service_status

START = jobs.START
NO_ROOM = Funnel(4, (Refusal(Reason.TOO_BIG, "cpu", 4),), Nearest("n2", {"cpu": 300}))
SCHEDULED = {"schedule": "R9/2026-09-21T14:00:00Z/PT1H", "concurrencyPolicy": "Allow"}
SPECS: list[dict[str, Any]] = [
    SCHEDULED,
    {"parents": [{"name": "parent"}]},
    {"schedule": "nonsense"},
]
# What is written again as it was stored, until there is news of it; by kind.
KEPT = {
    names.BATCHJOB: {"history", "effectiveRequests", "placement"},
    names.LONGSERVICE: {"badRevisions", "effectiveRequests", "lastFailure", "placement"},
}
AMOUNTS = ("effectiveRequests", "requests")  # by names of resources, which are no fields of ours


def schema_fields(schema: Schema, path: Path = ()) -> Iterator[Path]:
    for name, inner in schema.get("properties", {}).items():
        yield (*path, name)
        yield from schema_fields(inner, (*path, name))
        yield from schema_fields(inner.get("items", {}), (*path, name))


def known(kind: str) -> set[Path]:
    return set(schema_fields(schema_of(kind, "status")))


def own(fields: Iterable[Path]) -> set[Path]:
    """Those that a schema names."""
    return {path for path in fields if path == AMOUNTS or path[:2] != AMOUNTS}


def admitted(resource: Resource, at: int) -> Admission:
    return Admission(
        template_hash=resource.template_hash,
        request=make_vector(100, 1),
        checked_at=at,
        unknown_fields=("spec.template.spec.contaners",),
        placing="def",
    )


def written_by_job(status: Mapping[str, Any], **spec: Any) -> Iterator[Mapping[str, Any]]:
    """What looks at a job with this status write."""
    job = replace(jobs.make_job(created_at=START - 86_400, **spec), status=status)
    for now, admission in (
        (START + 100, admitted(job, START)),
        (START + 100, None),
        (START + 7300, admitted(job, START)),
    ):
        waiting = NoRoom(2, now - 60, NO_ROOM)
        view = jobs.make_view(job, admission=admission, placement=waiting)
        yield reconcile.reconcile(job, {}, view, now).status or {}


def service_worlds() -> Iterator[World]:
    """Services that go from one revision to another, one by steps; an instance has failed."""
    for rules in ({}, {"steps": [{"percent": 20, "manual": True}]}):
        world = running(5)
        world.edit(
            image="web:2",
            updateStrategy=rules,
            rebalance={"maxMovesPerHour": 2},
            placement={"constraints": [{"key": "zone", "operator": "Is", "value": "z"}]},
        )
        world.act()
        failed = next(iter(world.pods.values()))
        ending = Ending(exit_code=1, reason="Error", message="no such host", finished_at=world.now)
        world.put(replace(failed, phase=Phase.FAILED, ready=False, ending=ending))
        world.hear()
        yield world


def complete(world: World) -> Body:
    stored = world.service.status
    return service_status(world.now, stored["currentRevision"], stored["updateRevision"])


def written_by_service(world: World, status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What looks at a service with this status write; it is pinned to a revision or not."""
    for over in ("another", world.service.status["updateRevision"]):
        service = replace(world.service, status=pinned(status, over))
        for now in (world.now, world.now + 7200):
            view = replace(
                world.view(),
                admission=admitted(service, now),
                placement=NoRoom(2, now - 60, NO_ROOM),
            )
            yield reconcile_.reconcile(service, world.visible(), view, now).status or {}


def pinned(status: Mapping[str, Any], over: str) -> Mapping[str, Any]:
    if isinstance(status, Watched):
        return status.changed("pinnedOver", over)
    return {**status, "pinnedOver": over}


def without_kept(kind: str, status: Body) -> Body:
    return {name: value for name, value in status.items() if name not in KEPT[kind]}


def noted(kind: str, statuses: Iterable[Mapping[str, Any]]) -> set[Path]:
    """The fields of statuses as they are sent, each of which fits the schema."""
    found: set[Path] = set()
    for status in statuses:
        sent = json.loads(json.dumps(status))
        assert [] == violations(schema_of(kind, "status"), sent)
        found |= own(fields_of(sent))
    return found


def test_the_complete_statuses_are_complete() -> None:
    """A field that is new in a schema has to be told in tests/statuses.py, and fits there."""
    for kind, status in (
        (names.BATCHJOB, job_status(START)),
        (names.LONGSERVICE, service_status(NOON, "web-1", "web-2")),
    ):
        assert [] == violations(schema_of(kind, "status"), status)
        assert known(kind) == own(fields_of(status))


def test_each_field_of_a_jobs_status_is_written() -> None:
    """Nothing stands in the schema that no status ever has."""
    status = job_status(START)
    kind = names.BATCHJOB
    told = [
        {name: value for name, value in one.items() if name != "statistics"}  # kept till a run ends
        for spec in SPECS
        for one in written_by_job(without_kept(kind, status), **spec)
    ]
    stored = stored_status.read(status)
    ends = [Finished(run, "Failed", "Error", START, exit_code=1) for run in stored.active]
    told.append({"history": [status_entries.wire_finished(one) for one in ends]})
    counters = status_entries.counted({}, (), missed=0, lost=0)
    told.append({"statistics": counters | statistics.read(status["samples"]).quantiles()})

    assert known(kind) == noted(kind, told)


def test_each_field_of_a_services_status_is_written() -> None:
    """Nothing stands in the schema that no status ever has."""
    kind = names.LONGSERVICE
    told = [
        one
        for world in service_worlds()
        for one in written_by_service(world, without_kept(kind, complete(world)))
    ]

    assert known(kind) == noted(kind, told)


def test_what_is_read_of_a_jobs_status_is_a_field_of_it() -> None:
    """Nobody waits for what the schema does not have, which no server would keep."""
    asked: set[Path] = set()
    status = Watched(job_status(START), asked)
    for spec in SPECS:
        list(written_by_job(status, **spec))
    parent_summaries.summary(replace(jobs.make_job(**SCHEDULED), status=status))
    body = {**make_body(), "spec": {**SCHEDULED, "template": jobs.TEMPLATE}, "status": status}
    body["kind"] = names.BATCHJOB
    slots.upcoming(body, START, 3)
    slots.timetable(body)
    top.workloads([body])

    assert asked
    assert own(asked) <= known(names.BATCHJOB)


def test_what_is_read_of_a_services_status_is_a_field_of_it() -> None:
    """Nobody waits for what the schema does not have, which no server would keep."""
    asked: set[Path] = set()
    for world in service_worlds():
        status = Watched(complete(world), asked)
        list(written_by_service(world, status))
        body = {**make_body(), "status": status}
        rollout.standing(body)
        top.workloads([body])

    assert asked
    assert own(asked) <= known(names.LONGSERVICE)
