"""What a page of the screen is: how it looks at the cluster, and where its rows lead."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bayplan.cli.screen.columns import Column, Row, cells, widths

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look found: rows, and what stands above them.

    The texts of the cells are made here, in the thread that looks, so that drawing is quick.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    head: Sequence[str] = ()
    gauges: Mapping[str, float] = field(default_factory=dict)  # name -> percent
    lines: Sequence[Sequence[str]] = field(init=False)
    widths: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        lines = [cells(self.columns, row) for row in self.rows]
        object.__setattr__(self, "lines", lines)
        object.__setattr__(self, "widths", widths(self.columns, lines))


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of rows; `key` may be of any type that compares with itself."""

    title: str
    key: Callable[[Row], Any]
    falling: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page; without a way to `enter`, `logs` or `explain` a row, the key says so.

    `noun` names its rows, in the plural. `sorts` begins with the order at the start. A page that
    `follows` shows its last line until the user moves away from it; one that `wraps` breaks lines.
    """

    title: str
    noun: str
    look: Callable[["ApiClient"], Seen]
    sorts: tuple[Sort, ...] = ()
    enter: "Callable[[Row], Page] | None" = None
    logs: "Callable[[Row], Page] | None" = None
    explain: "Callable[[Row], Page] | None" = None
    follows: bool = False
    wraps: bool = False


def by(title: str, key: str, *, falling: bool = False) -> Sort:
    """An order by a value of the rows; rows without the value are the smallest."""

    def value(row: Row) -> tuple[bool, Any]:
        found = row[key]
        return found is not None, found if found is not None else 0

    return Sort(title, value, falling)


def identity(row: Row) -> tuple[Any, ...]:
    """What says that a row of the next look is about the same thing."""
    return tuple(row.get(key) for key in ("namespace", "name", "run", "workload"))
