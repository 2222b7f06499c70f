"""The list of a page: titles, rows, a cursor; it draws only the lines that are seen."""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from bayplan.cli.screen.columns import GAP, Column, Fit, Row, bar, colour, fit
from bayplan.cli.screen.pages import Page, Seen, Sort, identity

_TITLES = Style(bold=True)
_CURSOR = Style(reverse=True)
_PLAIN = Style()
_DIM = Style(dim=True)
_TITLE_LINES = 1
_STEP = 20  # characters that an arrow moves a text without columns


class Listing(Widget, can_focus=True):
    """Rows of the newest look, filtered and sorted; the cursor stays on its row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,b", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home,g", "move(-1000000000)", show=False),
        Binding("end,G", "move(1000000000)", show=False),
        Binding("left,h", "shift(-1)", show=False),
        Binding("right", "shift(1)", show=False),
    ]

    class Changed(Message):
        """The rows, the cursor or the columns that are seen have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = ""
        self.sort = 0
        self.falling = False
        self.cursor = 0
        self.top = 0
        self.skipped = 0
        self._page: Page | None = None
        self._told: Seen | None = None  # as the look found it
        self._seen: Seen | None = None  # with lines broken, if the page wraps
        self._order: Sequence[int] = ()
        self._fit = Fit((), (), 0)

    def turn_to(self, page: Page) -> None:
        """Show another page, which has not been looked at yet."""
        self._page, self._told, self._seen, self._order = page, None, None, ()
        self._fit = Fit((), (), 0)
        self.filter, self.sort, self.cursor, self.top, self.skipped = "", 0, 0, 0, 0
        self.falling = bool(page.sorts) and page.sorts[0].falling
        self._drawn_anew()

    def show(self, seen: Seen) -> None:
        """The result of a new look at the same page; the cursor stays on the same thing."""
        row, first = self.row, self._seen is None
        at_end = bool(self._page and self._page.follows) and (
            first or self.cursor >= len(self._order) - 1
        )
        self._told = seen
        self._seen = self._wrapped(seen)
        self._arrange()
        if at_end:
            self.cursor = len(self._order) - 1
        elif row is not None:
            self._find(row)
        self._keep_in_sight()

    def narrow(self, text: str) -> None:
        """Show only the rows that have every word of the text, in capitals or not."""
        row = self.row
        self.filter = text
        self._arrange()
        if row is not None:
            self._find(row)
        self._keep_in_sight()

    def order_by(self, sort: int, *, falling: bool) -> None:
        """Sort by an order of the page, and go to the first row."""
        self.sort, self.falling, self.cursor = sort, falling, 0
        self._arrange()
        self._keep_in_sight()

    @property
    def sorts(self) -> Sequence[Sort]:
        return self._page.sorts if self._page is not None else ()

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        if self._seen is None or not self._order:
            return None
        return self._seen.rows[self._order[self.cursor]]

    @property
    def count(self) -> int:
        """How many rows the filter lets through."""
        return len(self._order)

    @property
    def columns(self) -> Fit:
        return self._fit

    @property
    def below(self) -> int:
        """How many rows are below the last that is seen."""
        return max(len(self._order) - self.top - self._room, 0)

    @property
    def _room(self) -> int:
        return max(self.size.height - (_TITLE_LINES if self._titled else 0), 1)

    @property
    def _titled(self) -> bool:
        return self._seen is None or any(one.title for one in self._seen.columns)

    def _arrange(self) -> None:
        if self._seen is None:
            return
        seen, words = self._seen, self.filter.lower().split()
        found = [at for at, line in enumerate(seen.lines) if not words or _has(words, line)]
        if self.sorts:
            sort = self.sorts[self.sort]
            found.sort(key=lambda at: sort.key(seen.rows[at]), reverse=self.falling)
        self._order = found

    def _find(self, row: Row) -> None:
        """Put the cursor on the thing that a row of an earlier look was about."""
        if self._seen is None or (self._page is not None and self._page.follows):
            return
        wanted = identity(row)
        for at, index in enumerate(self._order):
            if identity(self._seen.rows[index]) == wanted:
                self.cursor = at
                return

    def _keep_in_sight(self) -> None:
        last = max(len(self._order) - 1, 0)
        self.cursor = min(max(self.cursor, 0), last)
        self.top = min(self.top, max(len(self._order) - self._room, 0), self.cursor)
        self.top = max(self.top, self.cursor - self._room + 1, 0)
        self._drawn_anew()

    def _drawn_anew(self) -> None:
        seen = self._seen
        if seen is not None and self._titled:
            width = self.size.width
            fitted = fit(seen.columns, seen.widths, width, skipped=self.skipped)
            self._fit = _narrowed(fitted, seen.columns, width)
        self.refresh()
        self.post_message(self.Changed())

    def on_resize(self, event: events.Resize) -> None:
        del event
        if self._told is not None and self._page is not None and self._page.wraps:
            self._seen = self._wrapped(self._told)
            self._arrange()
        self._keep_in_sight()

    def _wrapped(self, seen: Seen) -> Seen:
        if self._page is None or not self._page.wraps:
            return seen
        broken = (
            textwrap.wrap(line[0], self.size.width, subsequent_indent=_indent(line[0])) or [""]
            for line in seen.lines
        )
        return Seen(seen.columns, [{"line": part} for parts in broken for part in parts])

    def action_move(self, rows: int) -> None:
        self.cursor += rows
        self._keep_in_sight()

    def action_page(self, pages: int) -> None:
        self.top = max(self.top + pages * self._room, 0)
        self.action_move(pages * self._room)

    def action_shift(self, columns: int) -> None:
        if self._titled:
            wanted = self._fit.before + columns
            if columns > 0 and not self._fit.after:
                return
        else:
            wanted = self.skipped + columns
        self.skipped = max(wanted, 0)
        self._drawn_anew()

    def render_line(self, y: int) -> Strip:
        """A line of the screen: the titles, a row, or nothing."""
        width, seen = self.size.width, self._seen
        if seen is None:
            return Strip.blank(width)
        if self._titled:
            if y == 0:
                titles = (
                    Segment(_placed(seen.columns[at], seen.columns[at].title, size), _TITLES)
                    for at, size in zip(self._fit.columns, self._fit.widths, strict=True)
                )
                return _joined(([one] for one in titles), width, _TITLES)
            y -= _TITLE_LINES
        at = self.top + y
        if at >= len(self._order):
            return Strip.blank(width)
        base = _CURSOR if at == self.cursor else _PLAIN
        index = self._order[at]
        line, row = seen.lines[index], seen.rows[index]
        if not self._titled:
            text = line[0][self.skipped * _STEP :]
            return _joined([[Segment(text, base)]], width, base)
        fitted = zip(self._fit.columns, self._fit.widths, strict=True)
        found = (self._cell(seen.columns[at], line[at], row, size, base) for at, size in fitted)
        return _joined(found, width, base)

    def _cell(self, column: Column, text: str, row: Row, size: int, base: Style) -> list[Segment]:
        if column.percent is not None and self._fit.bar:
            percent = column.percent(row)
            full, empty = bar(percent, self._fit.bar)
            rest = set_cell_size(f" {text}", size - self._fit.bar)
            tint = Style.parse(colour(percent))
            return [Segment(full, tint + base), Segment(empty, _DIM + base), Segment(rest, base)]
        style = Style.parse(column.style(row)) if column.style else _PLAIN
        return [Segment(_placed(column, text, size), style + base)]


