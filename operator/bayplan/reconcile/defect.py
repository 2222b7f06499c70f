"""What a resource's status says after a defect of Bayplan was met at it."""

from collections.abc import Mapping
from typing import Any

from bayplan.api.resource import Resource
from bayplan.reconcile import conditions

REASON = "OperatorDefect"


def status(resource: Resource, error: Exception, seconds: int, now: int) -> Mapping[str, Any]:
    """The status of a resource whose reconcile failed: as stored, but with Ready=False.

    It names only the type of the error; the error's text may contain anything a user wrote.
    """
    stored = resource.status.get("conditions")
    ready = conditions.false(
        conditions.READY,
        REASON,
        f"Bayplan met a defect of its own here ({type(error).__name__}; its log has the rest). "
        f"Nothing is done for this resource but tries, every {seconds} s and when it changes. "
        "Please report it.",
    )
    others = [
        one
        for one in (stored if isinstance(stored, list) else ())
        if not (isinstance(one, Mapping) and one.get("type") == conditions.READY)
    ]
    told = conditions.merged(stored, [ready], resource.generation, now)
    return {**resource.status, "conditions": [*told, *others]}


def of_tasks(count: int, what: str) -> str:
    """The message for a resource whose pods are set aside."""
    told = f"1 {what} is" if count == 1 else f"{count} {what}s are"
    return (
        f"{told} set aside: placing met a defect of Bayplan's own, and its log has which. It is "
        "tried again every minute and when the spec changes."
    )
