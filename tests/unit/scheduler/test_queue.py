"""When to look at which resource: what rang, what is due, and what rests."""

from dataclasses import dataclass, field

import pytest

from bayplan.scheduler.inbox import Batch, Inbox
from bayplan.scheduler.queue import LONGEST_WAIT_SECONDS, Queue

NOON = 1_800_000_000
A, B, C = (("BatchJob", "default", name) for name in "abc")


@dataclass
class Clock:
    wall: int = NOON
    passed: float = 100.0

    def now(self) -> int:
        return self.wall

    def monotonic(self) -> float:
        return self.passed


@dataclass
class World:
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.queue = Queue(self.clock, Inbox(self.clock.monotonic))

    def due(self, *rang: tuple[str, str, str], nodes_changed: bool = False) -> list[str]:
        batch = Batch(frozenset(rang), placement=nodes_changed)
        return [key[2] for key in self.queue.due(batch, self.clock.now(), on_nodes={C})]

    def looks(self, key: tuple[str, str, str], seconds: float) -> None:
        began = self.clock.passed
        self.clock.passed += seconds
        self.queue.looked(key, began)


def test_what_rang_and_what_is_due_comes_once_and_in_order() -> None:
    world = World()
    world.queue.wake_times.set(A, NOON)
    world.queue.wake_times.set(B, NOON + 1)

    assert ["a", "b"] == world.due(B, A)
    assert [] == world.due()


def test_changed_nodes_ring_what_hangs_on_them() -> None:
    world = World()

    assert ["a"] == world.due(A)
    assert ["a", "c"] == world.due(A, nodes_changed=True)


@pytest.mark.parametrize(
    ("took", "rests"),
    [
        (0.003, 0.0),  # less than 4 ms / 2 % = the 0.2 s that a window gathers anyway
        (0.010, 0.5),
        (0.500, 1.0),  # never longer than a second
    ],
)
def test_a_long_look_rests_for_fifty_times_as_long(took: float, rests: float) -> None:
    world = World()
    world.looks(A, took)

    assert ([] if rests else ["a"]) == world.due(A)

    world.clock.passed += rests + 0.001
    assert (["a"] if rests else []) == world.due(), "what rang while it rested is not forgotten"


def test_others_are_looked_at_while_one_rests() -> None:
    world = World()
    world.looks(A, 1.0)

    assert ["b"] == world.due(A, B)


def test_it_waits_for_the_first_of_what_is_to_come() -> None:
    world = World()
    waits = [world.queue.due_in(leads=True)]
    world.looks(A, 0.010)
    world.due(A)
    waits.append(round(world.queue.due_in(leads=True), 3))
    world.queue.wake_times.set(B, NOON - 5)
    waits.append(world.queue.due_in(leads=True))

    assert [LONGEST_WAIT_SECONDS, 0.5, 0.0] == waits


def test_a_standby_only_looks_at_the_clock() -> None:
    world = World()
    world.queue.wake_times.set(A, NOON - 5)

    assert LONGEST_WAIT_SECONDS == world.queue.due_in(leads=False)
