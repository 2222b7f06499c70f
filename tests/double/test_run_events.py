"""A run says once that it has got its node: as soon as the API server has taken that."""

import json
from typing import Any

from bayplan.api import names
from bayplan.cluster import wire
from bayplan.cluster.pods import pod_from_dict
from bayplan.cluster.run_events import run_started
from bayplan.model import intents
from bayplan.model.pods import Owner, Pod
from tests.double import bodies
from tests.double.bodies import encoded
from tests.double.test_writer import CONFLICT, Desk
from tests.double.transport import Answer, NoAnswer

JOB = {
    "apiVersion": names.API_VERSION,
    "kind": names.BATCHJOB,
    "metadata": {
        "name": "report",
        "namespace": "default",
        "uid": "uid-report",
        "generation": 1,
        "resourceVersion": "5",
        "creationTimestamp": "2026-11-23T06:00:00Z",
    },
    "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "busybox"}]}}},
}
LABELS = {names.RUN: "sabc", names.ATTEMPT: "0"}


def run_pod(version: int, **more: Any) -> dict[str, Any]:
    body = bodies.pod(version=version, owner="uid-report", **more)
    body["metadata"]["labels"] = LABELS
    body["metadata"]["ownerReferences"][0] |= {"kind": names.BATCHJOB, "name": "report"}
    return body


def notes(desk: Desk) -> list[tuple[str, str]]:
    told = [one for one in desk.double.asked("create") if one.kind == "Event"]
    found = [json.loads(one.body or b"") for one in told]
    return [(one["regarding"]["name"], one["note"]) for one in found]


def test_a_pod_that_is_created_on_its_node() -> None:
    desk = Desk()
    desk.cache.put_resource(JOB)
    desk.double.reply("create", "Pod", Answer(encoded(run_pod(20, node="n1"))))
    desk.double.reply("create", "Event", Answer(b"{}"))

    def act() -> None:
        owner = Owner(names.BATCHJOB, "report", "uid-report")
        planned = Pod("default", "p1", node="n1", owner=owner, labels=LABELS)
        desk.cache.assumptions.assume(planned)
        job = desk.cache.resources[names.BATCHJOB, "default", "report"]
        desk.writer.create(job, planned, run_pod(0, node="n1"))

    desk.work(act)

    assert [("report", "Run sabc starts on n1: pod p1.")] == notes(desk)


def bound(desk: Desk) -> Desk:
    """Bind a pod of a run that waits."""
    waits = pod_from_dict(run_pod(20))
    desk.cache.upsert("Pod", wire.Seen("default", "p1", waits.uid, 20, waits))

    def act() -> None:
        there = Pod("default", "p1", uid=waits.uid, node="n1", owner=waits.owner, labels=LABELS)
        desk.cache.assumptions.assume(there)
        desk.writer.bind(intents.Bind("default", "p1", waits.uid, "n1"))

    desk.work(act)
    return desk


def test_a_pod_that_is_bound_later() -> None:
    desk = Desk()
    desk.cache.put_resource(JOB)
    desk.double.reply("bind", "Pod", Answer(b"{}"))
    desk.double.reply("create", "Event", Answer(b"{}"))

    assert [("report", "Run sabc starts on n1: pod p1.")] == notes(bound(desk))


def test_a_binding_whose_answer_was_lost() -> None:
    """The API server refuses it the second time, for the pod is on its node already."""
    desk = Desk()
    desk.cache.put_resource(JOB)
    desk.double.reply("bind", "Pod", NoAnswer(), CONFLICT)
    desk.double.reply("get", "Pod", Answer(encoded(run_pod(21, node="n1"))))
    desk.double.reply("create", "Event", Answer(b"{}"))

    assert [("report", "Run sabc starts on n1: pod p1.")] == notes(bound(desk))


def test_which_pods_say_so() -> None:
    """The first task of an attempt that has a node, and no instance of a service."""
    second = {**LABELS, names.ATTEMPT: "1", names.TASK_INDEX: "0"}
    event = run_started(Pod("default", "p", node="n1", labels=second))

    assert event is not None
    assert "Attempt 2 of run sabc starts on n1: pod p." == event.message
    assert run_started(Pod("default", "p", labels=LABELS)) is None
    assert run_started(Pod("default", "p", node="n1")) is None
    other = {**LABELS, names.TASK_INDEX: "1"}
    assert run_started(Pod("default", "p", node="n1", labels=other)) is None
