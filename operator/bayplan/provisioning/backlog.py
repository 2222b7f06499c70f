"""Asks the optimiser which of the existing nodes a backlog should use, and which to leave empty.

Nodes in use are paid in any case and cost nothing here; an empty node costs its price, or could be
given back. The answer is a wish for `solve`, whose filters decide: ties between pods are not part
of the question, and neither are tasks that have them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayplan.model.nodes import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import NO_BACKLOG, Backlog, PodClass, Strategy, Waiting
from bayplan.optimizer.existing_nodes import Pool, Use
from bayplan.optimizer.problem import IntMatrix, IntVector
from bayplan.placement import daemonsets, filters
from bayplan.placement.node_table import NodeTable
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.solve import Memo, Policy, solve

BoolVector = npt.NDArray[np.bool_]

# A smaller backlog is placed by score at once, and so is one that the score opens few nodes for.
LEAST_TASKS, LEAST_EMPTY, LEAST_OPENED = 100, 8, 4
# What is left of a backlog when most of it came a moment ago.
_LEAST_TASKS_LEFT, _LEAST_OPENED_LEFT = 20, 2
# Column generation has no time for more shapes: they are put together until few are left.
_MOST_SHAPES, _FEW_SHAPES = 48, 32
_GRIDS = tuple(0.05 * 1.25**step for step in range(20))  # widths of a grid step, as shares


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What `existing_nodes.used` is asked: nodes [N] by name, and shapes of tasks [K].

    `kinds[k]` are the classes of a shape, each with the number of its tasks; `request[k]` is their
    mean. `by_score`: microdollars an hour of the nodes that the score would open. `cost` tells the
    same of a plan.
    """

    pool: Pool
    demand: IntVector  # [K]
    request: IntMatrix  # [K, D]
    nodes: tuple[str, ...]
    kinds: tuple[tuple[tuple[PodClass, int], ...], ...]
    by_score: int
    cost: Callable[[Backlog], int | None]

    @property
    def classes(self) -> frozenset[PodClass]:
        """Every class whose tasks the question is about."""
        return frozenset(kind for members in self.kinds for kind, _ in members)

    def answered(self, use: Use) -> Backlog | None:
        """The answer as a wish: the nodes in use, and where the tasks of each class land.

        None where the tasks cost no less by it than by score.
        """
        nodes = frozenset(self.nodes[row] for row in np.flatnonzero(use.counts.any(axis=1)))
        planned = Backlog(nodes, dict(self._shares(use)))
        cost = self.cost(planned)
        return planned if cost is not None and cost < self.by_score else None

    def _shares(self, use: Use) -> Iterator[tuple[PodClass, dict[str, int]]]:
        for k, members in enumerate(self.kinds):
            rows = np.repeat(np.arange(len(self.nodes)), use.counts[:, k])
            turns = _mixed([count for _, count in members])[: len(rows)]
            rows = rows[: len(turns)]
            for index, (kind, _) in enumerate(members):
                found, counts = np.unique(rows[turns == index], return_counts=True)
                if len(found):
                    names = [self.nodes[row] for row in found.tolist()]
                    yield kind, dict(zip(names, counts.tolist(), strict=True))


def least(lately: int) -> int:
    """How many tasks must wait to be worth a question, if so many were placed in the last second.

    In a stream of tasks no cycle sees many of them.
    """
    return max(LEAST_TASKS - lately, _LEAST_TASKS_LEFT)


def may_pay(snapshot: Snapshot, waiting: Sequence[Waiting], lately: int = 0) -> bool:
    """A quick look before the others: enough tasks wait, and enough nodes are empty."""
    if sum(len(group.keys) for group in waiting) < least(lately):
        return False
    return int(np.count_nonzero(snapshot.busy == 0)) >= LEAST_EMPTY


