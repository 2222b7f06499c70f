"""Place the waiting tasks on the existing nodes: the decision of one cycle.

`solve` is a function of its arguments: the same snapshot, waiting tasks and `now` give the same
plan, in whatever order they are given. All work is per class (tasks alike in everything that
placing looks at): a handful of vector passes over all nodes for any number of tasks. It does NOT
buy nodes, move running pods or preempt them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bayplan.model import reasons
from bayplan.model.reasons import Funnel
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import Fault, Plan, PodClass, Refused, TaskKey, Waiting
from bayplan.optimizer import fill
from bayplan.placement import constraints, daemonsets, explain, filters, gangs, scores
from bayplan.placement.node_table import NodeTable, Refusing
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.order import ordered
from bayplan.placement.reservations import Starving, kept, next_at, renewed
from bayplan.placement.rules import Rule, distribute

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a cluster's owner may choose for placing."""

    seed: int = 0  # for all random draws


@dataclass(slots=True)
class Memo:
    """What a caller keeps between cycles: answers that depend on nodes alone.

    It is for snapshots of one `State`, whose `nodes_version` shows when the answers have changed.
    """

    _table: NodeTable | None = field(default=None)

    def table(self, snapshot: Snapshot) -> NodeTable:
        """The nodes as columns; the former table while no node has changed."""
        if self._table is None or self._table.version != snapshot.nodes_version:
            self._table = NodeTable(snapshot.nodes, snapshot.nodes_version, snapshot.others)
        return self._table


def solve(
    snapshot: Snapshot,
    waiting: Sequence[Waiting],
    now: int,
    policy: Policy,
    memo: Memo | None = None,
    *,
    holds: Mapping[TaskKey, str] | None = None,
) -> Plan:
    """Give every task a node, or refuse it with a reason. The snapshot is not changed.

    `holds` are those of the former plan. A class that meets a defect of ours is set aside: nothing
    of it lands, and the other classes are placed as if it did not exist.
    """
    del policy  # no rule draws yet; callers pass it so that no rule brings its own randomness
    occupancy = Occupancy.of(snapshot, (memo if memo is not None else Memo()).table(snapshot))
    faults = daemonsets.keep_room(occupancy)
    occupancy.held, doubtful = kept(holds or {}, waiting, now, occupancy)
    faults += doubtful
    starving: list[Starving] = []
    placements: dict[TaskKey, str] = {}
    refused: list[Refused] = []
    for group in ordered(waiting):
        landed = len(occupancy.landed)
        try:
            nodes, short = _placed(group, occupancy)
        except Exception as error:  # noqa: BLE001  one class must not stop all the others
            occupancy.back_to(landed)
            faults.append(Fault("solve", "/".join(group.keys[0]), error, group))
            refused.append(
                Refused(group, group.keys, reasons.set_aside(len(occupancy.table.nodes)))
            )
            continue
        rows = np.flatnonzero(nodes)
        names = occupancy.table.names()[np.repeat(rows, nodes[rows])].tolist()
        placements.update(zip(group.keys, names, strict=False))
        if short is not None:
            left = group.keys[len(names) :]
            refused.append(Refused(group, left, short.funnel))
            starving.append(Starving(group, left[0], short.open_))
    held: dict[TaskKey, str] = {}
    look_at: int | None = None
    try:
        held = renewed(starving, now, occupancy)
        look_at = next_at(starving, now, occupancy)
    except Exception as error:  # noqa: BLE001  what has been placed must still be written
        faults.append(Fault("hold", "all", error))
    return Plan(placements, tuple(refused), held, look_at, tuple(faults))


@dataclass(frozen=True, slots=True, eq=False)
class _Short:
    """Why a class did not find room for all; `open_` nodes lack nothing but resources."""

    funnel: Funnel
    open_: BoolVector


def _placed(group: Waiting, occupancy: Occupancy) -> tuple[IntVector, _Short | None]:
    """Land as many tasks of one class as find room: [N] how many, and why not all."""
    kind, count = group.kind, len(group.keys)
    verdict = filters.of_nodes(kind, occupancy.table)
    moment = tuple(filters.of_the_moment(group, occupancy))
    open_ = verdict.open
    for refusal in moment:
        open_ = open_ & ~refusal.nodes
    rules = filters.rules(kind, open_, count, occupancy)
    nodes = np.zeros(len(occupancy.table.nodes), dtype=np.int64)
    request = occupancy.snapshot.vector(kind.request)
    if request is not None:
        free = occupancy.free_for(kind.priority)
        fits = np.where(open_, fill.fit(free, request), 0)
        if free is not occupancy.free:
            made_for_others = (fill.fit(occupancy.free, request) > 0) & (
                fill.fit(free, request) == 0
            )
            moment += (Refusing(reasons.Reason.HELD, "", made_for_others),)
        if fits.any():
            nodes = _filled(kind, count, fits, rules, occupancy)
            if kind.placement.gang and nodes.sum() < count:
                whole = gangs.placed(
                    count, fits, lambda: filters.rules(kind, open_, count, occupancy)
                )
                nodes = nodes if whole is None else whole
            occupancy.land(kind, request, nodes)
    if nodes.sum() == count:
        return nodes, None
    refusing = [
        *verdict.refusing,
        *moment,
        *(Refusing(rule.reason, rule.detail, rule.refuses()) for rule in rules),
    ]
    funnel = explain.funnel(kind.request, refusing, occupancy)
    if kind.placement.gang and request is not None and nodes.any():
        # Explained with part of the gang placed: this shows what the rest of the gang lacks.
        occupancy.lift()
        nodes = np.zeros(len(nodes), dtype=np.int64)
    for rule in rules:
        open_ = open_ & ~rule.refuses()
    return nodes, _Short(funnel, open_)


def _filled(
    kind: PodClass, count: int, fits: IntVector, rules: list[Rule], occupancy: Occupancy
) -> IntVector:
    """[N]: how many of a class go where; wishes are kept as long as they leave room for all."""
    preference = scores.preference(kind, fits, count, occupancy)
    nodes = np.zeros(len(fits), dtype=np.int64)
    for among, soft in _steps(kind, occupancy):
        left = count - int(nodes.sum())
        if left == 0:
            break
        for rule in soft:
            rule.land(nodes)
        room = np.where(among, fits - nodes, 0)
        nodes += distribute(room, preference, left, [*rules, *soft])
    return nodes


def _steps(kind: PodClass, occupancy: Occupancy) -> Iterator[tuple[BoolVector, list[Rule]]]:
    """The nodes to fill and the wishes to keep, step by step.

    ScheduleAnyway opens no node that could stay empty; that is what the strategy Spread is for.
    """
    everywhere = np.ones(len(occupancy.table.nodes), dtype=np.bool_)
    for soft in constraints.wishes(kind, occupancy):
        yield everywhere, soft
    if any(not constraint.hard for constraint in kind.constraints.spread):
        for among in (occupancy.busy, everywhere):
            yield among, filters.wishes(kind, among, occupancy)
            yield among, []
    else:
        yield everywhere, []
