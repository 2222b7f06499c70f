"""Place the waiting tasks on the existing nodes: the decision of one cycle.

`solve` is a function of its arguments: the same snapshot, waiting tasks and `now` give the same
plan, in whatever order they are given. All work is per class (tasks alike in everything that
placing looks at): a handful of vector passes over all nodes for any number of tasks. It does NOT
buy nodes, move running pods or preempt them.

With a `Backlog` there are two passes: first every class lands its shares, in the usual order, so
that nobody else takes the room planned for it; then every class places the rest of its tasks as
without a backlog. Shares of a lower priority never make a task of a higher priority wait: if they
would, each priority makes its two passes before the next one begins.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from bayplan.model import reasons
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import (
    NO_BACKLOG,
    Backlog,
    Fault,
    Plan,
    PodClass,
    Refused,
    TaskKey,
    Waiting,
)
from bayplan.placement import daemonsets, one_class
from bayplan.placement.node_table import NodeTable
from bayplan.placement.occupancy import Landed, Occupancy
from bayplan.placement.order import ordered
from bayplan.placement.reservations import Starving, kept, next_at, renewed

IntVector = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a cluster's owner may choose for placing."""

    seed: int = 0  # for all random draws


@dataclass(slots=True)
class Memo:
    """What a caller keeps between cycles: answers that depend on nodes alone.

    It is for snapshots of one `State`, whose `nodes_version` shows when the answers have changed,
    and for what-if snapshots of them with more nodes.
    """

    _table: NodeTable | None = field(default=None)

    def table(self, snapshot: Snapshot) -> NodeTable:
        """The nodes as columns; the former table while no node has changed."""
        table = self._table
        if (
            table is None
            or table.version != snapshot.nodes_version
            or (snapshot.nodes_version < 0 and table.nodes != snapshot.nodes)
        ):
            table = NodeTable(snapshot.nodes, snapshot.nodes_version, snapshot.others)
            self._table = table
        return table


def solve(
    snapshot: Snapshot,
    waiting: Sequence[Waiting],
    now: int,
    policy: Policy,
    memo: Memo | None = None,
    *,
    holds: Mapping[TaskKey, str] | None = None,
    planned: Backlog = NO_BACKLOG,
) -> Plan:
    """Give every task a node, or refuse it with a reason. The snapshot is not changed.

    `holds` are those of the former plan. What is `planned` lands first, as far as every filter and
    rule agrees. A class that meets a defect of ours is set aside: nothing of it lands, and the
    other classes are placed as if it did not exist.
    """
    del policy  # no rule draws yet; callers pass it so that no rule brings its own randomness
    table = (memo if memo is not None else Memo()).table(snapshot)
    queue = ordered(waiting)

    def answered(tiers: Iterable[Sequence[Waiting]]) -> _Answer:
        occupancy = Occupancy.of(snapshot, table)
        faults = daemonsets.keep_room(occupancy)
        occupancy.held, doubtful = kept(holds or {}, waiting, now, occupancy)
        answer = _Answer(occupancy, faults=faults + doubtful)
        answer.fill(tiers, planned)
        return answer

    answer = answered([queue])
    waits = answer.waits_for_less_urgent()
    if waits:
        by_priority = answered(
            [list(tier) for _, tier in groupby(queue, lambda group: group.kind.priority)]
        )
        if not waits <= by_priority.without_node():
            answer = by_priority
    held: dict[TaskKey, str] = {}
    look_at: int | None = None
    try:
        held = renewed(answer.starving, now, answer.occupancy)
        look_at = next_at(answer.starving, now, answer.occupancy)
    except Exception as error:  # noqa: BLE001  what has been placed must still be written
        answer.faults.append(Fault("hold", "all", error))
    return Plan(answer.placements, tuple(answer.refused), held, look_at, tuple(answer.faults))


@dataclass(slots=True, eq=False)
class _Answer:
    """What every class got. `shares`: what of a group landed by plan, by the group's first task."""

    occupancy: Occupancy
    placements: dict[TaskKey, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    starving: list[Starving] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    shares: dict[TaskKey, Landed] = field(default_factory=dict)

    def fill(self, tiers: Iterable[Sequence[Waiting]], planned: Backlog) -> None:
        """Land the shares of a tier's groups, then the rest of them; one tier after the other."""
        occupancy = self.occupancy
        if planned.nodes:
            named = (node.name in planned.nodes for node in occupancy.table.nodes)
            occupancy.planned = np.fromiter(named, np.bool_, len(occupancy.table.nodes))
        open_shares = _vectors(planned, occupancy)
        for tier in tiers:
            if open_shares:
                for group in tier:
                    share = open_shares.get(group.kind)
                    if share is not None:
                        self._land_share(group, share)
            for group in tier:
                self._land_rest(group)

    def without_node(self) -> set[TaskKey]:
        return {key for refusal in self.refused for key in refusal.keys}

    def waits_for_less_urgent(self) -> set[TaskKey]:
        """Tasks that wait while shares of a lower priority have landed."""
        least = min((landed.kind.priority for landed in self.shares.values()), default=None)
        return {
            key
            for refusal in self.refused
            if least is not None and refusal.waiting.kind.priority > least
            for key in refusal.keys
        }

    def _land_share(self, group: Waiting, share: IntVector) -> None:
        """Land what is planned for a group, and take it off the share of its class."""
        occupancy = self.occupancy
        before = len(occupancy.landed)
        try:
            nodes = one_class.by_plan(group, share, occupancy)
        except Exception as error:  # noqa: BLE001  the group is placed without its share
            occupancy.back_to(before)
            self.faults.append(Fault("share", "/".join(group.keys[0]), error))
            return
        if nodes.any():
            share -= nodes
            self.shares[group.keys[0]] = occupancy.landed[-1]
            self._place(group.keys, nodes)

    def _land_rest(self, group: Waiting) -> None:
        """Land the tasks of a group that no share placed, or say why they wait."""
        occupancy = self.occupancy
        before = len(occupancy.landed)
        share = self.shares.get(group.keys[0])
        keys = group.keys[int(share.nodes.sum()) :] if share is not None else group.keys
        if not keys:
            return
        try:
            nodes, short = one_class.placed(group, len(keys), occupancy)
        except Exception as error:  # noqa: BLE001  one class must not stop all the others
            occupancy.back_to(before, without=share)
            for key in group.keys:
                self.placements.pop(key, None)
            self.faults.append(Fault("solve", "/".join(group.keys[0]), error, group))
            refusal = reasons.set_aside(len(occupancy.table.nodes))
            self.refused.append(Refused(group, group.keys, refusal))
            return
        placed = self._place(keys, nodes)
        if short is not None:
            left = keys[placed:]
            self.refused.append(Refused(group, left, short.funnel))
            self.starving.append(Starving(group, left[0], short.open_))

    def _place(self, keys: Sequence[TaskKey], nodes: IntVector) -> int:
        """The first tasks get these nodes; how many did."""
        rows = np.flatnonzero(nodes)
        names = self.occupancy.table.names()[np.repeat(rows, nodes[rows])].tolist()
        self.placements.update(zip(keys, names, strict=False))
        return len(names)


def _vectors(planned: Backlog, occupancy: Occupancy) -> dict[PodClass, IntVector]:
    """The shares as copies per node [N]; those of nodes that do not exist are left out."""
    rows, found = occupancy.snapshot.rows, {}
    for kind, share in planned.shares.items():
        nodes = np.zeros(len(occupancy.table.nodes), dtype=np.int64)
        for name, count in share.items():
            if name in rows:
                nodes[rows[name]] = count
        if nodes.any():
            found[kind] = nodes
    return found
