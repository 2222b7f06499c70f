"""Sets of small numbers, written like the pages to print: `0-3,7`."""

import re
from collections.abc import Iterable

_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?")
_MOST_RANGES = 1000


def text(numbers: Iterable[int]) -> str:
    """The numbers in order, each once; an empty text for no numbers."""
    told: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if told and told[-1][1] == number - 1:
            told[-1] = told[-1][0], number
        else:
            told.append((number, number))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in told)


def read(told: object, below: int) -> frozenset[int]:
    """The numbers in a text that are less than `below`; parts that make no sense are left out."""
    if not isinstance(told, str):
        return frozenset()
    found: set[int] = set()
    for part in told.split(",", _MOST_RANGES)[:_MOST_RANGES]:
        match = _RANGE.fullmatch(part)
        if match is not None:
            low = int(match[1])
            high = int(match[2] or low)
            found.update(range(low, min(high, below - 1) + 1))
    return frozenset(found)
