"""Conditions in the form that kubectl wait, Flux, Argo CD and Helm read: one merge for both kinds.

The wanted conditions are given anew each time; the stored list only gives the moment at which a
status last changed. This module does NOT know which conditions a kind has, and it never raises on
a stored list: a person may have edited it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bayplan.api.times import rfc3339, time_of

READY = "Ready"
PLACED = "Placed"
SUSPENDED = "Suspended"
LAST_RUN_SUCCEEDED = "LastRunSucceeded"
RECONCILING = "Reconciling"  # present only while true (kstatus: in progress)
STALLED = "Stalled"  # present only while true (kstatus: failed; only the user can heal it)

LONGEST_MESSAGE = 1024  # characters, as in the schema

_STATUSES = frozenset({"True", "False", "Unknown"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One aspect as it is now; `reason` comes from a closed CamelCase list."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str = ""


def true(type_: str, reason: str, message: str = "") -> Condition:
    return Condition(type_, "True", reason, message)


def false(type_: str, reason: str, message: str = "") -> Condition:
    return Condition(type_, "False", reason, message)


def unknown(type_: str, reason: str, message: str = "") -> Condition:
    return Condition(type_, "Unknown", reason, message)


def stalled(reason: str, message: str) -> tuple[Condition, Condition]:
    """Only the user can heal the resource: Ready is False, and Stalled says so to kstatus."""
    return false(READY, reason, message), true(STALLED, reason, message)


def unseen(message: str = "The template has not been checked yet.") -> tuple[Condition, Condition]:
    """The resource is accepted, but nothing is known yet: tools must wait, it is not current."""
    return (
        unknown(READY, "Checking", message),
        true(RECONCILING, "Checking", message),
    )


def merged(
    stored: object, wanted: Iterable[Condition], generation: int, now: int
) -> list[dict[str, Any]]:
    """The list to store, in the order of `wanted`; conditions that are not wanted are removed.

    `lastTransitionTime` moves only when the status does. O(conditions).
    """
    before = _by_type(stored)
    return [_stored_form(one, before.get(one.type), generation, now) for one in wanted]


def status_of(stored: object, type_: str) -> str:
    """`True`, `False` or `Unknown` of one stored condition; empty when it is absent."""
    status = _by_type(stored).get(type_, {}).get("status")
    return status if isinstance(status, str) and status in _STATUSES else ""


def reason_of(stored: object, type_: str) -> str:
    """The stored reason of one condition; empty when it is absent."""
    reason = _by_type(stored).get(type_, {}).get("reason")
    return reason if isinstance(reason, str) else ""


def since_of(stored: object, type_: str) -> int:
    """When the status of one condition last changed (epoch seconds); 0 when it is unknown."""
    return time_of(_by_type(stored).get(type_, {}).get("lastTransitionTime")) or 0


def stored(conditions: object, type_: str) -> Condition | None:
    """One stored condition; None when it is absent or unsound."""
    one = _by_type(conditions).get(type_, {})
    status, reason, message = (one.get(name) for name in ("status", "reason", "message"))
    if status not in ("True", "False", "Unknown") or not isinstance(reason, str):
        return None
    return Condition(type_, status, reason, message if isinstance(message, str) else "")


def _stored_form(
    one: Condition, before: Mapping[str, Any] | None, generation: int, now: int
) -> dict[str, Any]:
    since = ""
    if before is not None and before.get("status") == one.status:
        since = _valid_time(before.get("lastTransitionTime"))
    return {
        "type": one.type,
        "status": one.status,
        "observedGeneration": generation,
        "lastTransitionTime": since or rfc3339(now),
        "reason": one.reason,
        "message": cut(one.message),
    }


def cut(message: str, limit: int = LONGEST_MESSAGE) -> str:
    """A message of at most `limit` characters, a cut marked by `…`: it may contain user text."""
    return message if len(message) <= limit else f"{message[: limit - 1]}…"


def _by_type(stored: object) -> dict[str, Mapping[str, Any]]:
    if not isinstance(stored, list | tuple):
        return {}
    return {
        one["type"]: one
        for one in stored
        if isinstance(one, Mapping) and isinstance(one.get("type"), str)
    }


def _valid_time(text: object) -> str:
    return "" if time_of(text) is None else str(text)
