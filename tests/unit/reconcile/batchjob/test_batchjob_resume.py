"""What passes while a job is held does not run when it is let go, to the second."""

from typing import Any

import pytest

from bayplan.api import edits, names
from bayplan.api.run_names import slot_of
from bayplan.api.times import rfc3339
from bayplan.reconcile.batchjob import triggers
from tests.jobs import PREFIX, START, World, make_job

EVERY_30 = {"schedule": "R//PT30S", "concurrencyPolicy": "Allow", "missedRunPolicy": "RunAll"}


def slots(world: World) -> list[int]:
    """The slots that were run, in seconds after START."""
    names_ = [name.removeprefix(PREFIX).partition("-")[0] for _, name in world.created]
    return [(slot_of(one) or 0) - START for one in names_]


def held(**more: Any) -> World:
    """Its slot 0 has run; it is suspended 5 s later."""
    world = World({**EVERY_30, **more})
    world.settle()
    world.finish()
    world.wait(5)
    world.edit(suspend=True)
    world.settle()
    return world


@pytest.mark.parametrize(
    ("resumed", "seen", "expected"),
    [
        (38, 38, [0, 60]),  # the slot passed 8 s before
        (30, 30, [0, 30, 60]),  # resumed at the very second
        (29, 29, [0, 30, 60]),
        (29, 33, [0, 30, 60]),  # seen late: it was resumed before the slot
        (31, 45, [0, 60]),
        (38, 100, [0, 60, 90]),  # the operator was down; what came after the resumption is owed
        (100, 100, [0]),
    ],
)
def test_what_passed_while_suspended(resumed: int, seen: int, expected: list[int]) -> None:
    """The moment of the edit counts, not the one at which the operator sees it."""
    world = held()
    world.wait(resumed - 5 if resumed <= seen else 0)
    world.edit(suspend=False)
    world.now = START + seen
    world.settle()
    world.wait(max(60 - seen, 0))

    assert expected == slots(world)


def test_a_restart_or_a_lost_write_moves_nothing() -> None:
    """Until the status has it the moment is read again, and is the same."""
    world = held()
    world.now = START + 29
    world.edit(suspend=False)
    world.lost_status = True
    for _ in range(3):
        world.now += 1
        world.step()
        world.forget()
    world.lost_status = False
    world.settle()

    assert [0, 30] == slots(world)
    assert rfc3339(START + 29) == world.status["scheduleSinceTime"]


@pytest.mark.parametrize(
    "managed", [[], [{"time": "soon"}], [{"time": rfc3339(START), "fieldsV1": {"f:spec": {}}}]]
)
def test_where_nothing_tells_when(managed: list[dict[str, Any]]) -> None:
    """Then it is when the operator sees it; never before it was held."""
    world = held()
    world.now = START + 38
    world.edit(suspend=False)
    world.managed = [*managed]
    world.settle()
    world.wait(30)

    assert [0, 60] == slots(world)


def test_a_pause_ends_when_it_says() -> None:
    """Also when nobody looked then; a slot of that second counts."""
    world = World(EVERY_30)
    world.settle()
    world.annotate(names.PAUSED_UNTIL, rfc3339(START + 60))
    world.settle()
    world.now = START + 75
    world.settle()

    assert [0, 60] == slots(world)


@pytest.mark.parametrize("seen", [40, 65, 130])
def test_a_pause_that_a_person_ends(seen: int) -> None:
    """`bayplan resume` writes a time that has passed: it ends when that was written."""
    world = World(EVERY_30)
    world.settle()
    world.annotate(names.PAUSED_UNTIL, rfc3339(START + 120))
    world.settle()
    world.now = START + 40
    world.annotate(names.PAUSED_UNTIL, rfc3339(0))
    world.now = START + seen
    world.settle()

    assert [0, *(slot for slot in (60, 90, 120) if slot <= seen)] == slots(world)


def fail(world: World) -> None:
    world.settle()
    world.finish(1)
    world.settle()


def too_many() -> World:
    """Held after one failure, at slot 0."""
    world = World({**EVERY_30, "suspendAfterFailures": 1, "retryPolicy": {"limit": 0}})
    fail(world)
    world.wait(1)
    return world


def test_a_row_of_failures_that_a_success_ends() -> None:
    """It ends when the run ended, whenever that is seen."""
    world = too_many()
    world.annotate(names.RUN_NOW, "again")
    world.settle()
    world.now = START + 40
    world.finish()
    world.now = START + 65
    world.settle()
    first = [name for _, name in world.created if name.startswith(f"{PREFIX}s")]

    assert 2 == len(first)
    assert rfc3339(START + 40) == world.status["scheduleSinceTime"]


def test_a_row_of_failures_that_an_edit_ends() -> None:
    """It ends when the spec was edited."""
    world = too_many()
    world.now = START + 40
    world.edit(expectedDurationSeconds=9)
    world.now = START + 65
    world.settle()

    assert [0, 60] == slots(world)


@pytest.mark.parametrize(("seen", "expected"), [(38, []), (42, [40]), (65, [40, 60])])
def test_an_edit_of_the_schedule(seen: int, expected: list[int]) -> None:
    """What the new one names before the edit does not run; what it names after it does."""
    world = World({**EVERY_30, "schedule": "@yearly"})
    world.settle()
    world.now = START + 38
    world.edit(schedule="R//PT20S")
    world.now = START + seen
    world.settle()

    assert expected == slots(world)


@pytest.mark.parametrize(("until", "expected"), [(-1, 1), (0, 1), (1, 0)])
def test_a_window_is_judged_by_the_moment_of_the_start(until: int, expected: int) -> None:
    """A slot whose start comes after the resumption was held back by nothing."""
    spec = {"schedule": "@yearly", "startWindowSeconds": 600}
    delay = triggers.start_delay(make_job(**spec), make_job(**spec).spec)
    slot = START - START % 86_400 + 102 * 86_400  # 2027-01-01
    world = World(spec, now=slot - 5, created_at=START)
    world.edit(suspend=True)
    world.settle()
    world.now = slot + delay + until
    world.edit(suspend=False)
    world.settle()
    world.wait(10)

    assert delay > 1
    assert expected == len(world.created)


def test_whose_edit_counts() -> None:
    """The newest of those who own the field; statuses and other fields are none."""
    spec = {"f:spec": {"f:suspend": {}}}
    other = {"f:spec": {"f:schedule": {}}}
    entries = [
        {"time": rfc3339(50), "fieldsV1": spec},
        {"time": rfc3339(70), "fieldsV1": spec},
        {"time": rfc3339(90), "fieldsV1": other},
        {"time": rfc3339(99), "fieldsV1": spec, "subresource": "status"},
        "nonsense",
    ]
    found = edits.moments({"managedFields": entries}, edits.SUSPEND, edits.SPEC, ("f:x",))

    assert {edits.SUSPEND: 70, edits.SPEC: 90} == found
    assert {} == edits.moments({"managedFields": "x"}, edits.SPEC)
