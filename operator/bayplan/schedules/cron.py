"""Cron: five fields, read by cronsim, evaluated here day by day on integers.

A day is a start and a sorted tuple of seconds, so that both directions cost a bisection and a
long outage costs nothing. On days when the clock changes (Debian cron's rule): if minute and hour
are both given, each time happens exactly once, at the first valid moment when the clock jumps
over it; if either starts with `*`, it happens whenever the clock reads a matching time.
"""

import calendar
import hashlib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from bayplan import units
from bayplan.schedules.base import Slots
from bayplan.schedules.zones import (
    LAST_MOMENT,
    ScheduleError,
    first_moment,
    moments,
    plain_start,
    reading_at,
)

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
_ALLOWED = ("0-59", "0-23", "1-31, L or LW", "1-12 or JAN-DEC", "0-7 or SUN-SAT, 5L, MON#2")
_SPAN = (60, 24, 31, 12, 7)
_HASHED = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))  # what H stands for; 28: in every month
_H = re.compile(r"H(?:\(([0-9]{1,2})-([0-9]{1,2})\))?(?:/([0-9]{1,2}))?")
_STEP = re.compile(r"/([0-9]+)")
# 6-6/2 is 6; cronsim would go on to the end.
_LONELY = re.compile(r"\b([0-9A-Z]+)-\1/0*[1-9][0-9]*\b")
_FAR = 50 * 12  # months to search; 29 February on a given weekday comes within 40 years
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Cron(Slots):
    """A cron schedule in a time zone. Two are equal if their text (H replaced) and zone are."""

    text: str
    zone: ZoneInfo
    seconds: tuple[int, ...] = field(compare=False, repr=False)  # of a day, sorted
    days: frozenset[int] = field(compare=False, repr=False)
    months: frozenset[int] = field(compare=False, repr=False)
    weekdays: frozenset[int | tuple[int, int]] = field(compare=False, repr=False)
    both: bool = field(compare=False, repr=False)  # day-of-month AND day-of-week, else OR
    once: bool = field(compare=False, repr=False)  # each time once a day, also when clocks change

    def next_after(self, moment: int) -> int | None:
        if moment >= LAST_MOMENT:
            return None
        moment = max(moment, -1)
        today = reading_at(self.zone, moment).date()
        near = [self._first(day, moment) for day in self._around(today)]
        if any(slot is not None for slot in near):
            return min(slot for slot in near if slot is not None)
        slots = (self._first(day, moment) for day in self._dates(today + _DAY, step=1))
        return next((slot for slot in slots if slot is not None), None)

    def latest_at(self, moment: int) -> int | None:
        if moment < 0:
            return None
        moment = min(moment, LAST_MOMENT)
        today = reading_at(self.zone, moment).date()
        near = [self._last(day, moment) for day in self._around(today)]
        if any(slot is not None for slot in near):
            return max(slot for slot in near if slot is not None)
        slots = (self._last(day, moment) for day in self._dates(today - _DAY, step=-1))
        return next((slot for slot in slots if slot is not None), None)

    def count_between(self, after: int, until: int) -> int:
        """The number of slots; takes a few microseconds per day, 50 years at most."""
        after, until = max(after, -1), min(until, LAST_MOMENT)
        if until <= after:
            return 0
        first, last = (reading_at(self.zone, moment).date() for moment in (after, until))
        count, newest = 0, after
        for day in self._dates(first - _DAY, step=1):
            if day > last + _DAY:
                break
            start, seconds = _day(self, day)
            low = bisect_right(seconds, after - start)
            high = bisect_right(seconds, until - start)
            if low < high:
                count += high - low - (start + seconds[low] == newest > after)
                newest = start + seconds[high - 1]
        return count

    def remaining_after(self, moment: int) -> int | None:  # noqa: ARG002 -- as Interval's
        """Cron never ends."""
        return None

    def _first(self, day: date, moment: int) -> int | None:
        start, seconds = _day(self, day)
        index = bisect_right(seconds, moment - start)
        return start + seconds[index] if index < len(seconds) else None

    def _last(self, day: date, moment: int) -> int | None:
        start, seconds = _day(self, day)
        index = bisect_right(seconds, moment - start)
        return start + seconds[index - 1] if index else None

    def _around(self, day: date) -> Iterator[date]:
        """Matching days whose slots may be among the slots of this day.

        If the clock jumps over midnight, slots move into the next day; if it is put back over
        midnight, the slots of two days are mixed.
        """
        for near in (day - _DAY, day, day + _DAY):
            if near.day in _days(self, near.year, near.month):
                yield near

    def _dates(self, day: date, step: int) -> Iterator[date]:
        """Matching days from this day on, forwards (step 1) or backwards (-1), for 50 years."""
        year, month = day.year, day.month
        for _ in range(_FAR):
            days = _days(self, year, month)
            if (year, month) == (day.year, day.month):
                at = bisect_left(days, day.day + (step < 0))
                days = days[at:] if step > 0 else days[:at]
            for number in days[::step]:
                yield date(year, month, number)
            year, month = year + (month + step - 1) // 12, (month + step - 1) % 12 + 1
            if not 1969 < year < 9999:  # noqa: PLR2004
                return


