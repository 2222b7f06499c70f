"""The words of a refusal: a funnel as a sentence, and as `status.placement`."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from bayplan import units
from bayplan.model import resources
from bayplan.model.reasons import Funnel, Reason, Refusal

_MOST_REFUSALS = 32  # what the status holds
_BYTES = frozenset({resources.MEMORY, resources.EPHEMERAL_STORAGE})


def sentence(funnel: Funnel, what: str = "nodes") -> str:
    """`0/214 nodes: 120 insufficient cpu, 60 taint dedicated; nearest n7 lacks 300m cpu`."""
    if not funnel.considered:
        return f"0/0 {what}" + (": there is no node that Bayplan fills" if what == "nodes" else "")
    if funnel.making and funnel.nearest is not None:
        return f"volume {funnel.nearest.detail} is being made for node {funnel.nearest.node}"
    if funnel.faulty:
        return _worded(Reason.BAD_COMPANIONS, funnel.faulty)
    said = ", ".join(
        f"{refusal.nodes} {_worded(refusal.reason, refusal.detail)}" for refusal in funnel.ordered
    )
    text = f"0/{funnel.considered} {what}" + (f": {said}" if said else "")
    nearest = funnel.nearest
    if nearest is None:
        return text
    if nearest.lacks:
        return f"{text}; nearest {nearest.node} lacks {lacking(nearest.lacks)}"
    if nearest.reason is not None:
        return f"{text}; nearest {nearest.node}: {_worded(nearest.reason, nearest.detail)}"
    return text


def lacking(lacks: Mapping[str, int]) -> str:
    """`300m cpu, 2Gi memory`."""
    return ", ".join(f"{amount(name, value)} {name}" for name, value in lacks.items())


def amount(resource: str, value: int) -> str:
    """An amount of a resource with its unit, as text."""
    if resource == resources.CPU:
        return units.format_cpus(value)
    return units.format_bytes(value) if resource in _BYTES else str(value)


def status(pending: int, since: int, funnel: Funnel) -> dict[str, Any]:
    """`status.placement`; `since` in epoch seconds. The true reason comes first."""
    refusals = funnel.ordered[:_MOST_REFUSALS]
    body: dict[str, Any] = {
        "pendingTasks": pending,
        "pendingSince": dt.datetime.fromtimestamp(since, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": sentence(funnel),
        "nodesConsidered": funnel.considered,
        "refusals": [_refusal(refusal) for refusal in refusals],
    }
    nearest = funnel.nearest
    if nearest is not None:
        lacks = lacking(nearest.lacks)
        if not lacks and nearest.reason is not None:
            lacks = _worded(nearest.reason, nearest.detail)
        body["nearest"] = {"node": nearest.node, "lacks": lacks}
    return body


def _refusal(refusal: Refusal) -> dict[str, Any]:
    body: dict[str, Any] = {"reason": refusal.reason.value, "nodes": refusal.nodes}
    if refusal.detail:
        body["detail"] = refusal.detail
    return body


def _worded(reason: Reason, detail: str) -> str:
    if not detail:
        return reason.words
    if reason in {Reason.TOO_BIG, Reason.COMPANIONS}:
        return f"{reason.words} ({detail})"
    if reason is Reason.BAD_COMPANIONS:
        return f"{reason.words}: {detail}"
    return f"{reason.words} {detail}"
