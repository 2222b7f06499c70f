"""A BatchJob with several schedules: each time once, whoever names it."""

import pytest

from bayplan.api import crds
from bayplan.api.run_names import slot_run
from bayplan.reconcile.batchjob.triggers import schedule_hash
from tests.jobs import START, World, make_job

MINUTE = 60


def run_out(world: World, until: int) -> None:
    """Every run succeeds the moment it begins."""
    world.settle()
    while (at := world.outcome.wake_at) is not None and at <= until:
        world.now = at
        world.settle()
        for pod in list(world.pods.values()):
            if not pod.terminal:
                world.finish(name=pod.name)
        world.settle()


def test_a_time_that_two_schedules_name_is_one_run() -> None:
    """:20 and :40 are of both; the runs of an hour are the union, in order, each once."""
    world = World({"schedules": ["*/20 * * * *", "*/10 * * * *"]}, now=START)
    run_out(world, START + 3599)
    ran = [name.split("-")[2] for _, name in world.created]

    assert [slot_run(START + n * 600) for n in range(6)] == ran
    assert 6 == world.status["statistics"]["runs"]
    assert 0 == world.status["statistics"]["missed"]


def test_coinciding_times_are_missed_once() -> None:
    """An outage of an hour: RunLatest runs the newest and counts five others, not eight."""
    world = World({"schedules": ["*/20 * * * *", "*/10 * * * *"]}, now=START - 30)
    world.settle()
    world.now = START + 3599
    world.settle()

    assert [slot_run(START + 3000)] == [name.split("-")[2] for _, name in world.created]
    assert 5 == world.status["statistics"]["missed"]


def test_finite_schedules_end_together() -> None:
    """R2 and R3 of the same start name three times between them."""
    world = World({"schedules": ["R2//PT10M", "R3//PT10M"]}, now=START)
    run_out(world, START + 10_000)

    assert 3 == len(world.created)
    assert 0 == world.status["remainingRuns"]
    assert ("True", "Finished") == world.condition("Ready")


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (("schedule", "@hourly"), ("schedules", ["@hourly"]), True),
        (("schedules", ["@hourly", "@daily"]), ("schedules", ["@daily", "@hourly"]), True),
        (("schedules", ["@hourly", "@daily"]), ("schedules", ["@daily"]), False),
    ],
)
def test_what_counts_as_an_edit(
    before: tuple[str, object], after: tuple[str, object], *, same: bool
) -> None:
    """Another order, or the one schedule written as a list, changes no times."""
    names = [schedule_hash(make_job(**dict([one])).spec) for one in (before, after)]

    assert same == (names[0] == names[1])


def test_each_schedule_hashes_on_its_own() -> None:
    """`H` in a list stands for the same minute as it does alone."""
    together = World({"schedules": ["H 6 * * *", "H 18 * * *"]}, now=START)
    alone = World({"schedule": "H 18 * * *"}, now=START)
    together.settle()
    alone.settle()

    assert alone.status["nextSlotTime"] == together.status["nextSlotTime"]


def test_the_definition_knows_both() -> None:
    """The rule that they exclude each other is in the CRD."""
    text = crds.build()["batchjobs.bayplan.dev.yaml"]

    assert "write all of them into `schedules`" in text