@lru_cache(maxsize=65536)
def _days(cron: Cron, year: int, month: int) -> tuple[int, ...]:
    """The matching days of a month, in order."""
    if month not in cron.months:
        return ()
    first, last = calendar.monthrange(year, month)
    friday = last - max(0, (first + last - 1) % 7 - 4)  # the last weekday
    days: list[int] = []
    for day in range(1, last + 1):
        weekday = (first + day) % 7  # Sunday is 0
        by_month = (
            day in cron.days
            or (day == last and CronSim.LAST in cron.days)
            or (day == friday and CronSim.LAST_WEEKDAY in cron.days)
        )
        by_week = (
            weekday in cron.weekdays
            or (weekday, (day + 6) // 7) in cron.weekdays
            or (day + 7 > last and (weekday, CronSim.LAST) in cron.weekdays)
        )
        if (by_month and by_week) if cron.both else (by_month or by_week):
            days.append(day)
    return tuple(days)


def _day(cron: Cron, day: date) -> tuple[int, tuple[int, ...]]:
    """The day's start and its slots in seconds from there, in order."""
    start = plain_start(cron.zone, day)
    return (0, _changed(cron, day)) if start is None else (start, cron.seconds)


@lru_cache(maxsize=4096)
def _changed(cron: Cron, day: date) -> tuple[int, ...]:
    """The slots of a day on which the clock changes, in epoch seconds."""
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 -- a reading
    readings = [midnight + timedelta(seconds=second) for second in cron.seconds]
    if cron.once:
        return tuple(sorted({first_moment(cron.zone, reading) for reading in readings}))
    return tuple(sorted(at for reading in readings for at in moments(cron.zone, reading)))


def parse(text: str, zone: ZoneInfo, *, key: str) -> Cron:
    """Read five fields or an alias; `H` is hashed from `key`. Raises ScheduleError."""
    expression = _hashed(_five(text), key)
    for name, span, part in zip(_FIELDS, _SPAN, expression, strict=True):
        for step in _STEP.findall(part):
            if int(step) > span:
                raise ScheduleError(
                    f"the {name} field {units.shown(part)} steps beyond its {span} values, so it "
                    "would not repeat as written; for such periods write R//PT90M"
                )
    try:
        read = CronSim(_LONELY.sub(r"\1", " ".join(expression)), datetime(2000, 1, 1, tzinfo=UTC))
    except (CronSimError, ValueError, AssertionError) as error:
        raise _explained(str(error), expression) from error
    hours, minutes = sorted(read.hours), sorted(read.minutes)
    cron = Cron(
        text=" ".join(expression),
        zone=zone,
        seconds=tuple(hour * 3600 + minute * 60 for hour in hours for minute in minutes),
        days=frozenset(read.days),
        months=frozenset(read.months),
        weekdays=frozenset(
            (item[0] % 7, item[1]) if isinstance(item, tuple) else item % 7
            for item in read.weekdays
        ),
        both=read.day_and,
        once=not expression[0].startswith("*") and not expression[1].startswith("*"),
    )
    if cron.next_after(0) is None:
        raise _never(expression)
    return cron


def _five(text: str) -> list[str]:
    if text.startswith("@"):
        if text in ALIASES:
            return ALIASES[text].split(" ")
        raise ScheduleError(
            f"{units.shown(text)} is not known; write one of {' '.join(ALIASES)}, or R//PT15M "
            "for every 15 minutes"
        )
    parts = text.upper().split()
    if "TZ=" in parts[0]:
        raise ScheduleError(
            f"{units.shown(text)} names a time zone; remove {parts[0]!r} and set `timeZone`"
        )
    if len(parts) != len(_FIELDS):
        raise ScheduleError(
            f"{units.shown(text)} has {len(parts)} fields; write five: minute hour day-of-month "
            "month day-of-week"
        )
    return parts


def _hashed(parts: list[str], key: str) -> list[str]:
    """The fields with every H replaced by numbers that are the same for the same key."""
    return [
        ",".join(_number(term, index, key) for term in part.split(","))
        for index, part in enumerate(parts)
    ]


def _number(term: str, index: int, key: str) -> str:
    match = _H.fullmatch(term)
    if match is None:
        return term
    low, high = _HASHED[index]
    if match[1] is not None:
        given = int(match[1]), int(match[2])
        if not low <= given[0] <= given[1] <= high:
            raise ScheduleError(
                f"the {_FIELDS[index]} field {term!r} hashes outside {low}-{high}; write two "
                "numbers within, the smaller first"
            )
        low, high = given
    digest = hashlib.sha256(f"{_FIELDS[index]} {key}".encode()).digest()
    chance = int.from_bytes(digest[:8], "big")
    if match[3] is None:
        return str(low + chance % (high - low + 1))
    step = int(match[3])
    if not 1 <= step <= high - low + 1:
        raise ScheduleError(f"the {_FIELDS[index]} field {term!r} must step by 1-{high - low + 1}")
    return ",".join(map(str, range(low + chance % step, high + 1, step)))


def _explained(error: str, parts: list[str]) -> ScheduleError:
    """An error with the bad field, what it holds and what it may hold; cronsim only names it."""
    for name, allowed, part in zip(_FIELDS, _ALLOWED, parts, strict=True):
        if error != f"Bad {name}":
            continue
        if name == "day-of-month" and _is_day(part):
            return _never(parts)
        return ScheduleError(
            f"the {name} field {units.shown(part)} must hold {allowed}, `*`, ranges such as 1-5 "
            "(the smaller first), steps such as */15, lists or H"
        )
    return ScheduleError(f"{units.shown(' '.join(parts))} is not a cron expression")


def _is_day(part: str) -> bool:
    try:
        CronSim(f"0 0 {part} * *", datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError:
        return False
    return True


def _never(parts: list[str]) -> ScheduleError:
    return ScheduleError(
        f"{units.shown(' '.join(parts))} is never due: no month has such a day; for the last day "
        "of the month write L"
    )
