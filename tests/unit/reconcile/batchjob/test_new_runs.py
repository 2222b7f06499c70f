"""Which run begins."""

from typing import Any

import pytest

from bayplan.api import names, run_names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.reconcile.batchjob import backfill, new_runs, triggers
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.new_runs import REPLACED, JobRuns
from bayplan.reconcile.batchjob.reconcile import context_of
from bayplan.reconcile.batchjob.triggers import Due
from tests.jobs import START, World

HOURLY = {"schedule": "0 * * * *"}
DUE = Due(slot=START)


def context(world: World) -> JobContext:
    world.look()
    spec = world.job.spec
    assert isinstance(spec, BatchJobSpec)
    return context_of(world.job, spec, world.pods, world.view(), world.now)


def begun(world: World, due: Due = DUE, *, held: bool = False) -> tuple[list[str], JobRuns]:
    """The unfinished runs after one look at which this is due."""
    seen = context(world)
    runs = JobRuns.known(seen)
    schedule = triggers.schedule_of(seen.job, seen.spec)
    new_runs.begin(seen, runs, due, backfill.NOTHING, schedule, held=held)
    return [one.run.id for one in runs.unfinished], runs


def running(**spec: Any) -> World:
    """A job one of whose runs runs, an hour later."""
    world = World({**HOURLY, **spec}, created_at=START - 1)
    world.settle()
    world.now += 3600
    return world


def test_a_slot_that_is_due_begins_a_run() -> None:
    runs, _ = begun(World(HOURLY))

    assert [run_names.slot_run(START)] == runs


def test_nothing_due_nothing_begun() -> None:
    runs, state = begun(World(HOURLY), Due())

    assert ([], set()) == (runs, state.slots)


@pytest.mark.parametrize(
    ("policy", "expected", "ended"),
    [("Forbid", [START], 0), ("Allow", [START, START + 3600], 0), ("Replace", [START + 3600], 1)],
)
def test_what_a_run_that_still_runs_means(policy: str, expected: list[int], ended: int) -> None:
    world = running(concurrencyPolicy=policy)

    runs, state = begun(world, Due(slot=START + 3600))

    assert [run_names.slot_run(slot) for slot in expected] == runs
    assert [REPLACED] * ended == [one.reason for one in state.finished]
    assert bool(ended) == state.replaced


def test_a_run_that_is_asked_for_is_taken_up_once() -> None:
    world = World(HOURLY, created_at=START + 5, annotations={names.RUN_NOW: "please"})
    seen = context(world)
    runs = JobRuns.known(seen)

    assert () == new_runs.take_asked(seen, runs)
    [one] = runs.unfinished
    assert [one.run.id] == runs.handled

    world.settle()
    seen = context(world)
    again = JobRuns.known(seen)
    new_runs.take_asked(seen, again)
    assert [one.run.id] == [known.run.id for known in again.unfinished]


def test_arguments_that_cannot_be_read_are_refused_with_the_reason() -> None:
    notes = {names.RUN_NOW: "please", names.RUN_NOW_ARGS: "{"}
    seen = context(World(HOURLY, annotations=notes))
    runs = JobRuns.known(seen)

    assert (("RunNow", "Unreadable"),) == new_runs.take_asked(seen, runs)
    assert ([], 1) == (runs.unfinished, len(runs.handled)), "it is not asked about again"