def question(
    snapshot: Snapshot,
    waiting: Sequence[Waiting],
    memo: Memo,
    price: Callable[[Node], int | None],
    lately: int = 0,
) -> Question | None:
    """The question, or None if asking cannot pay; `lately`: tasks placed in the last second.

    It can pay when the score would open several empty nodes of known price for many tasks without
    ties, all of them find room, and there is something to choose: tasks of one shape on empty nodes
    of one kind are best placed by score.
    """
    table = memo.table(snapshot)
    shapes = _shapes(snapshot, waiting, table)
    if sum(shape.count for shape in shapes) < least(lately):
        return None
    occupancy = Occupancy.of(snapshot, table)
    daemonsets.keep_room(occupancy)
    fits = [
        shape.open_ & (occupancy.free[:, asked] >= shape.request[asked]).all(axis=1)
        for shape in shapes
        for asked in (np.flatnonzero(shape.request),)
    ]
    usable = np.flatnonzero(np.any(fits, axis=0))
    empty = snapshot.busy[usable] == 0
    if int(np.count_nonzero(empty)) < LEAST_EMPTY:
        return None
    nodes = [snapshot.nodes[row] for row in usable.tolist()]
    prices = [price(node) if alone else 0 for node, alone in zip(nodes, empty, strict=True)]
    if any(each is None for each in prices):
        return None
    costs, free = np.array(prices, np.int64), occupancy.free[usable]
    offers = np.column_stack((costs, free))[empty]
    if len(shapes) == 1 and (offers == offers[0]).all():
        return None
    trial = _Trial(
        snapshot,
        tuple(group for group in waiting if not _left_out(group)),
        memo,
        {node.name: cost for node, cost in zip(nodes, costs.tolist(), strict=True) if cost},
    )
    opened = trial.opened(NO_BACKLOG)
    if opened is None or len(opened) < (_LEAST_OPENED_LEFT if lately else LEAST_OPENED):
        return None
    shapes = _few(shapes)
    return Question(
        pool=Pool(free, costs, np.array([shape.open_[usable] for shape in shapes])),
        demand=np.array([shape.count for shape in shapes], np.int64),
        request=np.array([shape.request for shape in shapes], np.int64),
        nodes=tuple(node.name for node in nodes),
        kinds=tuple(shape.members for shape in shapes),
        by_score=sum(opened),
        cost=trial.cost,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """The tasks of a question, placed as if nothing else waited."""

    snapshot: Snapshot
    waiting: Sequence[Waiting]
    memo: Memo
    prices: Mapping[str, int]  # of empty nodes

    def opened(self, planned: Backlog) -> list[int] | None:
        """The price of each node that would be opened; None if a task found no room."""
        plan = solve(self.snapshot, self.waiting, 0, Policy(), self.memo, planned=planned)
        names = set(plan.placements.values())
        return None if plan.refused else [self.prices[name] for name in names & self.prices.keys()]

    def cost(self, planned: Backlog) -> int | None:
        opened = self.opened(planned)
        return None if opened is None else sum(opened)


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """Classes of one size that may use the same nodes: `open_` [N], a mean request [D]."""

    open_: BoolVector
    request: IntVector
    members: tuple[tuple[PodClass, int], ...]

    @property
    def count(self) -> int:
        return sum(count for _, count in self.members)


def _shapes(snapshot: Snapshot, waiting: Sequence[Waiting], table: NodeTable) -> list[_Shape]:
    """The tasks without ties, by what they request and where they may go.

    Tasks that ask for a resource of no node, or that no node may take, are left out.
    """
    counts: dict[PodClass, int] = {}
    for group in waiting:
        if not _left_out(group):
            counts[group.kind] = counts.get(group.kind, 0) + len(group.keys)
    shared = snapshot.exclusive() == 0
    found: dict[object, tuple[BoolVector, IntVector, list[tuple[PodClass, int]]]] = {}
    for kind, count in counts.items():
        open_ = filters.of_nodes(kind, table).open & shared
        disliked = table.disliked(kind.constraints.tolerations)
        if disliked.any():
            open_ &= disliked == 0
        request = snapshot.vector(kind.request)
        if request is not None and open_.any():
            at = kind.request, open_.tobytes()
            found.setdefault(at, (open_, request, []))[2].append((kind, count))
    return [_Shape(open_, request, tuple(kinds)) for open_, request, kinds in found.values()]


def _few(shapes: list[_Shape]) -> list[_Shape]:
    """Similar shapes put together until few are left, if there are too many."""
    if len(shapes) <= _MOST_SHAPES:
        return shapes
    requests = np.array([shape.request for shape in shapes])
    opens: dict[bytes, int] = {}
    open_ = [opens.setdefault(shape.open_.tobytes(), len(opens)) for shape in shapes]
    for grid in _GRIDS:
        steps = np.floor(np.log(np.maximum(requests, 1)) / np.log1p(grid)).astype(np.int64)
        keys = np.column_stack((open_, steps))
        group: IntVector = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
        if group.max() < _FEW_SHAPES:
            break
    alike: list[list[_Shape]] = [[] for _ in range(group.max() + 1)]
    for shape, k in zip(shapes, group.tolist(), strict=True):
        alike[k].append(shape)
    return [_joined(each) for each in alike]


def _joined(shapes: Sequence[_Shape]) -> _Shape:
    counts = np.array([shape.count for shape in shapes])
    total = counts @ np.array([shape.request for shape in shapes])
    members = tuple(member for shape in shapes for member in shape.members)
    return _Shape(shapes[0].open_, -(-total // counts.sum()), members)


def _mixed(counts: Sequence[int]) -> IntVector:
    """0, 1 … each so many times, evenly mixed: every stretch has about the mean of all."""
    turns = np.repeat(np.arange(len(counts)), counts)
    places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    mixed: IntVector = turns[np.argsort(places, kind="stable")]
    return mixed


def _left_out(group: Waiting) -> bool:
    """Whether a question is not about these tasks."""
    return bool(group.gang or group.avoid) or _tied(group.kind)


def _tied(kind: PodClass) -> bool:
    """Whether more than its node's room and labels decides where a task of the class may go."""
    wanted, placement = kind.constraints, kind.placement
    return bool(
        placement.gang
        or placement.strategy is not Strategy.BIN_PACK
        or any(constraint.coupling is not None for constraint in placement.constraints)
        or wanted.preferred
        or wanted.host_ports
        or wanted.pod_affinity
        or wanted.pod_anti_affinity
        or wanted.spread
        or wanted.claims
        or wanted.disks
    )
