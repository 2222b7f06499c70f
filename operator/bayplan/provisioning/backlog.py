"""Asks the optimiser which of the existing nodes a backlog should use, and which to leave empty.

Nodes in use are paid in any case and cost nothing here; an empty node costs its price, or could be
given back. The answer is a wish for `solve`, whose filters decide: ties between pods are not part
of the question, and neither are tasks that have them.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayplan.model import resources
from bayplan.model.nodes import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import Backlog, PodClass, Strategy, Waiting
from bayplan.optimizer.existing_nodes import Pool, Use
from bayplan.optimizer.problem import IntMatrix, IntVector
from bayplan.placement import daemonsets, filters
from bayplan.placement.node_table import NodeTable
from bayplan.placement.occupancy import Occupancy

BoolVector = npt.NDArray[np.bool_]

# A smaller backlog is placed by score, which is within a few nodes of the least, and at once.
LEAST_TASKS, LEAST_EMPTY = 200, 8
_MOST_SHAPES = 200  # for which column generation is quick
_MOST_OF_ROOM = 0.9  # a backlog that needs more of it leaves nothing to give back


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What `existing_nodes.used` is asked: nodes [N] by name, and shapes of tasks [K].

    Classes that request the same and may use the same nodes have one shape: `kinds[k]` are these
    classes, each with the number of its tasks.
    """

    pool: Pool
    demand: IntVector  # [K]
    request: IntMatrix  # [K, D]
    nodes: tuple[str, ...]
    kinds: tuple[tuple[tuple[PodClass, int], ...], ...]

    @property
    def classes(self) -> frozenset[PodClass]:
        """Every class whose tasks the question is about."""
        return frozenset(kind for members in self.kinds for kind, _ in members)

    def answered(self, use: Use) -> Backlog:
        """The answer as a wish: the nodes in use, and where the tasks of each class land."""
        nodes = frozenset(self.nodes[row] for row in np.flatnonzero(use.counts.any(axis=1)))
        return Backlog(nodes, dict(self._shares(use)))

    def _shares(self, use: Use) -> Iterator[tuple[PodClass, dict[str, int]]]:
        for k, members in enumerate(self.kinds):
            copies = np.repeat(np.arange(len(self.nodes)), use.counts[:, k])
            done = 0
            for kind, count in members:
                rows, counts = np.unique(copies[done : done + count], return_counts=True)
                done += count
                if len(rows):
                    names = [self.nodes[row] for row in rows.tolist()]
                    yield kind, dict(zip(names, counts.tolist(), strict=True))


def may_pay(snapshot: Snapshot, waiting: Sequence[Waiting]) -> bool:
    """A quick look before the others: enough tasks wait, and enough nodes are empty."""
    if sum(len(group.keys) for group in waiting) < LEAST_TASKS:
        return False
    return int(np.count_nonzero(snapshot.busy == 0)) >= LEAST_EMPTY


def question(
    snapshot: Snapshot,
    waiting: Sequence[Waiting],
    table: NodeTable,
    price: Callable[[Node], int | None],
) -> Question | None:
    """The question, or None if asking cannot pay.

    It pays when many tasks without ties could leave empty nodes of known price empty, and there is
    something to choose: tasks of one shape on empty nodes of one kind are best placed by score.
    """
    shapes = _shapes(snapshot, waiting, table)
    counts = [sum(count for _, count in members) for _, members in shapes]
    if sum(counts) < LEAST_TASKS or len(shapes) > _MOST_SHAPES:
        return None
    occupancy = Occupancy.of(snapshot, table)
    daemonsets.keep_room(occupancy)
    request = _rows([members[0][0].request for _, members in shapes], snapshot)
    may = np.array([open_ for open_, _ in shapes])
    fits = np.array([(occupancy.free[:, one > 0] >= one[one > 0]).all(axis=1) for one in request])
    usable = np.flatnonzero((may & fits).any(axis=0))
    empty = snapshot.busy[usable] == 0
    nodes = [snapshot.nodes[row] for row in usable.tolist()]
    free = occupancy.free[usable]
    if int(np.count_nonzero(empty)) < LEAST_EMPTY or not _leaves_room(free, counts, request):
        return None
    prices = [price(node) if alone else 0 for node, alone in zip(nodes, empty, strict=True)]
    if any(each is None for each in prices):
        return None
    costs = np.array(prices, np.int64)
    kinds = np.unique(np.column_stack((costs, free))[empty], axis=0)
    if len(shapes) == 1 and len(kinds) == 1:
        return None
    return Question(
        pool=Pool(free, costs, may[:, usable]),
        demand=np.array(counts, np.int64),
        request=request,
        nodes=tuple(node.name for node in nodes),
        kinds=tuple(tuple(members) for _, members in shapes),
    )


def _shapes(
    snapshot: Snapshot, waiting: Sequence[Waiting], table: NodeTable
) -> list[tuple[BoolVector, list[tuple[PodClass, int]]]]:
    """The tasks without ties by what they request and where they may go: nodes [N], classes.

    Tasks that ask for a resource of no node, or that no node may take, are left out.
    """
    shapes: dict[object, tuple[BoolVector, list[tuple[PodClass, int]]]] = {}
    counts: dict[PodClass, int] = {}
    shared = snapshot.exclusive() == 0
    for group in waiting:
        if snapshot.vector(group.kind.request) is None:
            continue
        if not (group.gang or group.avoid or _tied(group.kind)):
            counts[group.kind] = counts.get(group.kind, 0) + len(group.keys)
    for kind, count in counts.items():
        open_ = filters.of_nodes(kind, table).open & shared
        disliked = table.disliked(kind.constraints.tolerations)
        if disliked.any():
            open_ = open_ & (disliked == 0)
        if open_.any():
            at = kind.request, open_.tobytes()
            shapes.setdefault(at, (open_, []))[1].append((kind, count))
    return list(shapes.values())


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


def _leaves_room(free: IntMatrix, counts: Sequence[int], request: IntMatrix) -> bool:
    needed = np.array(counts, np.int64) @ request
    room = np.maximum(free, 0).sum(axis=0)
    return bool((needed[needed > 0] <= _MOST_OF_ROOM * room[needed > 0]).all())


def _rows(requests: Collection[resources.Vector], snapshot: Snapshot) -> IntMatrix:
    return np.array([snapshot.amounts(request) for request in requests], np.int64)
