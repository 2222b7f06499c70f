"""Which of the nodes that could take a class should: the fewest, cheapest nodes in the end.

One number per node, compared by size. From strongest to weakest: nodes that close come last; nodes
with a PreferNoSchedule taint come before them; a used node comes before an empty node; an empty
node that the backlog's plan uses comes before other empty nodes; then what the pod prefers (node
and pod affinity by weight); then packing: among used nodes, the node whose free room is shaped like
the request and is full soonest; among empty nodes, the fewest dollars for what would land there. So
a preference chooses among nodes and never costs a node. Floats rank here; they never decide a fit.
"""

import numpy as np
import numpy.typing as npt

from bayplan.model import resources
from bayplan.model.pods import Constraints
from bayplan.model.workloads import PodClass
from bayplan.placement.node_table import NodeTable
from bayplan.placement.occupancy import Occupancy

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

_LAST = 1e11
_DISLIKED = 1e9
_USED = 1e7
_PLANNED = 5e6  # of an empty node
_WISH = 1e2  # a point of weight; packing stays below half of it
_MOST_WISHES = 40_000
_MOST_PACKING = 49.0
_SHAPED = [0, 1]  # cpu and memory: what nodes are bought for
_EXTENDED = len(resources.STANDARD)  # the first column of an extended resource
_FULLNESS = 2.0  # how much fullness counts beside the shape
_SCARCE = 10.0
_FOR_OTHERS = 0.5  # the part of an empty node's rest that other pods will use


def preference(
    kind: PodClass,
    fits: IntVector,
    count: int,
    occupancy: Occupancy,
    *,
    last: BoolVector | None = None,
) -> FloatVector:
    """[N]: higher is sooner. `fits` are the copies that each node has room for.

    Nodes that are `last` come after all others, whatever speaks for them.
    """
    score = occupancy.busy * _USED + _packing(kind.request, fits, count, occupancy)
    if occupancy.planned is not None:
        score += (occupancy.planned & ~occupancy.busy) * _PLANNED
    if last is not None:
        score -= last * _LAST
    wishes = _of_nodes(kind.constraints, occupancy.table)
    if wishes is not None:
        score += wishes
    if any(term.weight for term in kind.constraints.pod_affinity) or any(
        term.weight for term in kind.constraints.pod_anti_affinity
    ):
        score += _near(kind, occupancy)
    return score


def _packing(
    asked: resources.Vector, fits: IntVector, count: int, occupancy: Occupancy
) -> FloatVector:
    """Within ±49. Used nodes: free room shaped like the request, minus free room as such.

    Empty nodes: how cheap the share of the node is that these pods take, with the rest of the node
    valued at half, because other pods will come. Measured on 100,000 pods of 46 classes on 10,000
    empty nodes and on arrivals and departures: docs/design/placing-score.md. On both kinds of node,
    devices (GPUs and the like) that would be left without CPU or memory count against the node.
    """
    scale = occupancy.scale[_SHAPED]
    share = np.array([asked.amount(resources.CPU), asked.amount(resources.MEMORY)]) / scale
    cpu, memory = (occupancy.free[:, column] / scale[column] for column in _SHAPED)
    total = cpu + memory
    norm = np.sqrt((cpu * cpu + memory * memory) * float(share @ share) + 1e-12)
    used = (cpu * share[0] + memory * share[1]) / norm - _FULLNESS * total
    for column, name in enumerate(occupancy.snapshot.columns[_EXTENDED:], _EXTENDED):
        if not asked.amount(name):  # GPUs and the like are left to pods that ask for them
            used -= _SCARCE * occupancy.free[:, column] / occupancy.scale[column]
    copies = np.minimum(fits, count)
    taken = np.minimum(copies * share[0], cpu) + np.minimum(copies * share[1], memory)
    empty = -occupancy.cost / np.maximum(taken + _FOR_OTHERS * (total - taken), 1e-3)
    packing: FloatVector = np.where(occupancy.busy, used, empty)
    packing -= _SCARCE * _stranding(asked, fits, occupancy)
    return packing.clip(-_MOST_PACKING, _MOST_PACKING)


def _stranding(asked: resources.Vector, fits: IntVector, occupancy: Occupancy) -> FloatVector:
    """[N]: devices that one such pod would strand, as shares of the largest number on a node.

    A node's CPU and memory belong to its devices in equal parts. A free device whose part is used
    up is stranded, because a pod that asks for the device will not find the rest.
    """
    room, free = occupancy.snapshot.allocatable, occupancy.free
    shape = np.array([asked.amount(resources.CPU), asked.amount(resources.MEMORY)])
    stranded = np.zeros(len(fits))
    for column, name in enumerate(occupancy.snapshot.columns[_EXTENDED:], _EXTENDED):
        rows = np.flatnonzero((room[:, column] > 0) & (fits > 0)) if "/" in name else ()
        if not len(rows):
            continue
        parts = room[rows, column][:, None] / np.maximum(room[rows][:, _SHAPED], 1)
        left = free[rows][:, _SHAPED]
        before = free[rows, column] - (left * parts).min(axis=1)
        after = free[rows, column] - asked.amount(name) - ((left - shape) * parts).min(axis=1)
        more = np.maximum(after, 0.0) - np.maximum(before, 0.0)
        stranded[rows] += more / occupancy.scale[column]
    return stranded


def _of_nodes(wanted: Constraints, table: NodeTable) -> FloatVector | None:
    """Score of preferred node affinity and disliked taints; None if nothing is preferred."""
    key = (wanted.preferred, wanted.tolerations)
    if key not in table.wishes:
        points = np.zeros(len(table.nodes), dtype=np.int64)
        for weight, term in wanted.preferred:
            points += weight * table.matching(term)
        score = _points(points) - table.disliked(wanted.tolerations) * _DISLIKED
        table.wishes[key] = score if score.any() else None
    return table.wishes[key]


def _near(kind: PodClass, occupancy: Occupancy) -> FloatVector:
    """Preferred pod affinity: a term's weight in each domain with a pod that the term selects."""
    points = np.zeros(len(occupancy.table.nodes), dtype=np.int64)
    wanted = kind.constraints
    for terms, sign in ((wanted.pod_affinity, 1), (wanted.pod_anti_affinity, -1)):
        for term in terms:
            if not term.weight:
                continue
            domains = occupancy.table.domains(term.topology_key)
            near = occupancy.reach(term, kind.namespace)
            pods = domains.sums(occupancy.peers(near, term.selector, terminating=True))
            points += sign * term.weight * domains.of_nodes(pods > 0)
    return _points(points)


def _points(points: IntVector) -> FloatVector:
    return np.clip(points, -_MOST_WISHES, _MOST_WISHES).astype(np.float64) * _WISH
