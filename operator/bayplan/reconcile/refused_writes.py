"""The message on a resource's writes that the API server refuses: which object, why, what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.model.admission import PASSING
from bayplan.model.intents import EmitEvent, RefusedWrite
from bayplan.reconcile import conditions
from bayplan.reconcile.conditions import Condition

CHILD_REFUSED = "ChildRefused"
QUOTA_EXCEEDED = "QuotaExceeded"

_BEGINS = "The API server refuses"
_LONGEST = 700  # characters of the server's text; the rest of the sentence has to fit too
_DOES = {
    "adopt": "to take over",
    "bind": "to give a node to",
    "create": "to create",
    "delete": "to delete",
    "own": "to change the owner of",
    "release": "to take bayplan.dev/run-tracking off",
}


def word(refusals: Sequence[RefusedWrite]) -> str:
    """The reason of the condition."""
    return QUOTA_EXCEEDED if "exceeded quota" in refusals[0].message else CHILD_REFUSED


def sentence(refusals: Sequence[RefusedWrite]) -> str:
    """The first refusal in the server's words, how many more there are, and what to do."""
    first, more = refusals[0], len(refusals) - 1
    does = _DOES.get(first.verb, "to apply")
    words = conditions.cut(first.message.strip().rstrip("."), _LONGEST)
    others = f" ({more} more of its objects are refused.)" if more else ""
    remedy = "Raise the quota or ask for less" if word(refusals) == QUOTA_EXCEEDED else "Mend that"
    return (
        f"{_BEGINS} {does} {first.kind} {first.name}: {words}.{others} {remedy}; it is tried again "
        "by itself, at the latest after 5 minutes."
    )


def tells(condition: Condition) -> bool:
    """Whether a condition says that an object is refused."""
    return condition.message.startswith(_BEGINS)


def news_of_refusals(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[EmitEvent]:
    """What the API server refuses, the template or an object; an unchanged refusal is no news."""
    was = conditions.stored(before.get("conditions"), conditions.READY)
    is_ = conditions.stored(after["conditions"], conditions.READY)
    if is_ is None or is_ == was or is_.status != "False":
        return []
    if is_.reason not in PASSING and not tells(is_):
        return []
    return [EmitEvent(is_.reason, is_.message, warning=True)]
