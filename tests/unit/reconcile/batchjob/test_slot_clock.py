"""From when on slots count, which are due now, and which went by while the job rested."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.run_names import slot_run
from bayplan.api.times import rfc3339
from bayplan.reconcile.batchjob import slot_clock, triggers
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.reconcile import context_of
from bayplan.reconcile.batchjob.runs import Finished, Run, RunProgress
from bayplan.reconcile.batchjob.triggers import Due
from bayplan.schedules.parse import Schedule
from tests.jobs import START, World

HOUR = 3600
HOURLY = {"schedule": "0 * * * *"}
SKIP = {**HOURLY, "missedRunPolicy": "Skip"}
# The moment of the window that is this job's own: hashed from its name, the same for ever.
WINDOW = {**HOURLY, "startWindowSeconds": 1200}


def context(world: World) -> JobContext:
    world.look()
    spec = world.job.spec
    assert isinstance(spec, BatchJobSpec)
    return context_of(world.job, spec, world.pods, world.view(), world.now)


def stored(world: World, **status: Any) -> World:
    """The job, with this in its status."""
    world.status = {**world.status, **status}
    return world


def schedule_of(seen: JobContext) -> Schedule:
    found = triggers.schedule_of(seen.job, seen.spec)
    assert found is not None
    return found


def running(since: int = START) -> RunProgress:
    """The run of the slot at START, which goes on."""
    return RunProgress(Run(slot_run(START), "Schedule", START, since=since))


def over(at: int) -> RunProgress:
    """The same, as it ended then."""
    one = running()
    return replace(one, finished=Finished(one.run, "Succeeded", "", at))


def due(world: World, *runs: RunProgress, after: int = START - 1, hindered: bool = False) -> Due:
    seen = context(world)
    return slot_clock.due_slots(seen, schedule_of(seen), after, runs, hindered=hindered)


def hash_of(schedule: Mapping[str, Any]) -> str:
    return triggers.schedule_hash(context(World(dict(schedule))).spec)


# ---- from when on slots count -------------------------------------------------------------------


@pytest.mark.parametrize(("created_at", "floor"), [(START, START - 1), (START + 5, START + 4)])
def test_slots_count_from_the_creation_of_a_job(created_at: int, floor: int) -> None:
    """One of the very second counts."""
    seen = context(World(HOURLY, created_at=created_at))

    assert floor == slot_clock.floor_of(seen, schedule_of(seen), slot_clock.since(seen, None))


def test_what_the_status_has_settled_counts_no_more() -> None:
    """Its last slot is the floor, also of a job that has no schedule any more."""
    seen = context(stored(World(HOURLY), lastSlotTime=rfc3339(START + HOUR)))

    assert START + HOUR == slot_clock.floor_of(seen, schedule_of(seen), -1)
    assert START + HOUR == slot_clock.floor_of(seen, None, START + 9 * HOUR)


def test_slots_count_from_the_end_of_a_suspension() -> None:
    """Of that very second one runs, of the second before none does."""
    world = World(HOURLY, now=START + 3 * HOUR)
    seen, resumed_at = context(world), START + HOUR
    since = slot_clock.since(seen, resumed_at)

    assert resumed_at == since
    assert resumed_at - 1 == slot_clock.floor_of(seen, schedule_of(seen), since)


def test_slots_count_from_an_edit_of_the_schedule() -> None:
    """From the moment at which it was written, not from the look that finds it."""
    world = stored(World(HOURLY), scheduleHash=hash_of({"schedule": "30 * * * *"}))
    world.now = START + 2 * HOUR
    world.edit(at=START + 100, schedule="0 * * * *")

    assert START + 100 == slot_clock.since(context(world), None)


def test_where_nothing_tells_of_the_edit_it_is_now() -> None:
    """`managedFields` may be gone."""
    world = stored(World(HOURLY), scheduleHash=hash_of({"schedule": "30 * * * *"}))
    world.now = START + 2 * HOUR

    assert START + 2 * HOUR == slot_clock.since(context(world), None)


def test_another_edit_moves_nothing() -> None:
    """Nor does a status that has never told of a schedule."""
    world = stored(World(HOURLY), scheduleHash=hash_of(HOURLY))
    world.now = START + 2 * HOUR
    world.edit(concurrencyPolicy="Allow")

    assert -1 == slot_clock.since(context(world), None)
    assert -1 == slot_clock.since(context(World(HOURLY, now=START + HOUR)), None)


def test_the_floor_never_goes_back() -> None:
    """What an earlier edit or resumption has set stays, if it is the later one."""
    world = stored(World(HOURLY), scheduleSinceTime=rfc3339(START + HOUR))
    world.now = START + 2 * HOUR

    assert START + HOUR == slot_clock.since(context(world), START + 60)
    assert START + HOUR + 60 == slot_clock.since(context(world), START + HOUR + 60)


def test_a_job_with_problems_keeps_its_floor() -> None:
    """Nothing of a spec that cannot be used is an edit of the schedule."""
    world = World({"schedule": "no schedule"}, now=START + HOUR)
    stored(world, scheduleHash=hash_of(HOURLY), scheduleSinceTime=rfc3339(START))
    seen = context(world)

    assert seen.job.problems
    assert START == slot_clock.since(seen, START + 60)


def test_a_slot_that_the_window_put_off_counts() -> None:
    """It could not start before its moment, so a pause that ended by then took nothing from it."""
    world = World(WINDOW, now=START + HOUR)
    seen = context(world)
    delay = triggers.start_delay(seen.job, seen.spec)
    assert 0 < delay <= 1200

    at_its_moment = slot_clock.since(seen, START + delay)
    too_late = slot_clock.since(seen, START + delay + 1)

    assert START - 1 == slot_clock.floor_of(seen, schedule_of(seen), at_its_moment)
    assert START == slot_clock.floor_of(seen, schedule_of(seen), too_late)


# ---- what went by -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resumed_at", "count"),
    [(START, 0), (START + 1, 1), (START + HOUR, 1), (START + 7140, 2), (None, 0)],
)
def test_slots_that_went_by_while_the_job_was_suspended(resumed_at: int | None, count: int) -> None:
    """Those from START on, without the one of the second in which it was resumed."""
    seen = context(World(HOURLY, now=START + 2 * HOUR))
    since = slot_clock.since(seen, resumed_at)

    assert count == slot_clock.passed(seen, resumed_at, schedule_of(seen), since)


def test_what_the_status_accounts_for_did_not_go_by() -> None:
    """Neither what ran before, nor what went by already; without a schedule nothing does."""
    world = stored(World(HOURLY, now=START + 4 * HOUR), lastSlotTime=rfc3339(START + HOUR))
    resumed_at = START + 3 * HOUR + 60
    seen = context(world)
    since = slot_clock.since(seen, resumed_at)
    assert 2 == slot_clock.passed(seen, resumed_at, schedule_of(seen), since)
    assert 0 == slot_clock.passed(seen, resumed_at, None, since)

    again = context(stored(world, scheduleSinceTime=rfc3339(resumed_at)))
    since = slot_clock.since(again, resumed_at)
    assert 0 == slot_clock.passed(again, resumed_at, schedule_of(again), since)


# ---- what is due --------------------------------------------------------------------------------


def test_a_slot_is_due_from_its_second_on() -> None:
    """Before it, only when it comes is known."""
    early = due(World(HOURLY, created_at=START - 60, now=START - 1))
    on_time = due(World(HOURLY, created_at=START - 60, now=START))

    assert (None, START) == (early.slot, early.next_at)
    assert (START, START + HOUR) == (on_time.slot, on_time.next_at)


def test_a_job_without_a_schedule_is_due_at_its_creation() -> None:
    """Once; never again when that is settled."""
    seen = context(World({}, now=START + 5))

    assert START == slot_clock.due_slots(seen, None, -1, (), hindered=False).slot
    assert slot_clock.due_slots(seen, None, START, (), hindered=False).slot is None


def test_a_window_puts_a_slot_off() -> None:
    """All times that are told are of the wall clock; the slot keeps its own."""
    world = World({**WINDOW, "startingDeadlineSeconds": 100}, created_at=START - 60)
    seen = context(world)
    delay = triggers.start_delay(seen.job, seen.spec)

    world.now = START + delay - 1
    assert (None, START + delay) == (due(world).slot, due(world).next_at)

    world.now = START + delay
    found = due(world)
    assert (START, START + HOUR + delay) == (found.slot, found.next_at)
    assert START + delay + 101 == found.expires_at

    world.now = START + delay + 101
    assert (None, triggers.TOO_LATE) == (due(world).slot, due(world).reason)


@pytest.mark.parametrize(("late", "slot"), [(60, START), (61, None)])
def test_skip_takes_what_is_on_time(late: int, slot: int | None) -> None:
    """A minute is what a fail-over may take."""
    found = due(World(SKIP, now=START + late))

    assert slot == found.slot
    if slot is None:
        assert (START, triggers.SKIPPED) == (found.settled, found.reason)


def test_a_slot_that_waits_for_a_run_is_not_late_yet() -> None:
    """While the run goes on it waits; from its end on a minute counts."""
    world = World(SKIP, now=START + HOUR + 500)
    assert START + HOUR == due(world, running(), after=START).slot
    assert START + HOUR == due(world, over(START + HOUR + 440), after=START).slot
    assert due(world, over(START + HOUR + 439), after=START).slot is None


@pytest.mark.parametrize("hinders", ["a pod of a run that is over", "the template is unknown"])
def test_other_hindrances_count_alike(hinders: str) -> None:
    """The slot waits as long as they last."""
    world = World(SKIP, now=START + 500)
    world.admitted = hinders != "the template is unknown"

    assert START == due(world, hindered=world.admitted).slot


def test_a_run_of_the_history_hindered_until_its_end() -> None:
    """It may have left the pods already."""
    entry = {
        "run": slot_run(START),
        "outcome": "Succeeded",
        "endTime": rfc3339(START + HOUR + 440),
    }
    world = stored(World(SKIP, now=START + HOUR + 500), history=[entry])

    assert START + HOUR == due(world, after=START).slot
    world.now += 1
    assert due(world, after=START).slot is None


@pytest.mark.parametrize(
    ("since", "known", "slot"),
    [
        (START + HOUR + 60, False, START + HOUR),
        (START + HOUR + 61, False, None),
        (START + HOUR + 61, True, START + HOUR),
    ],
)
def test_a_run_that_began_later_held_nothing_back(
    since: int, known: bool, slot: int | None
) -> None:
    """It began when the slot was settled, which its status may not have shown yet."""
    world = World(SKIP, now=START + HOUR + 500)
    if known:
        entry = {"run": slot_run(START), "trigger": "Schedule", "since": rfc3339(since)}
        stored(world, active=[entry])

    assert slot == due(world, running(since), after=START).slot


def test_a_window_puts_off_what_is_on_time() -> None:
    """A minute counts from the moment at which the run may start, or from the end of another."""
    world = World({**WINDOW, **SKIP})
    seen = context(world)
    starts_at = START + HOUR + triggers.start_delay(seen.job, seen.spec)
    world.now = starts_at + 200

    assert START + HOUR == due(world, over(starts_at + 140), after=START).slot
    assert due(world, over(starts_at + 139), after=START).slot is None
    assert START + HOUR == due(world, running(starts_at + 60), after=START).slot
    assert due(world, running(starts_at + 61), after=START).slot is None


def test_other_policies_ask_nobody_when_it_was_free() -> None:
    """RunLatest takes the newest slot, however late, and with it the earlier ones are settled."""
    world = World(HOURLY, now=START + 5 * HOUR + 600)
    found = due(world, running(START + 5 * HOUR + 500))

    assert (START + 5 * HOUR, triggers.SUPERSEDED) == (found.slot, found.reason)
