"""Time zones and their local times.

Zones come from the tzdata package and not from the machine, so that every replica and every laptop
gives the same answer. A local time (a reading of the wall clock) is a naive datetime; moments are
epoch seconds. When a clock is put forward, some readings never happen; when it is put back, some
happen twice.
"""

import difflib
from datetime import date, datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from bayplan import units

LAST_MOMENT = 253_370_000_000  # late in 9998, where calendars end

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- a reading, not a moment
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


class ScheduleError(ValueError):
    """The schedule cannot be read or can never be due; the message names the remedy."""


class TimeZoneError(ScheduleError):
    """There is no such time zone."""


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """Every zone of the tz database, with links."""
    return frozenset(resources.files("tzdata").joinpath("zones").read_text("utf-8").split())


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo:
    """The zone with exactly this IANA name; TimeZoneError if there is none."""
    if name not in names():
        close = difflib.get_close_matches(name[:64], names(), n=1, cutoff=0.7)
        hint = f"did you mean {close[0]}?" if close else "write one such as UTC or Europe/Berlin"
        raise TimeZoneError(f"{units.shown(name)} is not an IANA time zone; {hint}")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def reading_at(where: ZoneInfo, moment: int) -> datetime:
    """The local time at a moment."""
    return datetime.fromtimestamp(moment, where).replace(tzinfo=None, fold=0)


def moments(where: ZoneInfo, reading: datetime) -> tuple[int, ...]:
    """The moments (none, one or two, in order) at which the wall clock shows this local time."""
    before, after = _offsets(where, reading)
    count = (reading - _EPOCH) // _SECOND
    if before == after:
        return (count - before,)
    return (count - before, count - after) if before > after else ()


def first_moment(where: ZoneInfo, reading: datetime) -> int:
    """The first moment at which the wall clock shows this time, or has just jumped over it.

    A later reading never gives an earlier moment.
    """
    before, after = _offsets(where, reading)
    count = (reading - _EPOCH) // _SECOND
    if before >= after:
        return count - before
    too_early, late_enough = count - after, count - before
    while late_enough - too_early > 1:  # the jump, at most a day wide: 17 halvings
        middle = (too_early + late_enough) // 2
        if reading_at(where, middle) > reading:
            late_enough = middle
        else:
            too_early = middle
    return late_enough


@lru_cache(maxsize=65536)
def plain_start(where: ZoneInfo, day: date) -> int | None:
    """The moment at which the day begins; None if the clock changes within its 24 hours."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 -- a reading
    before, after = _offsets(where, midnight)
    if not before == after == _offset(where, midnight + _DAY - _SECOND, 0):
        return None
    if after != _offset(where, midnight + _DAY - _SECOND, 1):
        return None
    return (midnight - _EPOCH) // _SECOND - before


def _offsets(where: ZoneInfo, reading: datetime) -> tuple[int, int]:
    return _offset(where, reading, 0), _offset(where, reading, 1)


def _offset(where: ZoneInfo, reading: datetime, fold: int) -> int:
    offset = reading.replace(tzinfo=where, fold=fold).utcoffset()
    return offset // _SECOND if offset is not None else 0
