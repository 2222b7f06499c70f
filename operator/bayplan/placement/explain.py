"""Why not: a class that found no room becomes a funnel, the funnel a sentence and a status.

Each node is charged to the first reason that holds, so the numbers add up to the nodes
considered. The words are `model.reasons`'s; this module counts and puts them in order.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bayplan import units
from bayplan.model import resources
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.placement.node_table import Refusing
from bayplan.placement.occupancy import Occupancy

BoolVector = npt.NDArray[np.bool_]

_ORDER = {reason: index for index, reason in enumerate(Reason)}
_MOST_REFUSALS = 32  # what the status holds
_BYTES = frozenset({resources.MEMORY, resources.EPHEMERAL_STORAGE})


def funnel(request: resources.Vector, refusing: Sequence[Refusing], occupancy: Occupancy) -> Funnel:
    """Charge every node to its first refusal; what is left to no filter lacks a resource.

    A node that lacks nothing either is charged to a defect of ours: the law of `spread.distribute`
    leaves none, and whoever reads this has to learn of it.
    """
    total = len(occupancy.table.nodes)
    left = np.ones(total, dtype=np.bool_)
    last = np.full(total, -1, dtype=np.int64)  # which refusal a node was charged to
    charged: list[tuple[Refusing, int]] = []
    for refusal in sorted(refusing, key=lambda refusal: _ORDER[refusal.reason]):
        mine = left & refusal.nodes
        count = int(np.count_nonzero(mine))
        if count:
            last[mine] = len(charged)
            charged.append((refusal, count))
            left &= ~refusal.nodes
    refusals = [Refusal(refusal.reason, refusal.detail, count) for refusal, count in charged]
    nearest = _last_to_refuse(charged, last, occupancy)
    if left.any():
        short, nearest = _short(request, left, occupancy)
        refusals += short
    return Funnel(total, tuple(_merged(refusals)), nearest)


def sentence(funnel: Funnel, what: str = "nodes") -> str:
    """`0/214 nodes: 120 insufficient cpu, 60 taint dedicated; nearest n7 lacks 300m cpu`."""
    if not funnel.considered:
        return f"0/0 {what}" + (": there is no node that Bayplan fills" if what == "nodes" else "")
    if funnel.making and funnel.nearest is not None:
        return f"volume {funnel.nearest.detail} is being made for node {funnel.nearest.node}"
    said = ", ".join(
        f"{refusal.nodes} {_worded(refusal.reason, refusal.detail)}"
        for refusal in sorted(funnel.refusals, key=lambda refusal: -refusal.nodes)
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
    """An amount of a resource in its own unit."""
    if resource == resources.CPU:
        return units.format_cpu(value)
    return units.format_bytes(value) if resource in _BYTES else str(value)


def status(pending: int, since: int, funnel: Funnel) -> dict[str, Any]:
    """`status.placement`; `since` in epoch seconds. Refusals by number, the largest first."""
    refusals = sorted(funnel.refusals, key=lambda refusal: -refusal.nodes)[:_MOST_REFUSALS]
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


def _short(
    request: resources.Vector, left: BoolVector, occupancy: Occupancy
) -> tuple[list[Refusal], Nearest]:
    """Charge nodes that no filter refuses to the first resource they lack, even empty or now.

    The nearest lacks the least as a share of the request, summed over resources; one that has
    the size for it is nearer than any that is too small even when empty.
    """
    rows = np.flatnonzero(left)
    asked = list(request.items())
    columns = {column: index for index, column in enumerate(occupancy.snapshot.columns)}
    lacks, share = [], np.zeros(len(rows))
    full = np.full(len(rows), len(asked), dtype=np.int64)  # the first resource short now
    beyond = full.copy()  # the first resource short even when empty
    for index, (name, wanted) in reversed(list(enumerate(asked))):
        column = columns.get(name)
        if column is None:
            lack = np.full(len(rows), wanted, dtype=np.int64)
            beyond[:] = index
        else:
            lack = np.clip(wanted - occupancy.free[rows, column], 0, wanted)
            beyond[occupancy.snapshot.allocatable[rows, column] < wanted] = index
        full[lack > 0] = index
        share += lack / wanted
        lacks.append((name, lack))
    small = beyond < len(asked)
    short = small | (full < len(asked))
    refusals: list[Refusal] = []
    if not short.all():
        refusals.append(Refusal(Reason.DEFECT, "", int(np.count_nonzero(~short))))
    if not short.any():
        return refusals, Nearest(occupancy.table.nodes[int(rows[0])].name, reason=Reason.DEFECT)
    for reason, first in (
        (Reason.TOO_BIG, beyond[small]),
        (Reason.RESOURCES, full[short & ~small]),
    ):
        counts = np.bincount(first, minlength=len(asked)).tolist()
        refusals += [
            Refusal(reason, name, count)
            for (name, _), count in zip(asked, counts, strict=False)
            if count
        ]
    far = np.where(small, len(asked) + 1.0, np.where(short, 0.0, np.inf))
    best = int(np.argmin(share + far))
    nearest = Nearest(
        node=occupancy.table.nodes[int(rows[best])].name,
        lacks={name: int(lack[best]) for name, lack in reversed(lacks) if lack[best]},
        reason=Reason.TOO_BIG if small[best] else Reason.RESOURCES,
        detail=asked[int(beyond[best] if small[best] else full[best])][0],
    )
    return refusals, nearest


def _last_to_refuse(
    charged: Sequence[tuple[Refusing, int]], last: npt.NDArray[np.int64], occupancy: Occupancy
) -> Nearest | None:
    """The first node of those that came furthest down the funnel."""
    if not charged:
        return None
    refusal = charged[-1][0]
    row = int(np.argmax(last == len(charged) - 1))
    return Nearest(occupancy.table.nodes[row].name, reason=refusal.reason, detail=refusal.detail)


def _merged(refusals: Sequence[Refusal]) -> list[Refusal]:
    merged: dict[tuple[Reason, str], int] = {}
    for refusal in refusals:
        key = (refusal.reason, refusal.detail)
        merged[key] = merged.get(key, 0) + refusal.nodes
    return [Refusal(reason, detail, nodes) for (reason, detail), nodes in merged.items()]


def _worded(reason: Reason, detail: str) -> str:
    if not detail:
        return reason.words
    if reason is Reason.TOO_BIG:
        return f"{reason.words} ({detail})"
    return f"{reason.words} {detail}"
