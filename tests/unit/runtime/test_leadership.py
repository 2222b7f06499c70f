"""When a process decides: with the lease, with fresh news, and by a clock that is right."""

import asyncio
import logging
from dataclasses import dataclass, field

import pytest

from bayplan.metrics import Metrics
from bayplan.runtime.leadership import Leadership
from bayplan.scheduler.inbox import Batch, Inbox
from tests.double.loop import run


@dataclass(slots=True)
class FakeLease:
    held: bool = True
    beats: int = 0

    def holding(self) -> bool:
        return self.held

    def beat(self) -> None:
        self.beats += 1


@dataclass(slots=True)
class World:
    """A process: its lease, what it has listed, its clocks."""

    lease: FakeLease = field(default_factory=FakeLease)
    metrics: Metrics = field(default_factory=Metrics)
    inbox: Inbox = field(default_factory=lambda: Inbox(clock=lambda: 0.0))
    looks: int = 0
    skew: float | None = None
    seconds: float = 1000.0
    leadership: Leadership = field(init=False)

    def __post_init__(self) -> None:
        self.leadership = Leadership(
            self.lease,
            look_anew=self._look,
            skew=lambda: self.skew,
            inbox=self.inbox,
            metrics=self.metrics,
            most_skew_seconds=5,
            stuck_after_seconds=60,
            monotonic=lambda: self.seconds,
        )

    async def _look(self) -> None:
        await asyncio.sleep(3)  # the lists take their time
        self.looks += 1


def value(world: World, name: str) -> str:
    """A metric's value as it is scraped."""
    lines = world.metrics.page().decode().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name} "))


def test_nothing_is_decided_by_old_news() -> None:
    """The lease alone is not enough: both kinds are listed first, then everything is looked at."""
    world = World()

    async def play() -> tuple[bool, Batch]:
        begun = asyncio.create_task(world.leadership.begin())
        await asyncio.sleep(2)
        early = world.leadership.leads()
        await begun
        return early, await world.inbox.window(None)

    early, batch = run(play())

    assert not early
    assert 1 == world.looks
    assert world.leadership.leads()
    assert Batch(frozenset(), placement=True) == batch
    assert "1.0" == value(world, "bayplan_leader")


def test_without_the_lease_nobody_leads() -> None:
    """Fresh news do not make up for it."""
    world = World()
    run(world.leadership.begin())
    world.lease.held = False

    assert not world.leadership.leads()


@pytest.mark.parametrize(
    ("skew", "leads"),
    [(None, True), (0.0, True), (5.0, True), (-5.0, True), (5.1, False), (-5.1, False)],
)
def test_by_a_wrong_clock_nothing_is_decided(skew: float | None, leads: bool) -> None:
    """It may be off by as much as the setting allows, in both directions."""
    world = World(skew=skew)
    run(world.leadership.begin())

    assert leads is world.leadership.leads()
    assert str(skew or 0.0) == value(world, "bayplan_clock_skew_seconds")


def test_a_clock_is_told_when_it_turns(caplog: pytest.LogCaptureFixture) -> None:
    """Once when it goes wrong and once when it is right again, not at every look."""
    world = World(skew=9.0)
    run(world.leadership.begin())

    with caplog.at_level(logging.INFO):
        looks = [world.leadership.leads() for _ in range(3)]
        world.skew = 0.5
        looks += [world.leadership.leads() for _ in range(3)]

    assert [False] * 3 + [True] * 3 == looks
    assert ["clock is off, deciding nothing", "clock is right again"] == caplog.messages


def test_liveness_fails_when_the_leader_is_stuck() -> None:
    """A loop that has been silent for too long is stuck; a beat sets the time anew."""
    world = World()
    world.seconds += 60
    assert world.leadership.check()

    world.seconds += 1
    with pytest.raises(RuntimeError, match="silent for 61 s"):
        world.leadership.check()

    world.leadership.beat()
    assert world.leadership.check()
    assert 1 == world.lease.beats


def test_a_standby_is_never_stuck() -> None:
    """Its loop has nothing to do."""
    world = World(lease=FakeLease(held=False))
    world.seconds += 1e6

    assert not world.leadership.check()
