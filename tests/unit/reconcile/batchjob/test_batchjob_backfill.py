"""Scheduled times that a person asks to make up for: each once, in order, none that ran already."""

from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.run_names import backfill_run, slot_run, token_run
from bayplan.api.times import rfc3339
from bayplan.reconcile.batchjob import backfill
from bayplan.schedules import gaps
from bayplan.schedules.parse import parse
from tests.jobs import PREFIX, START, Crash, World

HOUR = 3600
DAY = 24 * HOUR
HOURLY = {"schedule": "0 * * * *", "retryPolicy": {"limit": 0}}


def span(first: int, last: int) -> str:
    return f"{rfc3339(first)}/{rfc3339(last)}"


def make_world(first: int, last: int, **spec: Any) -> World:
    """An hourly job of which the times from first to last are asked for."""
    return World({**HOURLY, **spec}, annotations={names.BACKFILL: span(first, last)})


def run_all(world: World, seconds: int = 1) -> list[str]:
    """End each run as it comes, until none is left; all that began, in order."""
    for _ in range(300):
        world.settle()
        live = [pod for pod in world.pods.values() if not pod.terminal]
        if not live:
            break
        world.now += seconds
        for pod in live:
            world.finish(name=pod.name)
    return begun(world)


def begun(world: World) -> list[str]:
    return [name.removeprefix(PREFIX).partition("-")[0] for _, name in world.created]


def reasons(world: World) -> list[str]:
    return [event.reason for event in world.events]


def test_times_before_the_job_was_created_run_in_order_once() -> None:
    """Three hours of yesterday, the oldest first; the annotation stays and leads to no more."""
    world = make_world(START - 3 * HOUR, START - HOUR)
    expected = [slot_run(START), *(backfill_run(START - n * HOUR) for n in (3, 2, 1))]

    assert expected == run_all(world)
    world.wait(HOUR)
    run_all(world)
    assert [*expected, slot_run(START + HOUR)] == begun(world)
    assert ["Backfill"] == [one for one in reasons(world) if one.startswith("Backfill")]


def test_a_run_knows_the_time_that_it_makes_up_for() -> None:
    """In BAYPLAN_SLOT, on the label, in the history; how long it waited for it is no sample."""
    world = make_world(START - HOUR, START - HOUR)
    world.settle()
    world.finish()
    world.step()
    [task] = world.outcome.tasks
    run_all(world)

    assert rfc3339(START - HOUR) == task.environment["BAYPLAN_SLOT"]
    assert str(START - HOUR) == task.labels[names.SLOT]
    assert rfc3339(START - HOUR) == world.status["history"][0]["slotTime"]
    assert [0, 0] == world.status["samples"]["waitSeconds"]


def test_removing_the_annotation_changes_nothing() -> None:
    """What was asked for is in the status."""
    world = make_world(START - 3 * HOUR, START - HOUR)
    world.settle()
    world.annotations.clear()

    assert 4 == len(run_all(world))


def test_only_times_without_a_run_are_made_up_for() -> None:
    """Of an outage's five times one ran by the policy; the other four are asked for and run."""
    world = World(dict(HOURLY))
    run_all(world)
    world.now = START + 5 * HOUR
    run_all(world)
    world.annotations[names.BACKFILL] = span(START, START + 6 * HOUR)
    made_up_for = run_all(world)[2:]

    assert [backfill_run(START + n * HOUR) for n in range(1, 5)] == made_up_for
    world.annotations[names.BACKFILL] = span(START, START + 5 * HOUR)
    run_all(world)
    assert 6 == len(begun(world))
    assert "BackfillRefused" == reasons(world)[-1]


def test_what_passed_while_suspended_can_be_made_up_for() -> None:
    """Once it is resumed; and a suspended job runs what a person asks for."""
    world = World({**HOURLY, "suspend": True})
    world.wait(3 * HOUR)
    world.spec["suspend"] = False
    world.generation += 1
    world.wait(60)
    world.spec["suspend"] = True
    world.generation += 1
    world.annotations[names.BACKFILL] = span(START, START + 3 * HOUR)

    assert [backfill_run(START + n * HOUR) for n in range(3)] == run_all(world)[-3:]


