"""Reads times and durations of options, such as `2h` and `2026-01-31T06:00`; no words."""

import datetime as dt
import re
from zoneinfo import ZoneInfo

from bayplan.inputs import InputError

_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?")


def duration(option: str, text: str) -> int:
    """Seconds of `90s`, `2h`, `1d12h`."""
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise InputError(option, f"{text!r} is not a duration; write 90s, 15m, 2h or 1d12h")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def moment(option: str, text: str, zone: ZoneInfo) -> int:
    """Epoch seconds of a date or time; a time without an offset is in `zone`."""
    try:
        read = dt.datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not a time; write 2026-01-31, 2026-01-31T06:00 or 2026-01-31T06:00Z"
        raise InputError(option, message) from error
    return int((read if read.tzinfo is not None else read.replace(tzinfo=zone)).timestamp())


def until(option: str, text: str, now: int, zone: ZoneInfo) -> int:
    """Epoch seconds of a time, or of `now` plus a duration."""
    if _DURATION.fullmatch(text):
        return now + duration(option, text)
    return moment(option, text, zone)


def ago(option: str, text: str, now: int, zone: ZoneInfo) -> int:
    """Epoch seconds of a time, or of `now` minus a duration."""
    if _DURATION.fullmatch(text):
        return now - duration(option, text)
    return moment(option, text, zone)
