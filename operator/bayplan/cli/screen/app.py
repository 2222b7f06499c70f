"""The screen of `bayplan top`: pages of rows, looked at again and again in a thread of its own."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import click
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from bayplan.cli.errors import NoCluster, WrongInput
from bayplan.cli.packing import top_table
from bayplan.cli.printing import age
from bayplan.cli.screen import views
from bayplan.cli.screen.help import Help
from bayplan.cli.screen.listing import Listing
from bayplan.cli.screen.pages import Page, Seen
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_LOW = 16  # lines; a screen that is lower has no bars
_REST = 2  # the pause after a look is at least so many times as long as the look
_HEAD_LINES = 4
_WIDE = 80  # columns; a narrower screen has only the numbers of other pages
_KEYS = (
    ("q", "quit"), ("?", "help"), ("enter", "open"), ("esc", "back"), ("l", "logs"),
    ("e", "explain"), ("/", "filter"), ("s", "sort"), ("tab", "next page"),
)  # fmt: skip


class Screen(App[click.ClickException | None]):
    """A stack of pages; its result is the error if the first look failed, else None."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #path { text-style: bold; height: 1; }
    #head { height: auto; }
    Listing { height: 1fr; background: ansi_default; color: ansi_default; }
    #place { height: 1; text-style: dim; }
    #message { height: auto; }
    #message { color: ansi_yellow; }
    #keys { height: 1; text-style: dim; }
    Input { height: 1; border: none; padding: 0; background: ansi_default; color: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", show=False),
        Binding("enter", "enter", show=False),
        Binding("escape,backspace", "leave", show=False),
        Binding("l", "logs", show=False),
        Binding("e", "explain", show=False),
        Binding("slash", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("S", "reverse", show=False),
        Binding("a", "namespaces", show=False),
        Binding("r", "look", show=False),
        Binding("question_mark", "help", show=False),
        Binding("tab", "turn(1)", show=False, priority=True),
        Binding("shift+tab", "turn(-1)", show=False, priority=True),
        *(
            Binding(str(number), f"view('{what}')", show=False)
            for number, what in enumerate(views.VIEWS, start=1)
        ),
    ]

    def __init__(
        self, cluster: "ApiClient", what: str, choice: views.Choice, seconds: float
    ) -> None:
        super().__init__(ansi_color=True)
        self.cluster = cluster
        self.looks = 0  # that have brought rows
        self._what, self._choice, self._seconds = what, choice, seconds
        self._own_namespace = choice.namespace
        self._stack: list[Page] = []
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "look")
        self._seen_at = 0.0

    def compose(self) -> ComposeResult:
        """From top to bottom: where we are, the sums, the rows, what is not seen, the keys."""
        yield Static(id="path", markup=False)
        yield Static(id="head", markup=False)
        yield Listing()
        yield Static(id="place", markup=False)
        yield Static(id="message", markup=False)
        yield Input(id="filter", placeholder="words that a row must have", compact=True)
        yield Static(id="keys", markup=False)

    def on_mount(self) -> None:
        self._listing = self.query_one(Listing)
        self._input = self.query_one(Input)
        self._place = self.query_one("#place", Static)  # told by a timer, also while we end
        self._input.display = False
        self._listing.focus()
        self._open([views.page(self._what, self._choice)])
        self.run_worker(self._looking(), exit_on_error=True)
        self.set_interval(1, self._tell_place)

    # Looking

    async def _looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            page, began = self._stack[-1], time.monotonic()
            self._wake.clear()
            found = await loop.run_in_executor(self._thread, self._look, page)
            took = time.monotonic() - began
            if page is not self._stack[-1]:
                continue
            if isinstance(found, Seen):
                self._show(found)
            elif found is not None:
                if not self.looks:
                    self.exit(found)
                    return
                self._say(found.message)
            try:
                await asyncio.wait_for(self._wake.wait(), max(self._seconds, _REST * took))
            except TimeoutError:
                continue

    def _look(self, page: Page) -> Seen | click.ClickException | None:
        """In the thread: one look; None if it was interrupted."""
        self.cluster.resume()
        try:
            return page.look(self.cluster)
        except asyncio.CancelledError:
            return None
        except InputError as error:
            return WrongInput(str(error))
        except OSError as error:
            return NoCluster(str(error))
        except click.ClickException as error:
            return error

    def _show(self, seen: Seen) -> None:
        self.looks += 1
        self._seen_at = time.monotonic()
        self._say("")
        self._head(seen)
        self._listing.show(seen)

    def stop(self) -> None:
        """End the look under way."""
        self.cluster.interrupt()
        self._thread.shutdown(cancel_futures=True)

    # Turning pages

    def _open(self, stack: list[Page]) -> None:
        self._stack, self._seen_at = stack, 0.0
        self._close_filter()
        self._listing.turn_to(stack[-1])
        self._tell_path()
        self.query_one("#head", Static).update("")
        self._say("Asking the cluster …")
        self.cluster.interrupt()
        self._wake.set()

    def action_view(self, what: str) -> None:
        self._what = what
        self._open([views.page(what, self._choice)])

    def action_turn(self, by: int) -> None:
        at = views.VIEWS.index(self._what) + by
        self.action_view(views.VIEWS[at % len(views.VIEWS)])

    def action_enter(self) -> None:
        self._follow(self._stack[-1].enter, "There is nothing further inside.")

    def action_logs(self) -> None:
        none = "Logs belong to pods: enter shows the pods of this row."
        self._follow(self._stack[-1].logs, none)

    def action_explain(self) -> None:
        self._follow(self._stack[-1].explain, "There is nothing to explain in this row.")

    def _follow(self, way: "object", none: str) -> None:
        row = self._listing.row
        if row is None:
            return
        if not callable(way):
            self._say(none)
            return
        self._open([*self._stack, way(row)])

    def action_leave(self) -> None:
        """Close the filter, else forget it, else leave the page."""
        if self._input.display or self._listing.filter:
            self._close_filter()
            self._listing.narrow("")
        elif len(self._stack) > 1:
            self._open(self._stack[:-1])

    def action_namespaces(self) -> None:
        """All namespaces, or only the chosen one again."""
        own = self._own_namespace or self.cluster.target.chosen
        namespace = "" if self._choice.namespace else own
        self._choice = replace(self._choice, namespace=namespace)
        self.action_view(self._what)

    # Order and filter

    def action_sort(self) -> None:
        sorts = self._listing.sorts
        if sorts:
            at = (self._listing.sort + 1) % len(sorts)
            self._listing.order_by(at, falling=sorts[at].falling)

    def action_reverse(self) -> None:
        if self._listing.sorts:
            self._listing.order_by(self._listing.sort, falling=not self._listing.falling)

    def action_filter(self) -> None:
        self._input.value = self._listing.filter
        self._input.display = True
        self._input.focus()

    def _close_filter(self) -> None:
        self._input.display = False
        self._listing.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if self._input.display:
            self._listing.narrow(event.value)

    def on_input_submitted(self) -> None:
        self._close_filter()

    def action_look(self) -> None:
        self._say("Asking the cluster …")
        self._wake.set()

    def action_help(self) -> None:
        self.push_screen(Help())

    # What stands around the rows

    def _tell_path(self) -> None:
        path = Text(no_wrap=True, overflow="ellipsis")
        if len(self._stack) == 1:
            for number, what in enumerate(views.VIEWS, start=1):
                here = what == self._what
                named = here or self.size.width >= _WIDE
                path.append(f" {number} {what} " if named else f" {number} ", "reverse" * here)
        else:
            path.append(" › ".join(page.title for page in self._stack))
        self.query_one("#path", Static).update(path)

    def _head(self, seen: Seen) -> None:
        lines = [Text(line) for line in seen.head[:_HEAD_LINES]]
        if self.size.height >= _LOW:
            lines += top_table.gauges(seen.gauges)
        head = self.query_one("#head", Static)
        head.display = bool(lines)
        head.update(Text("\n").join(lines))

    def on_listing_changed(self) -> None:
        self._tell_place()

    def _tell_place(self) -> None:
        """Which rows are seen, of how many, in which order; how old they are."""
        listing, page = self._listing, self._stack[-1]
        parts = []
        if self._seen_at:
            if listing.count:
                last = listing.count - listing.below
                more = f", {listing.below:,} more" if listing.below else ""
                parts.append(f"{listing.top + 1:,}–{last:,} of {listing.count:,} {page.noun}{more}")
            else:
                parts.append(f"no {page.noun}")
        if self._what in {"pods", "jobs", "services"} and len(self._stack) == 1:
            parts.append(self._choice.namespace or "all namespaces")
        if listing.filter:
            parts.append(f"with “{listing.filter}” (esc: all)")
        if listing.sorts:
            arrow = "↓" if listing.falling else "↑"
            parts.append(f"by {listing.sorts[listing.sort].title} {arrow}")
        fitted = listing.columns
        if fitted.before or fitted.after:
            left, right = f"← {fitted.before} " * bool(fitted.before), f" {fitted.after} →"
            parts.append(f"{left}columns{right * bool(fitted.after)}")
        since = time.monotonic() - self._seen_at
        if self._seen_at and since > 2 * self._seconds:
            parts.append(f"{age(since)} old")
        self._place.update(Text(" · ".join(parts), no_wrap=True))
        keys = Text("  ").join(Text.assemble((key, "bold"), " ", words) for key, words in _KEYS)
        keys.no_wrap = True
        self.query_one("#keys", Static).update(keys)

    def _say(self, text: str) -> None:
        message = self.query_one("#message", Static)
        message.display = bool(text)
        message.update(Text(text))
