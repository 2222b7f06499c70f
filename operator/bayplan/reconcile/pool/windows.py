"""The times in which pods of a Pool may begin to move."""

from collections.abc import Sequence

from bayplan.api.consolidation import Window
from bayplan.schedules.parse import Cron, Interval, parse


def open_at(windows: Sequence[Window], now: int) -> bool:
    """Whether any of the windows is open at `now` (epoch seconds); without windows it always is."""
    return not windows or any(_open(window, now) for window in windows)


def opens_at(windows: Sequence[Window], now: int) -> int | None:
    """When the next of them opens after `now`; None if none does."""
    moments = (_schedule(window).next_after(now) for window in windows)
    return min((moment for moment in moments if moment is not None), default=None)


def _open(window: Window, now: int) -> bool:
    began = _schedule(window).latest_at(now)
    return began is not None and now < began + window.duration_seconds


def _schedule(window: Window) -> Cron | Interval:
    """The Pool's spec was read, so its schedules can be read too."""
    return parse(window.schedule, window.time_zone, key="", anchor=0)
