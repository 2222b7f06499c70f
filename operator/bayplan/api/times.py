"""Times of the API as epoch seconds, and back: RFC 3339, whole seconds, UTC."""

from datetime import UTC, datetime
from functools import lru_cache

LAST_TIME = 253_402_300_799  # the end of the year 9999


def rfc3339(epoch: int) -> str:
    """UTC text of epoch seconds: 0 is `1970-01-01T00:00:00Z`."""
    return datetime.fromtimestamp(epoch, UTC).replace(tzinfo=None).isoformat() + "Z"


def epoch_of(text: str) -> int:
    """Epoch seconds of RFC 3339 text; fractions of a second are dropped (MicroTime)."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} must end in Z or an offset such as +02:00")
    return int(moment.timestamp() // 1)


def time_of(value: object) -> int | None:
    """Epoch seconds of a stored time; None when it is none, or lies outside 1970-9999."""
    return _epoch(value) if isinstance(value, str) else None


@lru_cache(maxsize=65536)  # a steady job's times are read again and again
def _epoch(text: str) -> int | None:
    try:
        at = epoch_of(text)
    except (ValueError, OverflowError):
        return None
    return at if 0 <= at <= LAST_TIME else None


@lru_cache(maxsize=65536)
def time_text(at: int) -> str:
    """RFC 3339; what lies outside 1970-9999 is told as the nearest that does not."""
    return rfc3339(min(max(at, 0), LAST_TIME))
