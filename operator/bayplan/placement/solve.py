"""Place what waits on the nodes there are: the decision of one cycle.

`solve` is a function of its arguments: same snapshot, same waiting tasks, same `now`, same plan,
whatever the order in which they are given. All work is per class (tasks alike in everything that
placing looks at), a handful of vector passes over all nodes for any number of tasks. It does NOT
buy nodes, move running pods or preempt them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import Plan, PodClass, Refused, TaskKey, Waiting
from bayplan.placement import bulk, daemons, explain, filters, scores, spread
from bayplan.placement.board import Board
from bayplan.placement.order import ordered
from bayplan.placement.table import NodeTable, Refusing

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a cluster's owner may choose about placing."""

    seed: int = 0  # of everything that is drawn


@dataclass(slots=True)
class Memo:
    """What a caller keeps between cycles: answers that hang on nodes alone.

    For snapshots of one `State`, whose `nodes_version` tells when the answers have changed.
    """

    _table: NodeTable | None = field(default=None)

    def table(self, snapshot: Snapshot) -> NodeTable:
        """Nodes as columns, the former ones while no node has changed."""
        if self._table is None or self._table.version != snapshot.nodes_version:
            self._table = NodeTable(snapshot.nodes, snapshot.nodes_version)
        return self._table


def solve(
    snapshot: Snapshot,
    waiting: Sequence[Waiting],
    now: int,
    policy: Policy,
    memo: Memo | None = None,
) -> Plan:
    """Every task gets a node or is among the refused, with the reason. The snapshot stays as is."""
    del now, policy  # no rule needs them yet; callers pass them so that none will read a clock
    board = Board.of(snapshot, (memo if memo is not None else Memo()).table(snapshot))
    daemons.keep_room(board)
    placements: dict[TaskKey, str] = {}
    refused: list[Refused] = []
    for group in ordered(waiting):
        attempt = _placed(group, board)
        rows = np.flatnonzero(attempt.nodes)
        names = [board.table.nodes[row].name for row in rows.tolist()]
        chosen = np.repeat(np.arange(len(rows)), attempt.nodes[rows]).tolist()
        placements.update(zip(group.keys, (names[index] for index in chosen), strict=False))
        if len(chosen) < len(group.keys):
            funnel = explain.funnel(group.kind.request, attempt.refusing(), board)
            refused.append(Refused(group, group.keys[len(chosen) :], funnel))
    return Plan(placements, tuple(refused))


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """How many of a class landed on each node, and who refuses one more of them."""

    nodes: IntVector
    filtered: tuple[Refusing, ...]
    rules: list[spread.Rule]

    def refusing(self) -> list[Refusing]:
        return [
            *self.filtered,
            *(Refusing(rule.reason, rule.detail, rule.refuses()) for rule in self.rules),
        ]


def _placed(group: Waiting, board: Board) -> _Attempt:
    """Land as many tasks of one class as find room; the board counts on them."""
    kind, count = group.kind, len(group.keys)
    verdict = filters.of_nodes(kind.constraints, board.table)
    moment = tuple(filters.of_the_moment(group, board))
    rules = filters.rules(kind, board)
    nodes = np.zeros(len(board.table.nodes), dtype=np.int64)
    attempt = _Attempt(nodes, (*verdict.refusing, *moment), rules)
    request = board.snapshot.vector(kind.request)
    if request is None:
        return attempt
    open_ = verdict.open
    for refusal in moment:
        open_ = open_ & ~refusal.nodes
    fits = np.where(open_, bulk.fit(board.free, request), 0)
    if not fits.any():
        return attempt
    preference = scores.preference(kind, request, fits, count, board)
    for among, soft in _steps(kind, board):
        left = count - int(nodes.sum())
        for rule in soft:
            rule.land(nodes)
        if left > 0:
            room = np.where(among, fits - nodes, 0)
            nodes += spread.distribute(room, preference, left, [*rules, *soft])
    board.land(kind, request, nodes)
    return attempt


def _steps(kind: PodClass, board: Board) -> Iterator[tuple[BoolVector, list[spread.Rule]]]:
    """Nodes to fill and wishes to keep, in turn: no wish opens a node that could stay empty."""
    everywhere = np.ones(len(board.table.nodes), dtype=np.bool_)
    if any(not constraint.hard for constraint in kind.constraints.spread):
        for among in (board.busy, everywhere):
            yield among, filters.wishes(kind, among, board)
            yield among, []
    else:
        yield everywhere, []
