"""What a job's receivers are told: each change once, with the status that accounts for it."""

from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.run_names import slot_run, token_run
from bayplan.api.times import rfc3339
from tests.jobs import START, World

HOUR = 3600
ALL = ["Failed", "Cancelled", "Missed", "Late", "Recovered", "Suspended"]


def make_world(*on: str, **spec: Any) -> World:
    """An hourly job that tells `team`."""
    wanted = {
        "schedule": "0 * * * *",
        "retryPolicy": {"limit": 0},
        "notifications": [{"when": list(on or ALL), "receiver": "team"}],
    }
    return World({**wanted, **spec}, receivers=frozenset({"team"}))


def hour(world: World, exit_code: int) -> None:
    """The next run begins and ends so."""
    world.settle()
    world.finish(exit_code)
    world.settle()
    world.now += HOUR - world.now % HOUR


def told(world: World) -> list[str]:
    return [notice.on for notice in world.notices]


def test_failures_and_the_recovery() -> None:
    """Each failure once, the first success after them once, a success after a success never."""
    world = make_world()
    for code in (0, 1, 1, 0, 0):
        hour(world, code)
    facts = world.notices[-1].facts

    assert ["Failed", "Failed", "Recovered"] == told(world)
    assert f"Run {facts['run']} succeeded after 2 failures in a row" == facts["message"]


def test_what_a_failure_tells() -> None:
    """What `runs` tells; not what the run was given, which may be secret."""
    world = make_world(schedule="@yearly")
    world.annotations = {names.RUN_NOW: "x", names.RUN_NOW_ARGS: '{"env": {"TOKEN": "hunter2"}}'}
    hour(world, 7)
    [notice] = world.notices

    assert ("team", "Failed", 7, "n1", 1) == (
        notice.receiver,
        notice.on,
        *(notice.facts[name] for name in ("exitCode", "node", "attempts")),
    )
    assert "hunter2" not in repr(notice)


def test_a_retry_is_no_failure_yet() -> None:
    world = make_world(retryPolicy={"limit": 1, "delaySeconds": 0})
    hour(world, 1)
    assert [] == told(world)
    hour(world, 1)
    assert ["Failed"] == told(world)


def test_cancelled_runs() -> None:
    """By request, by a deleted pod, by the next run: each once, with the reason."""
    world = make_world("Cancelled", concurrencyPolicy="Replace")
    world.settle()
    world.annotations = {names.CANCEL_RUN: slot_run(START)}
    world.settle()
    world.stop()
    world.now = START + HOUR
    world.settle()
    world.delete_by_person()
    world.stop()
    world.settle()
    world.now = START + 2 * HOUR
    world.settle()
    world.now = START + 3 * HOUR
    world.settle()

    assert ["Cancelled"] * 3 == told(world)
    assert ["Requested", "Deleted", "Replaced"] == [one.facts["reason"] for one in world.notices]


def test_missed_times() -> None:
    """One notice for a row of them."""
    world = make_world()
    hour(world, 0)
    world.now = START + 5 * HOUR
    hour(world, 0)
    [notice] = world.notices

    assert ("Missed", 4, rfc3339(START + 4 * HOUR)) == (
        notice.on,
        notice.facts["count"],
        notice.facts["slotTime"],
    )


def test_a_long_run() -> None:
    """Once, while it runs."""
    world = make_world(expectedDurationSeconds=100)
    world.wait(500)
    [notice] = world.notices

    assert ("Late", slot_run(START)) == (notice.on, notice.facts["run"])
    assert "longer than the expected 100 s" in notice.facts["message"]


def test_suspension_after_failures() -> None:
    """Once; a person's own suspend is no news to people."""
    world = make_world("Suspended", suspendAfterFailures=2)
    hour(world, 1)
    hour(world, 1)
    world.wait(3 * HOUR)
    [notice] = world.notices

    assert ("Suspended", 2) == (notice.on, notice.facts["failures"])
    world.spec["suspend"] = True
    world.generation += 1
    world.settle()
    assert ["Suspended"] == told(world)


@pytest.mark.parametrize("on", ALL)
def test_only_what_was_asked_for(on: str) -> None:
    """Of all that happens one kind is told."""
    world = make_world(on, expectedDurationSeconds=100, suspendAfterFailures=2)
    world.settle()
    world.wait(200)
    world.finish(1)
    world.settle()
    world.now = START + 4 * HOUR
    for code in (0, 1, 1):
        hour(world, code)
    world.annotations = {names.RUN_NOW: "x", names.CANCEL_RUN: token_run("x")}
    world.settle()

    assert {on} == set(told(world))


def test_a_refused_status_tells_nothing_yet() -> None:
    """The notice goes when the status that accounts for it is stored, once."""
    world = make_world()
    world.settle()
    world.finish(1)
    world.lost_status = True
    for _ in range(3):
        world.step()
    assert [] == told(world)
    world.lost_status = False
    world.settle()

    assert ["Failed"] == told(world)


def test_nobody_has_defined_the_receiver() -> None:
    """A warning when it is written, and when something would have been told; the job runs on."""
    world = make_world()
    world.receivers = frozenset()
    for code in (0, 1, 0):
        hour(world, code)
    warned = [one for one in world.events if one.reason == "UnknownReceiver"]

    assert [] == told(world)
    assert 3 == len(warned)  # written; failed; recovered
    assert "no receiver team; an administrator defines it" in warned[0].message
    assert ("True", "Scheduled") == world.condition("Ready")


def test_several_receivers() -> None:
    """Each its own."""
    both = [{"when": ["Failed"], "receiver": "team"}, {"when": ["Recovered"], "receiver": "boss"}]
    world = make_world(notifications=both)
    world.receivers = frozenset({"team", "boss"})
    for code in (1, 0):
        hour(world, code)

    assert [("team", "Failed"), ("boss", "Recovered")] == [
        (one.receiver, one.on) for one in world.notices
    ]
