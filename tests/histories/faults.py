"""Faults that befall operators in a history, whatever they serve: each method begins one fault."""

import random
from typing import Generic, TypeVar

from tests.histories.replica import Line
from tests.histories.world import World

W = TypeVar("W", bound=World)


class Faults(Generic[W]):
    """What happens is chosen by `_dice`, and happens to the replicas of `_world`."""

    _dice: random.Random
    _world: W

    def _line(self) -> Line | None:
        return self._dice.choice(self._world.lines) if self._world.lines else None

    def _processes(self) -> None:
        """It dies at the k-th write from now, before it is sent or before it is answered."""
        line = self._line()
        if line is not None:
            line.dies_in, line.dies_before = self._dice.randint(0, 6), self._dice.random() < 0.4
            self._world.say(f"{line.identity} dies in {line.dies_in}")

    def _requests(self) -> None:
        """Requests or their answers get lost for a while; or nothing passes at all."""
        line = self._line()
        if line is None:
            return
        line.lose_before, line.lose_after = self._dice.choice(
            [(0.3, 0.0), (0.0, 0.3), (0.2, 0.4), (0.0, 0.8)]
        )
        if self._dice.random() < 0.3:
            line.cut_until = self._world.time() + self._dice.choice([2, 8, 25])
        self._world.say(f"{line.identity} loses {line.lose_before} {line.lose_after}")
        self._world.later(self._dice.choice([5, 20]), lambda: self._restored(line))

    def _restored(self, line: Line) -> None:
        line.lose_before = line.lose_after = line.lost_news = line.doubled_news = 0.0
        line.slow = 0.02

    def _news(self) -> None:
        """News comes late, twice, not at all (kopf's); what happened is compacted away."""
        line = self._line()
        if line is None:
            return
        match self._dice.choice(["late", "twice", "lost", "gone", "slow"]):
            # A standby that is blind for long and then leads is of the family `leaders`.
            case "late":
                line.held_until = self._world.time() + self._dice.choice([1, 4, 12])
            case "twice":
                line.doubled_news = 0.5
            case "lost":
                line.lost_news = 0.5
            case "gone":
                line.cut_until = self._world.time() + 1
                self._world.later(0.5, self._world.store.compact)
            case _:
                line.slow = 0.3
        self._world.say(f"{line.identity} hears badly")
        self._world.later(self._dice.choice([10, 30]), lambda: self._restored(line))

    def _clocks(self) -> None:
        """Everybody's clock is set; or one replica's strays, by more or less than it may."""
        step = self._dice.choice([-45, -20, -2, 2, 20, 45, 300])
        line = self._line()
        if self._dice.random() < 0.6 or line is None:
            self._world.offset += step
            self._world.say(f"clocks step {step}")
        else:
            line.skew = self._dice.choice([-4.0, -1.0, 1.0, 4.0, 60.0, -60.0])
            self._world.say(f"{line.identity} is {line.skew} s off")

    def _leaders(self) -> None:
        """Two write at once; or the one that takes over has not seen all."""
        self._world.depose()
