"""Schedules: when runs of a BatchJob are due.

A schedule is a function from its text, time zone, name (for `H`) and anchor to a set of moments
in epoch seconds; it keeps no state and knows no clock, so a restart cannot change what was due.
All kinds answer the questions of `slots.Slots`.
"""

from collections.abc import Sequence
from functools import lru_cache

from bayplan import units
from bayplan.schedules import cron, intervals
from bayplan.schedules.cron import Cron
from bayplan.schedules.intervals import Interval
from bayplan.schedules.union import Timetable
from bayplan.schedules.zones import ScheduleError, TimeZoneError, zone

__all__ = ["Cron", "Interval", "Schedule", "ScheduleError", "TimeZoneError", "parse", "together"]

Schedule = Cron | Interval | Timetable

LONGEST = 256  # characters


def together(texts: Sequence[str], time_zone: str, *, key: str, anchor: int) -> Schedule:
    """Read one or several schedules as one; a moment that two of them have is one slot."""
    parts = tuple(parse(text, time_zone, key=key, anchor=anchor) for text in texts)
    return parts[0] if len(parts) == 1 else Timetable(parts)


def parse(text: str, time_zone: str, *, key: str, anchor: int) -> Cron | Interval:
    """Read a schedule; raises ScheduleError with the remedy.

    `key` is namespace/name, from which `H` is hashed. `anchor` (epoch seconds: when the resource
    was created) is slot 0 of an interval without a start. Results are cached.
    """
    where = zone(time_zone)
    if len(text) > LONGEST:
        raise ScheduleError(f"{units.shown(text)} is longer than {LONGEST} characters; shorten it")
    text = text.strip(" \t")
    if not text or not text.isascii() or not text.replace("\t", " ").isprintable():
        raise ScheduleError(
            f"{units.shown(text)} is no schedule; write five cron fields such as 0 6 * * *, or "
            "R//PT15M"
        )
    if text.startswith("R"):
        return _interval(text, where.key, anchor if "//" in text else 0)
    return _cron(text, where.key, key if "H" in text.upper() else "")


@lru_cache(maxsize=16384)
def _cron(text: str, time_zone: str, key: str) -> Cron:
    return cron.parse(text, zone(time_zone), key=key)


@lru_cache(maxsize=16384)
def _interval(text: str, time_zone: str, anchor: int) -> Interval:
    return intervals.parse(text, zone(time_zone), anchor=anchor)
