"""Times of the API as epoch seconds, and back: RFC 3339, whole seconds, UTC."""

from datetime import UTC, datetime
from functools import lru_cache

LAST_TIME = 253_402_300_799  # the end of the year 9999


def rfc3339(epoch: int) -> str:
    """UTC text of epoch seconds: 0 is `1970-01-01T00:00:00Z`.

    A time outside 1970-9999 becomes the nearest time inside, so that adding a delay to a time
    that somebody wrote into a status does not fail.
    """
    at = min(max(epoch, 0), LAST_TIME)
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None).isoformat() + "Z"


@lru_cache(maxsize=65536)  # the times of a steady resource are read again and again
def epoch_of(text: str) -> int:
    """Epoch seconds of RFC 3339 text; fractions of a second are dropped (MicroTime).

    ValueError if the text is not a time, and for a time outside 1970-9999, which `rfc3339` would
    not write back unchanged.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} must end in Z or an offset such as +02:00")
    at = int(moment.timestamp() // 1)
    if not 0 <= at <= LAST_TIME:
        raise ValueError(f"{text!r} must lie in the years 1970 to 9999")
    return at


def time_of(value: object) -> int | None:
    """Epoch seconds of a stored time; None if `epoch_of` cannot read it."""
    try:
        return epoch_of(value) if isinstance(value, str) else None
    except ValueError:
        return None


@lru_cache(maxsize=65536)
def time_text(at: int) -> str:
    """The same as `rfc3339`, cached for the times of runs, which are written again and again."""
    return rfc3339(at)
