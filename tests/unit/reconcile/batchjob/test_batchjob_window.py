"""A start window: when runs start within it, and what it does to the peak at full hours."""

import pytest

from bayplan.reconcile.batchjob import triggers
from bayplan.schedules.parse import parse
from tests.jobs import START, World, make_job
from tests.scale import peak

MINUTE, HOUR = 60, 3600
WINDOWED = {"schedule": "0 * * * *", "startWindowSeconds": 20 * MINUTE}


def delay_of(name: str, window: int) -> int:
    job = make_job(name=name, schedule="0 * * * *", startWindowSeconds=window)
    return triggers.start_delay(job, job.spec)  # type: ignore[arg-type]


DELAY = delay_of("report", 20 * MINUTE)


def test_a_run_starts_at_its_moment_of_the_window() -> None:
    """Each slot at the same delay, not a second before; the run is of the slot."""
    world = World(WINDOWED)
    world.wait(DELAY - 1)
    before = list(world.created)
    world.wait(1)
    world.finish()
    world.wait(HOUR)

    assert 0 < DELAY
    assert [] == before
    assert [START + DELAY, START + HOUR + DELAY] == [at for at, _ in world.created]
    assert 0 == world.status["statistics"]["missed"]


@pytest.mark.parametrize(("late", "runs"), [(10, 1), (11, 0)])
def test_the_deadline_counts_from_the_start(late: int, runs: int) -> None:
    """A run that waits for its moment is not late; one that could not start then is."""
    world = World({**WINDOWED, "startingDeadlineSeconds": 10}, admitted=False)
    world.now += DELAY + late
    world.settle()
    world.admitted = True
    world.settle()

    assert runs == len(world.created)


@pytest.mark.parametrize("window", [0, 1, 59, HOUR, 86_400])
def test_a_start_lies_in_its_window(window: int) -> None:
    """Of a thousand jobs each starts within, and both ends are near to being used."""
    delays = [delay_of(f"job-{number}", window) for number in range(1000)]

    assert 0 <= min(delays) <= window // 50
    assert window - window // 50 <= max(delays) <= window


def test_a_window_flattens_the_peak_of_a_full_hour() -> None:
    """A thousand unlike hourly jobs, placed by the engine: the wider, the fewer nodes at once.

    Spread over 50 minutes they need a quarter of what they need together.
    """
    wanted = peak.jobs()
    nodes = [peak.peak(window * MINUTE, wanted) for window in (0, 5, 20, 50)]

    assert sorted(nodes, reverse=True) == nodes
    assert 4 * nodes[-1] <= nodes[0]


def test_an_edit_in_the_window_loses_no_slot() -> None:
    """What has come and waits for its moment counts, whatever is edited meanwhile."""
    world = World(WINDOWED)
    world.wait(DELAY // 2)
    world.spec = {**WINDOWED, "schedule": "0 */1 * * *"}
    world.generation += 1
    world.wait(DELAY)

    assert 1 == len(world.created)
    assert parse("0 */1 * * *", "UTC", key="", anchor=0).latest_at(START) == START
