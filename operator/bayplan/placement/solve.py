"""Place the waiting tasks on the existing nodes: the decision of one cycle.

`solve` is a function of its arguments: the same snapshot, waiting tasks and `now` give the same
plan, in whatever order they are given. All work is per class (tasks alike in everything that
placing looks at): a handful of vector passes over all nodes for any number of tasks. It does NOT
buy nodes, move running pods or preempt them.

With a `Backlog` there are two passes: first every class lands its shares, in the usual order, so
that nobody else takes the room planned for it; then every class places the rest of its tasks as
without a backlog. Room is kept for pods of `held` that are still to come: no pod of another class
lands there. Shares and kept room of a lower priority never make a task of a higher priority wait:
if they would, each priority makes its two passes before the next one begins, and room is kept for
lower priorities in what is left. Room for the companions of placed pods is held in the same way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import NO_BACKLOG, Backlog, Fault, Plan, TaskKey, Waiting
from bayplan.placement import daemonsets
from bayplan.placement.answers import Answer, Tier
from bayplan.placement.companions import Rooms
from bayplan.placement.node_table import NodeTable
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.order import ordered
from bayplan.placement.reservations import kept, next_at, renewed


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
    rooms: Mapping[TaskKey, Mapping[str, int]] | None = None,
) -> Plan:
    """Give every task a node, or refuse it with a reason. The snapshot is not changed.

    `holds` and `rooms` are those of the former plan. What is `planned` lands first, as far as every
    filter and rule agrees; shares on a node that closes do not count. A class that meets a defect
    of ours is set aside: nothing of it lands, and the other classes are placed as if it did not
    exist.
    """
    del policy  # no rule draws yet; callers pass it so that no rule brings its own randomness
    table = (memo if memo is not None else Memo()).table(snapshot)
    queue = ordered(waiting)

    def answered(tiers: Iterable[Tier]) -> Answer:
        occupancy = Occupancy.of(snapshot, table)
        faults = daemonsets.keep_room(occupancy)
        occupancy.held, doubtful = kept(holds or {}, waiting, now, occupancy)
        found = faults + doubtful
        answer = Answer(occupancy, Rooms(occupancy, rooms or {}, found), faults=found)
        answer.fill(tiers, planned)
        return answer

    answer = answered([(None, queue)])
    waits = answer.waits_for_less_urgent()
    if waits:
        tiers = groupby(queue, lambda group: group.kind.priority)
        by_priority = answered((priority, list(tier)) for priority, tier in tiers)
        if not waits <= by_priority.without_node():
            answer = by_priority
    held: dict[TaskKey, str] = {}
    look_at: int | None = None
    try:
        held = renewed(answer.starving, now, answer.occupancy)
        look_at = next_at(answer.starving, now, answer.occupancy)
    except Exception as error:  # noqa: BLE001  what has been placed must still be written
        answer.faults.append(Fault("hold", "all", error))
    return Plan(
        answer.placements,
        tuple(answer.refused),
        held,
        look_at,
        tuple(answer.faults),
        answer.rooms.held(),
    )
