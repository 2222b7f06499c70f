"""Why a class found no room: a funnel, which becomes a sentence and a status.

Each node is charged to the first reason that holds, so the numbers add up to the nodes
considered. The words are in `model.reasons`; this module counts and puts them in order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from bayplan.model import resources
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.placement.node_table import Refusing
from bayplan.placement.occupancy import Occupancy

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]

_ORDER = {reason: index for index, reason in enumerate(Reason)}


def funnel(request: resources.Vector, refusing: Sequence[Refusing], occupancy: Occupancy) -> Funnel:
    """Charge every node to its first refusal; a node that no filter refuses lacks a resource.

    A node that lacks no resource either is charged to a defect of ours: by the law of
    `rules.distribute` there is no such node, so whoever reads this has to learn of it.
    """
    total = len(occupancy.table.nodes)
    short = _Short.of(request, occupancy)
    left = np.ones(total, dtype=np.bool_)
    open_ = left.copy()
    last = np.full(total, -1, dtype=np.int64)  # the refusal to which a node was charged
    charged: list[tuple[Refusing, int]] = []
    for refusal in refusing:
        open_ &= ~refusal.nodes
    causes = [*refusing, *short.refusing(left)]
    for refusal in sorted(causes, key=lambda refusal: _ORDER[refusal.reason]):
        mine = left & refusal.nodes
        count = int(np.count_nonzero(mine))
        if count:
            last[mine] = len(charged)
            charged.append((refusal, count))
            left &= ~refusal.nodes
    refusals = [Refusal(refusal.reason, refusal.detail, count) for refusal, count in charged]
    refusals += short.refusals(left)
    nearest: Nearest | None
    if open_.any():
        nearest = short.nearest(open_)
    elif charged and charged[-1][0].reason is Reason.TOO_BIG:
        nearest = short.nearest(last == len(charged) - 1)
    else:
        nearest = _last_to_refuse(charged, last, occupancy)
    return Funnel(total, tuple(_merged(refusals)), nearest)


@dataclass(frozen=True, slots=True, eq=False)
class _Short:
    """What each node lacks for a request, over all nodes.

    `beyond` and `full` are the first resource short even when empty, and short now, as an index
    into `asked`; its length if none is. `share` sums what is lacking now as shares of the request.
    """

    occupancy: Occupancy
    asked: Sequence[tuple[str, int]]
    lacks: Sequence[IntVector]  # by resource, as in `asked`
    beyond: IntVector
    full: IntVector
    share: npt.NDArray[np.float64]

    @classmethod
    def of(cls, request: resources.Vector, occupancy: Occupancy) -> Self:
        total, asked = len(occupancy.table.nodes), list(request.items())
        columns = {column: index for index, column in enumerate(occupancy.snapshot.columns)}
        full = np.full(total, len(asked), dtype=np.int64)
        beyond, share, lacks = full.copy(), np.zeros(total), []
        for index, (name, wanted) in reversed(list(enumerate(asked))):
            column = columns.get(name)
            if column is None:
                lack = np.full(total, wanted, dtype=np.int64)
                beyond[:] = index
            else:
                lack = np.clip(wanted - occupancy.free[:, column], 0, wanted)
                beyond[occupancy.snapshot.allocatable[:, column] < wanted] = index
            full[lack > 0] = index
            share += lack / wanted
            lacks.append(lack)
        return cls(occupancy, asked, lacks[::-1], beyond, full, share)

    @property
    def small(self) -> BoolVector:
        """Nodes that are too small even when empty."""
        return self.beyond < len(self.asked)

    def refusing(self, among: BoolVector) -> Iterator[Refusing]:
        """Nodes among these that are too small even when empty, by the first resource."""
        for index in np.unique(self.beyond[among & self.small]).tolist():
            yield Refusing(Reason.TOO_BIG, self.asked[index][0], among & (self.beyond == index))

    def refusals(self, left: BoolVector) -> Iterator[Refusal]:
        """Charge these nodes, which nothing else refuses, to the first resource that they lack."""
        short = left & (self.full < len(self.asked))
        if (left & ~short).any():
            yield Refusal(Reason.DEFECT, "", int(np.count_nonzero(left & ~short)))
        counts = np.bincount(self.full[short], minlength=len(self.asked)).tolist()
        for (name, _), count in zip(self.asked, counts, strict=False):
            if count:
                yield Refusal(Reason.RESOURCES, name, count)

    def nearest(self, among: BoolVector) -> Nearest:
        """The node among these that lacks the least as a share of the request.

        A node that is big enough for the request is nearer than any that is too small even when
        empty. If none lacks anything, it is a defect.
        """
        rows, most = np.flatnonzero(among), len(self.asked)
        small, short = self.small[rows], (self.small | (self.full < most))[rows]
        names = self.occupancy.table.nodes
        if not short.any():
            return Nearest(names[int(rows[0])].name, reason=Reason.DEFECT)
        far = np.where(small, most + 1.0, np.where(short, 0.0, np.inf))
        best = int(rows[int(np.argmin(self.share[rows] + far))])
        too_small = self.beyond[best] < most
        return Nearest(
            node=names[best].name,
            lacks={
                name: int(lack[best])
                for (name, _), lack in zip(self.asked, self.lacks, strict=True)
                if lack[best]
            },
            reason=Reason.TOO_BIG if too_small else Reason.RESOURCES,
            detail=self.asked[int(self.beyond[best] if too_small else self.full[best])][0],
        )


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
