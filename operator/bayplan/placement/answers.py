"""What every class of waiting tasks gets in one solve, class after class."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bayplan.model import reasons
from bayplan.model.workloads import Backlog, Fault, PodClass, Refused, TaskKey, Waiting
from bayplan.optimizer import fill
from bayplan.placement import one_class
from bayplan.placement.companions import Rooms
from bayplan.placement.occupancy import Landed, Occupancy
from bayplan.placement.reservations import Starving

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]

Tier = tuple[int | None, Sequence[Waiting]]  # a priority (None: all of them), its groups in order


@dataclass(slots=True, eq=False)
class Answer:
    """What every class got.

    `landed`: what of a group landed by plan, by the group's first task. `places`: the places of
    `Backlog.held` that no task has taken.
    """

    occupancy: Occupancy
    rooms: Rooms
    placements: dict[TaskKey, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    starving: list[Starving] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    landed: dict[TaskKey, list[Landed]] = field(default_factory=dict)
    places: dict[PodClass, IntVector] = field(default_factory=dict)

    def fill(self, tiers: Iterable[Tier], planned: Backlog) -> None:
        """Land what is planned for a tier's groups, then the rest of them; tier after tier."""
        occupancy = self.occupancy
        if planned.nodes:
            occupancy.planned = _named(planned.nodes, occupancy)
        if planned.closing:
            occupancy.closing = _named(planned.closing, occupancy)
        shares = _vectors(planned.shares, occupancy)
        for share in shares.values() if occupancy.closing is not None else ():
            share[occupancy.closing] = 0
        self.places = _vectors(planned.held, occupancy)
        unkept = sorted(self.places, key=lambda kind: -kind.priority)
        awaited = sorted(occupancy.snapshot.awaited, key=lambda one: -one.kind.priority)
        for priority, tier in tiers:
            while awaited and (priority is None or awaited[0].kind.priority >= priority):
                self.rooms.hold(awaited.pop(0))
            while unkept and (priority is None or unkept[0].priority >= priority):
                self._keep(unkept.pop(0))
            if shares or self.places:
                self._land_shares(tier, shares)
            for group in tier:
                if self.places or self.rooms:
                    with self.rooms.opened(group.kind), self._released(group.kind):
                        self._land_rest(group)
                else:
                    self._land_rest(group)

    def without_node(self) -> set[TaskKey]:
        return {key for refusal in self.refused for key in refusal.keys}

    def waits_for_less_urgent(self) -> set[TaskKey]:
        """Tasks that wait while a lower priority has shares that landed, or room that is kept."""
        landed = (one.kind for group in self.landed.values() for one in group)
        kinds = (*landed, *self.occupancy.awaited)
        least = min((kind.priority for kind in kinds), default=None)
        return {
            key
            for refusal in self.refused
            if least is not None and refusal.waiting.kind.priority > least
            for key in refusal.keys
        }

    def _keep(self, kind: PodClass) -> None:
        """Keep the places of a class that no task has taken, as far as there is room for them."""
        occupancy = self.occupancy
        request = occupancy.snapshot.vector(kind.request)
        if request is None:
            return
        nodes = np.minimum(self.places[kind], fill.fit(occupancy.free, request))
        if nodes.any():
            occupancy.keep(kind, request, nodes)

    @contextlib.contextmanager
    def _released(self, kind: PodClass) -> Iterator[None]:
        """Free what is kept for a class while its own tasks land, then keep what is left."""
        occupancy = self.occupancy
        if kind not in occupancy.awaited:
            yield
            return
        occupancy.release(kind)
        before = len(occupancy.landed)
        yield
        for landed in occupancy.landed[before:]:
            self.places[kind] = np.maximum(self.places[kind] - landed.nodes, 0)
        self._keep(kind)

    def _land_shares(self, tier: Sequence[Waiting], shares: Mapping[PodClass, IntVector]) -> None:
        """Land each group of a tier on the places kept for its class, then on its share."""
        for group in tier:
            kind = group.kind
            if kind in self.places:
                with self._released(kind):
                    self._land_planned(group, self.places[kind].copy(), awaited=True)
            if kind in shares:
                with self.rooms.opened(kind):
                    self._land_planned(group, shares[kind], awaited=False)

    def _land_planned(self, group: Waiting, share: IntVector, *, awaited: bool) -> None:
        """Land what is planned for a group, and take it off the share of its class."""
        occupancy = self.occupancy
        before = len(occupancy.landed)
        keys = self._left(group)
        if not keys:
            return
        try:
            nodes = one_class.by_plan(group, len(keys), share, occupancy, awaited=awaited)
        except Exception as error:  # noqa: BLE001  the group is placed without its share
            occupancy.back_to(before)
            self.faults.append(Fault("share", "/".join(group.keys[0]), error))
            return
        if nodes.any():
            share -= nodes
            self.landed.setdefault(group.keys[0], []).append(occupancy.landed[-1])
            self._place(keys, nodes)

    def _left(self, group: Waiting) -> tuple[TaskKey, ...]:
        """The tasks of a group that did not land by plan."""
        landed = self.landed.get(group.keys[0])
        return group.keys[sum(int(one.nodes.sum()) for one in landed) :] if landed else group.keys

    def _land_rest(self, group: Waiting) -> None:
        """Land the tasks of a group that did not land by plan, or say why they wait."""
        occupancy = self.occupancy
        before = len(occupancy.landed)
        keys = self._left(group)
        if not keys:
            return
        try:
            if group.kind.companions is None:
                nodes, short = one_class.placed(group, len(keys), occupancy)
            else:
                nodes, short = self._with_companions(group, keys)
        except Exception as error:  # noqa: BLE001  one class must not stop all the others
            for key in group.keys:
                self.rooms.close(key, group.kind)
                self.placements.pop(key, None)
            occupancy.back_to(before, without=self.landed.get(group.keys[0], ()))
            self.faults.append(Fault("solve", "/".join(group.keys[0]), error, group))
            refusal = reasons.set_aside(len(occupancy.table.nodes))
            self.refused.append(Refused(group, group.keys, refusal))
            return
        placed = self._place(keys, nodes)
        if short is not None:
            left = keys[placed:]
            self.refused.append(Refused(group, left, short.funnel))
            self.starving.append(Starving(group, left[0], short.open_))

    def _with_companions(
        self, group: Waiting, keys: Sequence[TaskKey]
    ) -> tuple[IntVector, one_class.Short | None]:
        """Land tasks one by one, each with room for its companions: [N] how many, why not all."""
        occupancy, names = self.occupancy, self.occupancy.table.names()
        there = np.zeros(len(names), dtype=np.int64)
        for at, key in enumerate(keys):
            nodes, short = one_class.placed(group, 1, occupancy)
            if short is not None and group.kind.placement.gang:
                for lifted in keys[:at]:
                    occupancy.lift()
                    self.rooms.close(lifted, group.kind)
                return 0 * there, short
            if short is not None:
                return there, short
            there += nodes
            self.rooms.lead(key, names[int(np.argmax(nodes))], group.kind)
        return there, None

    def _place(self, keys: Sequence[TaskKey], nodes: IntVector) -> int:
        """The first tasks get these nodes; how many did."""
        rows = np.flatnonzero(nodes)
        names = self.occupancy.table.names()[np.repeat(rows, nodes[rows])].tolist()
        self.placements.update(zip(keys, names, strict=False))
        return len(names)


def _named(names: frozenset[str], occupancy: Occupancy) -> BoolVector:
    """[N]: which nodes have one of these names."""
    nodes = occupancy.table.nodes
    return np.fromiter((node.name in names for node in nodes), np.bool_, len(nodes))


def _vectors(
    shares: Mapping[PodClass, Mapping[str, int]], occupancy: Occupancy
) -> dict[PodClass, IntVector]:
    """Shares as copies per node [N]; those of nodes that do not exist are left out."""
    rows, found = occupancy.snapshot.rows, {}
    for kind, share in shares.items():
        nodes = np.zeros(len(occupancy.table.nodes), dtype=np.int64)
        for name, count in share.items():
            if name in rows:
                nodes[rows[name]] = count
        if nodes.any():
            found[kind] = nodes
    return found