def _indent(line: str) -> str:
    """The blanks before what goes on in the next line."""
    return " " * (len(line) - len(line.lstrip()) + GAP)


def _narrowed(fitted: Fit, columns: Sequence[Column], width: int) -> Fit:
    """The same columns, where the longest name gives way if the names alone are too wide."""
    sizes = list(fitted.widths)
    over = sum(sizes) + GAP * (len(sizes) - 1) - width
    names = [at for at, index in enumerate(fitted.columns) if columns[index].names]
    if over > 0 and names:
        at = max(names, key=sizes.__getitem__)
        sizes[at] = max(sizes[at] - over, 1)
    return replace(fitted, widths=sizes)


def _placed(column: Column, text: str, size: int) -> str:
    """The text in its column; a name that is wider than the screen loses its middle."""
    long = len(text) - size
    if long > 0:
        half = (size - 1) // 2
        text = f"{text[: size - 1 - half]}…{text[len(text) - half :]}"
    return set_cell_size(text.rjust(size) if column.right else text, size)


def _joined(cells: Iterable[Sequence[Segment]], width: int, base: Style) -> Strip:
    found: list[Segment] = []
    for cell in cells:
        if found:
            found.append(Segment(" " * GAP, base))
        found += cell
    return Strip(found).adjust_cell_length(width, base)


def _has(words: Sequence[str], line: Sequence[str]) -> bool:
    text = " ".join(line).lower()
    return all(word in text for word in words)
