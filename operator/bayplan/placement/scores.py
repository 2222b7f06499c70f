"""Which of the nodes that could take a class should: the fewest, cheapest nodes in the end.

One number per node, compared by size. From the strongest: nodes with a PreferNoSchedule taint come
last; a node in use comes before an empty one; then what the pod prefers (node and pod affinity by
weight); then packing: among used nodes the one whose free room is shaped like the request and
soonest full, among empty ones the least dollars for what would land there. So a preference chooses
among nodes and never costs one. Floats rank here; they never decide a fit.
"""

import numpy as np
import numpy.typing as npt

from bayplan.model import pod as pods_
from bayplan.model.workload import PodClass
from bayplan.placement.board import Board, reach
from bayplan.placement.table import NodeTable

IntVector = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

_DISLIKED = 1e9
_USED = 1e7
_WISH = 1e2  # a point of weight; packing stays below half of it
_MOST_WISHES = 40_000
_FULLNESS = 2.0  # how much being full counts beside the shape (packing.md §4.3, §4.5)


def preference(
    kind: PodClass, request: IntVector, fits: IntVector, count: int, board: Board
) -> FloatVector:
    """[N]: the higher the sooner. `fits` are the copies that each node has room for."""
    score = board.busy * _USED + _packing(request, fits, count, board)
    wishes = _of_nodes(kind.constraints, board.table)
    if wishes is not None:
        score += wishes
    if any(term.weight for term in kind.constraints.pod_affinity) or any(
        term.weight for term in kind.constraints.pod_anti_affinity
    ):
        score += _near(kind, board)
    return score


def _packing(request: IntVector, fits: IntVector, count: int, board: Board) -> FloatVector:
    """Within ±49: alignment less free room on used nodes, cheapness on empty ones."""
    scale, cost = board.scale, board.cost
    asked = np.flatnonzero(request)
    share = request[asked] / scale[asked]
    free = board.free[:, asked] / scale[asked]
    total = free.sum(axis=1)
    norm = np.sqrt((free * free).sum(axis=1) + 1e-12) * float(
        np.sqrt((share * share).sum()) + 1e-12
    )
    shape = (free @ share) / norm
    used = shape - _FULLNESS * total
    copies = np.minimum(fits, count)
    empty = -cost / np.maximum(copies, 1)
    return np.where(board.busy, used, empty)


def _of_nodes(wanted: pods_.Constraints, table: NodeTable) -> FloatVector | None:
    """Preferred node affinity and disliked taints; None where nothing is preferred."""
    key = (wanted.preferred, wanted.tolerations)
    if key not in table.wishes:
        points = np.zeros(len(table.nodes), dtype=np.int64)
        for weight, term in wanted.preferred:
            points += weight * table.matching(term)
        score = _points(points) - table.disliked(wanted.tolerations) * _DISLIKED
        table.wishes[key] = score if score.any() else None
    return table.wishes[key]


def _near(kind: PodClass, board: Board) -> FloatVector:
    """Preferred pod affinity: a term's weight in each domain that has a pod it selects."""
    points = np.zeros(len(board.table.nodes), dtype=np.int64)
    wanted = kind.constraints
    for terms, sign in ((wanted.pod_affinity, 1), (wanted.pod_anti_affinity, -1)):
        for term in terms:
            if not term.weight:
                continue
            domains = board.table.domains(term.topology_key)
            near = reach(term, kind.namespace)
            pods = domains.sums(board.peers(near, term.selector, terminating=True))
            points += sign * term.weight * domains.of_nodes(pods > 0)
    return _points(points)


def _points(points: IntVector) -> FloatVector:
    return np.clip(points, -_MOST_WISHES, _MOST_WISHES).astype(np.float64) * _WISH