@pytest.mark.parametrize(
    ("request_", "spec", "part"),
    [
        ("yesterday", {}, "must be FROM/TO"),
        (f"{rfc3339(START)}/", {}, "must be FROM/TO"),
        (span(START, START - 1), {}, "must be FROM/TO"),
        ("x" * 5000, {}, "must be FROM/TO"),
        (span(START - 101 * HOUR, START - HOUR), {}, "more than 100 scheduled times"),
        (span(START + HOUR, START + 2 * HOUR), {}, "left without a run"),
        (span(START - HOUR, START), {"schedule": None}, "no schedule; use run-now"),
        (span(START - HOUR, START), {"schedule": "R//PT1H"}, "left without a run"),
    ],
)
def test_what_cannot_be_made_up_for(request_: str, spec: dict[str, Any], part: str) -> None:
    """One warning with the remedy, once; no run but the schedule's own."""
    wanted = {key: value for key, value in {**HOURLY, **spec}.items() if value is not None}
    world = World(wanted, annotations={names.BACKFILL: request_})
    run_all(world)
    world.wait(600)
    told = [one for one in world.events if one.reason == "BackfillRefused"]

    assert [slot_run(START)] == begun(world)
    assert [True] == [one.warning for one in told]
    assert part in told[0].message


def test_a_hundred_are_taken() -> None:
    """The largest request there is."""
    world = make_world(START - 100 * HOUR, START - HOUR)

    assert 101 == len(run_all(world))
    assert {"request": world.annotations[names.BACKFILL]} == world.status["backfill"]


def test_stop_ends_what_is_left() -> None:
    """What runs goes on; what was not begun may be asked for again."""
    world = make_world(START - 3 * HOUR, START - HOUR)
    world.settle()
    world.finish()
    world.settle()
    world.annotations[names.BACKFILL] = backfill.STOP

    assert 2 == len(run_all(world))
    world.annotations[names.BACKFILL] = span(START - 9 * HOUR, START - HOUR)
    assert [backfill_run(START - n * HOUR) for n in (9, 8, 7, 6, 5, 4, 2, 1)] == run_all(world)[2:]


def test_forbid_lets_the_schedule_pass_first() -> None:
    """One run at a time; a slot that is due goes before those that are made up for."""
    world = make_world(START - 5 * HOUR, START - HOUR)
    runs = run_all(world, seconds=HOUR)

    assert [START + n * HOUR for n in range(11)] == [
        at for at, _ in world.created if at <= START + 10 * HOUR
    ]
    assert [slot_run(START + n * HOUR) for n in range(3)] == runs[:3]


def test_allow_runs_ten_at_once() -> None:
    """So that the schedule's own runs find places among the hundred of a job."""
    world = make_world(START - 30 * HOUR, START - HOUR, concurrencyPolicy="Allow")
    world.settle()

    assert 1 + backfill.MOST_AT_ONCE == len(world.created)
    run_all(world)
    assert 31 == len(world.created) == world.status["statistics"]["successes"]


def test_replace_ends_no_run_for_a_backfill() -> None:
    """It waits as with Forbid; a slot that is due ends it, and it can be retried."""
    world = make_world(START - HOUR, START - HOUR, concurrencyPolicy="Replace")
    world.settle()
    assert [slot_run(START)] == begun(world)
    world.finish()
    world.settle()
    world.now = START + HOUR
    world.settle()
    world.stop()
    world.settle()

    assert (backfill_run(START - HOUR), "Cancelled") == world.history()[0]
    world.annotations[names.RETRY] = backfill_run(START - HOUR)
    world.finish()
    world.settle()
    [again] = world.status["active"]
    assert ("Retry", rfc3339(START - HOUR)) == (again["trigger"], again["slotTime"])


