"""The columns of a table of `top`, and which of them have room in a width.

The first columns name the row and have all the room that they need. The others stand in the order
of their importance: those that find no room are left out, never cut.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayplan.cli.printing import plain

Row = Mapping[str, Any]
GAP = 2
BAR, SHORT_BAR = 10, 3
_FULL, _FAIR = 90.0, 60.0  # percent


@dataclass(frozen=True, slots=True)
class Column:
    """What a column shows of a row; `percent` puts a bar before the text.

    `names` tells the columns that say which row it is. `wide` columns are printed with `-o wide`,
    and are on the screen always.
    """

    title: str
    text: Callable[[Row], str]
    right: bool = False
    names: bool = False
    wide: bool = False
    percent: Callable[[Row], float] | None = None
    style: Callable[[Row], str] | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The columns that have room, with their widths, and how many are to the left and right."""

    columns: Sequence[int]
    widths: Sequence[int]
    bar: int
    before: int = 0
    after: int = 0


def cells(columns: Iterable[Column], row: Row) -> tuple[str, ...]:
    """What the columns say of a row, each a line without control characters."""
    return tuple(plain(column.text(row)) for column in columns)


def widths(columns: Sequence[Column], lines: Iterable[Sequence[str]]) -> list[int]:
    """How wide the text of each column is at most, its title included; bars are not."""
    found = [len(column.title) for column in columns]
    for line in lines:
        found = list(map(max, found, map(len, line)))
    return found


def fit(
    columns: Sequence[Column],
    texts: Sequence[int],
    width: int | None,
    *,
    skipped: int = 0,
    gap: int = GAP,
) -> Fit:
    """The columns that have room in `width` without the first `skipped` that do not name the row.

    `texts` are the widths of their texts; without a `width` all have room. Bars become short, and
    go, before a column is left out that is not `wide`.
    """
    named = [at for at, column in enumerate(columns) if column.names]
    others = [at for at, column in enumerate(columns) if not column.names]
    skipped = min(skipped, max(len(others) - 1, 0))
    shown = others[skipped:]
    needed = sum(not columns[at].wide for at in shown)
    for bar_width in (BAR, SHORT_BAR, 0):
        sizes = list(map(_size, columns, texts, [bar_width] * len(columns)))
        used = sum(sizes[at] + gap for at in named) - gap
        room = width - used if width is not None else sum(sizes) + gap * len(sizes)
        count = _count([sizes[at] + gap for at in shown], room)
        if count >= needed:
            break
    chosen = [*named, *shown[:count]]
    return Fit(chosen, [sizes[at] for at in chosen], bar_width, skipped, len(shown) - count)


def colour(percent: float) -> str:
    """A full node is green and an empty node red: a full node is money well spent."""
    return "green" if percent >= _FULL else "yellow" if percent >= _FAIR else "red"


def bar(percent: float, width: int) -> tuple[str, str]:
    """The full and the empty part of a bar."""
    full = max(min(round(percent * width / 100), width), 0)
    return "█" * full, "░" * (width - full)


def _size(column: Column, text: int, bar_width: int) -> int:
    if column.percent is None or not bar_width:
        return text
    return max(len(column.title), bar_width + 1 + text)


def _count(sizes: Sequence[int], room: int) -> int:
    """How many of the columns have room, from the left."""
    for at, size in enumerate(sizes):
        room -= size
        if room < 0:
            return at
    return len(sizes)
