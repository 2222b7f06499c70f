"""When runs are due, read from a spec a second time. Shares no code with Bayplan.

Understood: `R[n]/[start]/period` with periods of weeks, days, hours, minutes and seconds, and cron
of five fields of numbers, lists, ranges and steps; in UTC. All else answers None: not judged.
"""

import datetime as dt
import re
from collections.abc import Iterator

_ISO = re.compile(r"R(\d*)/([^/]*)/P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_DAY = 86_400
_UNITS = (7 * _DAY, _DAY, 3600, 60, 1)


def targets(text: str, created: int, until: int, zone: str = "UTC") -> set[int] | None:
    """The slots in created <= t <= until, epoch seconds; None where this cannot say."""
    if zone not in {"UTC", "Etc/UTC"}:
        return None
    found = _ISO.fullmatch(text)
    if found:
        return _iso(found, created, until)
    words = text.split()
    if len(words) == len(_FIELDS) and all(re.fullmatch(r"[0-9*,/-]+", word) for word in words):
        return set(_cron(words, created, until))
    return None


def _iso(found: re.Match[str], created: int, until: int) -> set[int] | None:
    count, start, *parts = found.groups()
    period = sum(int(part or 0) * unit for part, unit in zip(parts, _UNITS, strict=True))
    if not period:
        return None
    if start:
        try:
            moment = dt.datetime.fromisoformat(start)
        except ValueError:
            return None
        first = int(moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp())
    else:
        first = created
    last = first + (int(count) - 1) * period if count else until
    begin = first + max(0, -(-(created - first) // period)) * period
    return set(range(begin, min(until, last) + 1, period))


def _cron(words: list[str], created: int, until: int) -> Iterator[int]:
    fields = [_allowed(word, *bounds) for word, bounds in zip(words, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = fields
    weekdays = {day % 7 for day in weekdays}
    either = not words[2].startswith("*") and not words[4].startswith("*")
    minute = -(-created // 60) * 60
    while minute <= until:
        at = dt.datetime.fromtimestamp(minute, dt.UTC)
        of_month, of_week = at.day in days, at.isoweekday() % 7 in weekdays
        due = of_month or of_week if either else of_month and of_week
        if due and at.minute in minutes and at.hour in hours and at.month in months:
            yield minute
        minute += 60


def _allowed(word: str, low: int, high: int) -> set[int]:
    allowed: set[int] = set()
    for part in word.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        else:
            begin = int(first)
            end = int(last) if last else high if step else begin
        allowed |= set(range(begin, end + 1, int(step or 1)))
    return allowed
