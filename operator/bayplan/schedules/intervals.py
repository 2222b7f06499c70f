"""ISO 8601 repeating intervals: `R[n]/[start]/period`.

Slot k is start + k · period, never the previous slot plus the period. So a month after the 31st is
the last day of a shorter month, and the next slot is on the 31st again. Years, months, weeks and
days count by the local clock of the time zone; hours, minutes and seconds count elapsed time.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bayplan import units
from bayplan.schedules.base import Slots
from bayplan.schedules.zones import LAST_MOMENT, ScheduleError, first_moment, reading_at

_SHAPE = re.compile(r"R([0-9]{0,9})/([^/]*)/([^/]*)")
_PERIOD = re.compile(
    r"P(?=[0-9T])(?:([0-9]{1,6})Y)?(?:([0-9]{1,6})M)?(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,9})H)?(?:([0-9]{1,9})M)?(?:([0-9]{1,9})S)?)?"
)
_START = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,]0{1,9})?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2}|[+-][0-9]{2})?)?"
)
_MONTH = 2_629_746  # seconds of a mean Gregorian month
_SHORTEST = 10  # seconds; a run takes longer than that to place, start and account for
_LONGEST = 100 * 12 * _MONTH
_FIRST_YEAR, _LAST_YEAR = 1970, 9998


@dataclass(frozen=True, slots=True)
class Interval(Slots):
    """A repeating interval in a time zone; `total` is None if it never ends."""

    zone: ZoneInfo
    anchor: int  # epoch seconds of slot 0
    reading: datetime  # local time of slot 0, as if the clock had not jumped
    months: int
    days: int
    seconds: int
    total: int | None = None

    def slot(self, index: int) -> int | None:
        """Slot number `index`, from 0; None after the last slot or the end of the calendar."""
        if index < 0 or (self.total is not None and index >= self.total):
            return None
        moment = self._moment(index)
        return moment if moment < LAST_MOMENT else None

    def index_at(self, moment: int) -> int:
        """Number of the last slot not after the moment; -1 before the first.

        The mean period gives a first guess. A calendar differs from it by at most eight days, with
        clock changes, so the search from the guess is short even if the anchor is old.
        """
        if moment < self.anchor or self.total == 0:
            return -1
        moment = min(moment, LAST_MOMENT - 1)
        mean = self.months * _MONTH + self.days * 86_400 + self.seconds
        index = (moment - self.anchor) // mean
        while self._moment(index) > moment:
            index -= 1
        while self._moment(index + 1) <= moment:
            index += 1
        return index if self.total is None else min(index, self.total - 1)

    def next_after(self, moment: int) -> int | None:
        return self.slot(self.index_at(moment) + 1)

    def latest_at(self, moment: int) -> int | None:
        return self.slot(self.index_at(moment))

    def count_between(self, after: int, until: int) -> int:
        return max(0, self.index_at(until) - self.index_at(after))

    def remaining_after(self, moment: int) -> int | None:
        return None if self.total is None else self.total - 1 - self.index_at(moment)

    def _moment(self, index: int) -> int:
        """The time of slot `index`, ignoring `total`; LAST_MOMENT beyond the calendar."""
        passed = index * self.seconds
        if index == 0 or not (self.months or self.days):
            return self.anchor + passed
        years, month = divmod(self.reading.month - 1 + index * self.months, 12)
        year = self.reading.year + years
        if year > _LAST_YEAR:
            return LAST_MOMENT
        day = min(self.reading.day, calendar.monthrange(year, month + 1)[1])
        try:
            shifted = self.reading.replace(year=year, month=month + 1, day=day)
            shifted += timedelta(days=index * self.days)
        except OverflowError:
            return LAST_MOMENT
        if shifted.year > _LAST_YEAR:
            return LAST_MOMENT
        return first_moment(self.zone, shifted) + passed


def parse(text: str, zone: ZoneInfo, *, anchor: int) -> Interval:
    """Read `R[n]/[start]/period`; without a start slot 0 is at `anchor`. Raises ScheduleError."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ScheduleError(
            f"{units.shown(text)} is no repeating interval; write R[n]/[start]/period, such as "
            "R/2026-01-31T06:00/P1M or R//PT15M"
        )
    repeats, start, period = match.groups()
    months, days, seconds = _period(period)
    if start:
        reading, anchor = _start(start, zone)
    else:
        reading = reading_at(zone, anchor)
    return Interval(
        zone=zone,
        anchor=anchor,
        reading=reading,
        months=months,
        days=days,
        seconds=seconds,
        total=int(repeats) if repeats else None,
    )


def _period(text: str) -> tuple[int, int, int]:
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ScheduleError(f"the period {units.shown(text)} {_period_fault(text)}")
    years, months, weeks, days, hours, minutes, seconds = (
        int(part or 0) for part in match.groups()
    )
    period = years * 12 + months, weeks * 7 + days, hours * 3600 + minutes * 60 + seconds
    length = period[0] * _MONTH + period[1] * 86_400 + period[2]
    if not _SHORTEST <= length <= _LONGEST:
        raise ScheduleError(
            f"the period {units.shown(text)} must last {_SHORTEST} seconds to 100 years"
        )
    return period


def _period_fault(text: str) -> str:
    if text.startswith(("-", "+")):
        return "must have no sign; write P1D for a day"
    if "." in text or "," in text:
        return "must be whole numbers; write a smaller unit, such as PT90M for an hour and a half"
    return "is no ISO 8601 duration; write such as P1M, P1W, P1D, PT12H or PT90M (T before times)"


def _start(text: str, zone: ZoneInfo) -> tuple[datetime, int]:
    """What the wall clock reads at the start, and the moment."""
    match = _START.fullmatch(text)
    if match is None:
        raise ScheduleError(
            f"the start {units.shown(text)} is no time; write such as 2026-01-31T06:00, "
            "2026-01-31T06:00:00Z or 2026-01-31T06:00+02:00"
        )
    day, time, offset = match.groups()
    try:
        start = datetime.fromisoformat(f"{day}T{time or '00:00'}{offset or ''}")
    except ValueError as error:
        raise ScheduleError(f"the start {units.shown(text)} does not exist: {error}") from error
    if not _FIRST_YEAR < start.year <= _LAST_YEAR:
        raise ScheduleError(f"the start {units.shown(text)} must lie in 1971 or later")
    if start.tzinfo is None:
        return start, first_moment(zone, start)
    moment = int(start.timestamp())
    return reading_at(zone, moment), moment
