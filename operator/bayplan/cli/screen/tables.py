"""Tables that are printed once, of the same columns as on the screen. No name is ever cut."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bayplan.cli.screen.columns import BAR, Column, Row, bar, cells, colour, fit, widths

_GAP = 3  # between columns: a space on both sides, and an invisible line
_EDGES = 2
_DENSE_GAP = 2


def table(console: Console, columns: Sequence[Column], rows: Sequence[Row]) -> RenderableType:
    """The rows, for this console.

    On a terminal the columns that find no room are left out; otherwise the console becomes wide
    enough for all.
    """
    lines = [cells(columns, row) for row in rows]
    room = console.width - _EDGES if console.is_terminal else None
    fitted = fit(columns, widths(columns, lines), room, gap=_GAP)
    if room is None:
        console.width = max(console.width, sum(fitted.widths) + _GAP * len(fitted.widths))
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    _fill(shown, [columns[at] for at in fitted.columns], rows, fitted.bar)
    if not fitted.after:
        return shown
    left = ", ".join(column.title for column in columns[len(columns) - fitted.after :])
    return Group(shown, Text(f"No room here for {left}: use a wider terminal, or -o json"))


def dense(columns: Sequence[Column], rows: Sequence[Row]) -> Table:
    """The rows with every column; a name that is too long goes on in the next line."""
    shown = Table(box=None, pad_edge=False, padding=(0, _DENSE_GAP, 0, 0))
    _fill(shown, columns, rows, BAR)
    return shown


def _fill(shown: Table, columns: Sequence[Column], rows: Sequence[Row], bar_width: int) -> None:
    for column in columns:
        shown.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=not column.names,
            overflow="fold",
        )
    for row in rows:
        texts = cells(columns, row)
        shown.add_row(*(_cell(*pair, row, bar_width) for pair in zip(columns, texts, strict=True)))


def _cell(column: Column, text: str, row: Row, bar_width: int) -> Text:
    if column.percent is None or not bar_width:
        return Text(text)
    percent = column.percent(row)
    full, empty = bar(percent, bar_width)
    return Text.assemble((full, colour(percent)), (empty, "dim"), f" {text}")
