"""Chance with a seed: the same seed makes the same cluster on every machine."""

import random
from collections.abc import Sequence
from typing import TypeVar

One = TypeVar("One")


class Dice:
    """What a generator asks of chance."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  no secret hangs on it

    def chance(self, share: float) -> bool:
        return self._random.random() < share

    def number(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def pick(self, choices: Sequence[One]) -> One:
        return self._random.choice(choices)

    def some(self, choices: Sequence[One], most: int | None = None, least: int = 0) -> list[One]:
        """Between `least` and `most` of them, in the order in which they stand."""
        count = self.number(least, len(choices) if most is None else min(most, len(choices)))
        chosen = set(self._random.sample(range(len(choices)), count))
        return [one for index, one in enumerate(choices) if index in chosen]