def test_a_crash_before_any_write_repeats_nothing() -> None:
    """After each write in turn the operator dies and another begins: the same runs, each once."""
    expected = sorted([slot_run(START), *(backfill_run(START - n * HOUR) for n in (2, 1))])
    for deaths in range(25):
        world = make_world(START - 2 * HOUR, START - HOUR)
        left = [deaths]

        def die(_: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise Crash

        world.before_write = die
        for _ in range(2):
            try:
                run_all(world)
            except Crash:
                continue
        assert expected == sorted(begun(world)), deaths


def test_an_edit_of_the_schedule_repeats_nothing() -> None:
    """A time that both schedules name and that ran under the old one is not made up for."""
    world = World(dict(HOURLY))
    run_all(world)
    world.now = START + 61
    world.spec = {**HOURLY, "schedule": "*/30 * * * *"}
    world.generation += 1
    world.settle()
    world.now = START + HOUR - 60
    world.annotations[names.BACKFILL] = span(START - 1800, START + 1800)
    run_all(world)

    assert [slot_run(START), slot_run(START + 1800), backfill_run(START - 1800)] == begun(world)


def test_gaps_forget_the_oldest() -> None:
    """Of more than twenty; what is forgotten counts as having run, never the other way round."""
    many = gaps.more((), [(n * 10, n * 10 + 5) for n in range(30)])

    assert (gaps.MOST_GAPS, (100, 105)) == (len(many), many[0])
    assert ((0, 9),) == gaps.more(((0, 3), (8, 9)), [(4, 7)])


def test_a_slot_goes_from_its_gap() -> None:
    """With it what has no other slot: a row of a hundred leaves no more pieces than one."""
    minutes = parse("* * * * *", "UTC", key="a/b", anchor=0)

    assert ((0, 119), (121, 600)) == gaps.without(((0, 600),), 120, minutes)
    assert ((0, 119), (181, 600)) == gaps.without(((0, 119), (121, 600)), 180, minutes)
    assert () == gaps.without(((60, 119),), 60, minutes)
    assert ((0, 600),) == gaps.without(((0, 600),), 660, minutes)


def test_a_second_request_while_the_first_goes_on() -> None:
    """What the first has begun is not begun again, and nothing of the second is passed over."""
    world = make_world(START - HOUR, START - HOUR)
    world.settle()
    world.finish()
    world.settle()
    world.annotations[names.BACKFILL] = span(START - 4 * HOUR, START)

    assert [backfill_run(START - n * HOUR) for n in (1, 4, 3, 2)] == run_all(world)[1:]


# --- Runs that failed, again ---------------------------------------------------------------------


def failed(**notes: str) -> World:
    """A yearly job whose run-now has failed."""
    world = World(
        {"schedule": "@yearly", "retryPolicy": {"limit": 0}},
        annotations={names.RUN_NOW: "one", **notes},
    )
    world.settle()
    world.finish(1)
    world.settle()
    return world


def test_a_failed_run_is_tried_again_with_its_arguments() -> None:
    """A new run, once, whatever becomes of the annotation."""
    world = failed(**{names.RUN_NOW_ARGS: '{"args": ["-v"], "env": {"A": "1"}}'})
    world.annotations.clear()
    world.annotations[names.RETRY] = token_run("one")
    world.step()
    [task] = world.outcome.tasks
    world.annotations.clear()
    run_all(world)
    world.annotations[names.RETRY] = token_run("one")
    run_all(world)

    assert (("-v",), "1") == (task.arguments, task.environment["A"])
    assert ["Succeeded", "Failed"] == [outcome for _, outcome in world.history()]
    assert 2 == len(world.created)


def test_the_run_of_a_slot_is_tried_again_for_that_slot() -> None:
    """BAYPLAN_SLOT is the same, also after a crash before the status; children see the slot."""
    world = World({**HOURLY})
    world.settle()
    world.finish(1)
    world.settle()
    world.annotations[names.RETRY] = slot_run(START)
    world.lost_status = True
    world.step()
    world.lost_status = False
    world.annotations.clear()
    world.settle()
    [active] = world.status["active"]
    run_all(world)

    assert ("Retry", rfc3339(START)) == (active["trigger"], active["slotTime"])
    assert rfc3339(START) == world.status["fulfilled"][0]["slotTime"]


@pytest.mark.parametrize("wanted", ["r00000000", "s1", "nonsense", "x" * 3000])
def test_what_did_not_fail_is_not_tried_again(wanted: str) -> None:
    """One warning, once."""
    world = failed()
    world.annotations[names.RETRY] = wanted
    run_all(world)
    world.wait(600)

    assert 1 == len(world.created)
    assert ["RetryRefused"] == [one for one in reasons(world) if one.startswith("Retry")]


def test_an_unfinished_run_is_awaited() -> None:
    """Asked for too early: it is tried again when it has failed."""
    world = World({**HOURLY}, annotations={names.RETRY: slot_run(START)})
    world.settle()
    assert 1 == len(world.created)
    world.finish(1)
    world.settle()

    assert 2 == len(world.created)
