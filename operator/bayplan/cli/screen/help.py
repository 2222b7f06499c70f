"""The keys of the screen."""

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Static

KEYS = (
    ("↑ ↓  k j", "a row up, down"),
    ("PgUp PgDn", "a page up, down (also b and space)"),
    ("Home End  g G", "the first row, the last"),
    ("← →", "the columns that have no room"),
    ("enter", "open the row: pods of a node, logs of a pod"),
    ("esc", "back; with a filter: all rows again"),
    ("l", "logs of the pod"),
    ("e", "explain the row: why it waits, stays or goes"),
    ("/", "filter: rows with all these words"),
    ("s  S", "sort by something else; turn the order round"),
    ("1 … 7, tab", "nodes, pods, jobs, services, Pools, costs"),
    ("a", "all namespaces, or one"),
    ("r", "look now"),
    ("q", "quit"),
)
_WIDTH = 15


class Help(ModalScreen[None]):
    """All keys; any key closes it."""

    CSS = """
    Help { align: center middle; background: ansi_default; }
    Help Static {
        width: auto; max-width: 100%; height: auto; border: round ansi_blue; padding: 0 1;
        background: ansi_default; color: ansi_default;
    }
    """

    def compose(self) -> ComposeResult:
        lines = [Text.assemble((f"{keys:<{_WIDTH}}", "bold"), words) for keys, words in KEYS]
        about = Text("A bar is what pods request of the allocatable room, never usage.", "dim")
        yield Static(Text("\n").join([*lines, Text(), about]))

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss()
