"""Companions: room for the pods that a pod will make is found together with its own place.

A pod with companions is placed only where that room is left, somewhere on the nodes that may take
the companions. From then on the room is held, in every solve, for as many companions as are not
there yet: no other pod lands in it. The waiting pods that belong to it may land in it, the first
ones first, whatever their real size is. The room is not bound to nodes: it stays where it was if
it can, and is found elsewhere if a node went. Where others took it (a pod that was placed by
another scheduler, a lost node), less is held, and what is free again is held again.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bayplan.model.reasons import Reason
from bayplan.model.snapshot import Awaited
from bayplan.model.workloads import Fault, PodClass, TaskKey, Waiting, of_companions
from bayplan.optimizer import fill
from bayplan.placement import filters
from bayplan.placement.node_table import Refusing
from bayplan.placement.occupancy import Occupancy

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]

_MOST = 1 << 20  # companions that are told apart by how many of them a node has room for
_NOBODY: TaskKey = ("", "")


@dataclass(slots=True, eq=False)
class Rooms:
    """The room that is held in one solve. `former` is what the last solve held, if it is known."""

    occupancy: Occupancy
    former: Mapping[TaskKey, Mapping[str, int]]
    faults: list[Fault]
    _awaited: dict[str, Awaited] = field(default_factory=dict)  # by the companions' workload

    def __bool__(self) -> bool:
        """Whether any pod has companions that are still to come."""
        return bool(self._awaited)

    def hold(self, one: Awaited) -> None:
        """Hold room for these companions, as far as there is any."""
        self._awaited[one.kind.workload] = one
        try:
            self._keep(one)
        except Exception as error:  # noqa: BLE001  one pod must not stop all the others
            self.faults.append(Fault("companions", "/".join(one.leader), error))

    def lead(self, leader: TaskKey, node: str, kind: PodClass) -> None:
        """Hold room for the companions of a pod that has just got its node."""
        asked = kind.companions
        if asked is not None:
            each = of_companions(leader, kind.constraints, kind.priority, asked)
            self.hold(Awaited(leader, node, each, asked.count))

    @contextlib.contextmanager
    def opened(self, kind: PodClass) -> Iterator[None]:
        """Free what is held for a class while its pods land; then hold what is left to come."""
        one = self._awaited.get(kind.workload) if self._awaited else None
        if one is None:
            yield
            return
        self.occupancy.release(one.kind)
        before = len(self.occupancy.landed)
        yield
        came = sum(int(landed.nodes.sum()) for landed in self.occupancy.landed[before:])
        self.hold(replace(one, count=max(one.count - came, 0)))

    def close(self, leader: TaskKey, kind: PodClass) -> None:
        """The pod does not get its node after all."""
        asked = kind.companions
        if asked is not None:
            each = of_companions(leader, kind.constraints, kind.priority, asked)
            self.occupancy.release(each)
            self._awaited.pop(each.workload, None)

    def held(self) -> dict[TaskKey, dict[str, int]]:
        """Pod -> node -> for how many of its companions room is held there."""
        names = self.occupancy.table.names()
        found: dict[TaskKey, dict[str, int]] = {}
        for one in self._awaited.values():
            kept = self.occupancy.awaited.get(one.kind)
            if kept is not None:
                rows = np.flatnonzero(kept.nodes)
                counts = kept.nodes[rows].tolist()
                found[one.leader] = dict(zip(names[rows].tolist(), counts, strict=True))
        return found

    def _keep(self, one: Awaited) -> None:
        occupancy = self.occupancy
        request = occupancy.snapshot.vector(one.kind.request)
        if request is None or not one.count:
            return
        open_ = _open(one.kind, occupancy, awaited=True)
        nodes = self._chosen(one, np.where(open_, fill.fit(occupancy.free, request), 0))
        if nodes.any():
            occupancy.keep(one.kind, request, nodes)

    def _chosen(self, one: Awaited, fits: IntVector) -> IntVector:
        """[N]: where room is held: where it was, then on used nodes, the fullest first."""
        occupancy, rows = self.occupancy, self.occupancy.snapshot.rows
        before = np.zeros(len(fits), dtype=np.int64)
        for name, count in self.former.get(one.leader, {}).items():
            if name in rows:
                before[rows[name]] = count
        if occupancy.closing is not None:
            before[occupancy.closing] = 0
        nodes = fill.fill(np.minimum(fits, before), None, one.count)
        left = fits - nodes
        preference = np.where(occupancy.busy, 0, -_MOST) - np.minimum(left, _MOST - 1)
        if occupancy.closing is not None:
            preference -= occupancy.closing * (2 * _MOST)
        return nodes + fill.fill(left, preference, one.count - int(nodes.sum()))


def refusing(kind: PodClass, occupancy: Occupancy) -> tuple[Refusing, ...]:
    """The nodes that have room for a pod of the class, but then no room is left for its companions.

    Of all nodes that may take companions; those without room for the pod itself are not named.
    """
    asked = kind.companions
    if asked is None:
        return ()
    if asked.problem:
        everywhere = np.ones(len(occupancy.table.nodes), dtype=np.bool_)
        return (Refusing(Reason.BAD_COMPANIONS, asked.problem, everywhere),)
    own = occupancy.snapshot.vector(kind.request)
    if own is None:
        return ()
    free = occupancy.free_for(kind.priority)
    lacking = fill.fit(free, own) > 0
    each = of_companions(_NOBODY, kind.constraints, kind.priority, asked)
    request = occupancy.snapshot.vector(each.request)
    if request is not None:
        open_ = _open(each, occupancy)
        if occupancy.closing is not None:
            open_ &= ~occupancy.closing
        alone, beside = (
            np.minimum(np.where(open_, fill.fit(room, request), 0), asked.count)
            for room in (free, free - own)
        )
        lacking &= alone.sum() - alone + beside < asked.count
    return (Refusing(Reason.COMPANIONS, asked.words, lacking),)


def _open(kind: PodClass, occupancy: Occupancy, *, awaited: bool = False) -> BoolVector:
    """[N]: the nodes that may take companions of this class, whatever room they have."""
    open_ = filters.of_nodes(kind, occupancy.table).open
    for refusal in filters.of_the_moment(Waiting(kind, (_NOBODY,)), occupancy, awaited=awaited):
        open_ = open_ & ~refusal.nodes
    return open_.copy()
