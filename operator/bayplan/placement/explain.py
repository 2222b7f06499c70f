"""Why a class found no room: a funnel, which becomes a sentence and a status.

Each node is charged to the first reason that holds, so the numbers add up to the nodes
considered. The words are in `model.reasons`; this module counts and puts them in order.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bayplan.model import resources
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.placement.node_table import Refusing
from bayplan.placement.occupancy import Occupancy

BoolVector = npt.NDArray[np.bool_]

_ORDER = {reason: index for index, reason in enumerate(Reason)}


def funnel(request: resources.Vector, refusing: Sequence[Refusing], occupancy: Occupancy) -> Funnel:
    """Charge every node to its first refusal; a node that no filter refuses lacks a resource.

    A node that lacks no resource either is charged to a defect of ours: by the law of
    `rules.distribute` there is no such node, so whoever reads this has to learn of it.
    """
    total = len(occupancy.table.nodes)
    left = np.ones(total, dtype=np.bool_)
    last = np.full(total, -1, dtype=np.int64)  # the refusal to which a node was charged
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


def _short(
    request: resources.Vector, left: BoolVector, occupancy: Occupancy
) -> tuple[list[Refusal], Nearest]:
    """Charge nodes that no filter refuses to the first resource that they lack, even empty or now.

    The nearest node lacks the least as a share of the request, summed over resources; a node that
    is big enough for the request is nearer than any node that is too small even when empty.
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
    """The first of the nodes that came furthest down the funnel."""
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
