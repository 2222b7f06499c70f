"""`status.placement`: why tasks wait, rewritten only when the reason is news.

Otherwise a thousand tasks that wait for the same room would cause a thousand writes each time a
node fills or empties.
"""

from collections.abc import Mapping
from typing import Any

from bayplan.model import wording
from bayplan.reconcile import conditions
from bayplan.reconcile.view import NoRoom

PATIENCE_SECONDS = 10  # tasks that wait less long than this are not explained

_LONGEST_LACKS = 256


def shown(placement: NoRoom | None, now: int) -> NoRoom | None:
    """The placement if it is worth a message; None when the tasks have only begun to wait."""
    if placement is None or now - placement.since < PATIENCE_SECONDS:
        return None
    return placement


def wire(placement: NoRoom | None, stored: object) -> Mapping[str, Any] | None:
    """What to store: the stored value while top reason, nearest node and number are the same."""
    if placement is None:
        return None
    told = wording.status(placement.pending, placement.since, placement.funnel)
    told["message"] = conditions.cut(str(told.get("message", "")))
    nearest = told.get("nearest")
    if isinstance(nearest, dict):
        nearest["lacks"] = conditions.cut(nearest["lacks"], _LONGEST_LACKS)
    if isinstance(stored, Mapping) and _gist(stored) == _gist(told):
        return stored
    return told


def _gist(told: Mapping[str, Any]) -> tuple[object, ...]:
    refusals, nearest = told.get("refusals"), told.get("nearest")
    top = refusals[0] if isinstance(refusals, list) and refusals else None
    return (
        top.get("reason") if isinstance(top, Mapping) else None,
        nearest.get("node") if isinstance(nearest, Mapping) else None,
        told.get("pendingTasks"),
    )
