"""A BatchJob as its pods show it, where its stored status does not say it yet."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api.times import rfc3339, time_of
from bayplan.model.pods import FRESH, Owner, Phase
from bayplan.reports.live_jobs import as_now
from tests.jobs import World

HOUR = 3600
SPEC = {"schedule": "0 * * * *", "retryPolicy": {"limit": 1, "delaySeconds": 1}}


def begun(seconds: int = 5, **spec: Any) -> World:
    """An hourly job with five short runs behind it; the next has just begun and is not told."""
    world = World({**SPEC, **spec})
    world.settle()
    for _ in range(5):
        world.wait(seconds)
        world.finish()
        world.wait(HOUR - seconds)
    assert not world.status.get("active")
    return world


def now(world: World) -> dict[str, Any]:
    body = {
        "kind": "BatchJob",
        "metadata": {
            "namespace": world.job.namespace,
            "name": world.job.name,
            "uid": world.job.uid,
            "generation": 1,
            "creationTimestamp": rfc3339(world.job.created_at),
        },
        "spec": {**world.spec, "template": {"spec": {"containers": [{"name": "a", "image": "a"}]}}},
        "status": dict(world.status),
    }
    owner = Owner("BatchJob", world.job.name, world.job.uid)
    pods = [pod if pod.owner else replace(pod, owner=owner) for pod in world.pods.values()]
    [found] = as_now([body], pods, world.now)
    return found["status"]


def test_a_run_that_has_just_begun_is_there() -> None:
    """Its pod, NEXT after it, LAST, and that it runs."""
    world = begun()
    status = now(world)
    [entry] = status["active"]

    assert (0, 1) == (world.status["running"], status["running"])
    assert [world.live().name] == entry["pods"]
    assert world.now == time_of(status["lastRunTime"])
    assert world.now + HOUR == time_of(status["nextSlotTime"])


def test_a_pod_that_waits_for_its_container_does_not_run() -> None:
    """The run is there, and nothing runs."""
    world = begun()
    pod = world.live()
    world.pods[pod.key] = replace(pod, phase=Phase.PENDING, ending=FRESH)
    status = now(world)

    assert (1, 0) == (len(status["active"]), status["running"])


@pytest.mark.parametrize(("code", "result"), [(0, "Succeeded"), (3, "Failed")])
def test_a_run_that_has_ended_is_in_the_history_while_nobody_writes(code: int, result: str) -> None:
    """The operator is stopped: the end of the run, its result and its figures are there."""
    world = begun(retryPolicy={"limit": 0})
    before = world.status["statistics"]["runs"]
    world.finish(code)
    status = now(world)
    [last] = [one for one in status["conditions"] if one["type"] == "LastRunSucceeded"]

    assert not status.get("active")
    assert (result, before + 1) == (status["history"][0]["outcome"], status["statistics"]["runs"])
    assert str(code == 0) == last["status"]


def test_an_attempt_that_the_status_does_not_know_is_named() -> None:
    """After a failed attempt the next runs already, while the status waits for its time."""
    world = begun()
    world.finish(1)
    world.wait(1)
    world.settle()
    [stored], [entry] = world.status["active"], now(world)["active"]

    assert (1, 1) == (stored["attempt"], entry["attempt"])
    assert ("retryTime" in stored, "retryTime" in entry) == (True, False)
    assert [world.live().name] == entry["pods"]


def test_what_the_status_tells_stays_as_it_is() -> None:
    """Nothing is computed for a job whose pods are all told; pods of others are no matter."""
    world = begun()
    world.wait(20)
    other = Owner("BatchJob", "other", "uid-other")
    world.pods["default", "other"] = replace(world.live(), name="other", owner=other)

    assert world.status == now(world)
