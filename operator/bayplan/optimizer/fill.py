"""Places a whole class of pods on existing nodes in a few vector passes.

For a class: how many copies fit on each node (`fit`), which nodes are preferred (`preference`), how
many copies go to each node (`fill`). This takes a few passes over the nodes for ANY number of pods.
These are array primitives: eligibility, and caps per node or group, come in as numbers
(`numpy.minimum(fits, cap)`, zero where not eligible); nothing here knows a pod or a node.
"""

import numpy as np
import numpy.typing as npt

IntVector = npt.NDArray[np.int64]
IntMatrix = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

_FULLNESS = 2.0  # weight of fullness, relative to the shape
_FOR_OTHERS = 0.5  # share of an unused node's rest that other pods will use
UNBOUNDED = np.int64(1) << 40  # number of copies of a class that requests nothing


def fit(free: IntMatrix, request: IntVector) -> IntVector:
    """How many copies of `request` [D] fit on each node of `free` [N, D]; integers decide.

    Dimensions not requested do not matter, even where free is negative. Never below 0.
    """
    fits = np.full(len(free), UNBOUNDED)
    for dimension in np.flatnonzero(request):
        np.minimum(fits, free[:, dimension] // request[dimension], out=fits)
    return np.maximum(fits, 0, out=fits)


def fill(fits: IntVector, preference: FloatVector | IntVector | None, count: int) -> IntVector:
    """Copies per node [N]: the most preferred nodes are filled first until `count` are placed.

    A node with a higher preference comes first, and among equals the lower index. The sum is
    `min(count, fits.sum())`; a node never gets more than its `fits`. Without `preference` the index
    decides.
    """
    placed = np.zeros(len(fits), np.int64)
    if count <= 0:
        return placed
    candidates = np.flatnonzero(fits > 0)
    if preference is not None:
        candidates = _foremost(candidates, fits, -preference[candidates], count)
    room = np.minimum(fits[candidates], count)
    before = np.cumsum(room) - room
    placed[candidates] = np.clip(count - before, 0, room)
    return placed


def _foremost(
    candidates: IntVector, fits: IntVector, rank: FloatVector | IntVector, count: int
) -> IntVector:
    """Candidates by rank, then index, enough to take `count`, without sorting most nodes.

    A guessed number of nodes is partitioned off (with all nodes of equal rank), and the number is
    doubled until they suffice.
    """
    room = np.minimum(fits[candidates], count)
    needed = 1 + int(count * len(candidates) / max(1, int(room.sum())))
    while needed < len(candidates) // 2:
        worst = np.partition(rank, needed)[needed]
        first = np.flatnonzero(rank <= worst)
        if int(room[first].sum()) >= count:
            return candidates[first[np.argsort(rank[first], kind="stable")]]
        needed *= 2
    return candidates[np.argsort(rank, kind="stable")]


def placed(
    free: IntMatrix,
    request: IntMatrix,
    demand: IntVector,
    price: IntVector,
    *,
    may: npt.NDArray[np.bool_] | None = None,
    per_node: IntVector | None = None,
) -> IntMatrix:
    """[N, K] copies per node: places every class once, large classes first.

    Used nodes come before unused nodes. Among used nodes it prefers full nodes whose free room has
    the shape of the request; among unused nodes, the cheapest for the taken room and half of the
    rest. `may` is [K, N].
    """
    room = free.T.copy(order="C")  # [D, N]: whole columns are read
    counts = np.zeros((len(demand), len(free)), np.int64)
    scale = 1.0 / np.maximum(free.max(axis=0, initial=1), 1)
    share = request * scale
    scarce = (demand @ request) / np.maximum(free.sum(axis=0), 1)
    weight = scale * scarce  # scarce resources account for a node's price
    size = weight @ room
    dearest = float((price / np.maximum(size, 1e-9)).max(initial=0.0)) + 1.0
    used = np.zeros(len(free), np.bool_)
    for k in np.argsort(-share.max(axis=1), kind="stable"):
        fits = fit(room.T, request[k])
        if per_node is not None:
            np.minimum(fits, per_node[k], out=fits)
        if may is not None:
            fits *= may[k]
        landing = np.minimum(fits, demand[k]) * float(weight @ request[k])
        dear = price / np.maximum(landing + _FOR_OTHERS * (size - landing), 1e-9)
        empty = -dear / dearest - 2.0 * _FULLNESS * len(scale)
        preference = np.where(used, _shape(room, request[k], scale), empty)
        taken = fill(fits, preference, int(demand[k]))
        touched = np.flatnonzero(taken)
        room[:, touched] -= request[k][:, None] * taken[touched]
        counts[k] = taken
        used[touched] = True
    return counts.T


def _shape(room: IntMatrix, request: IntVector, scale: FloatVector) -> FloatVector:
    """[N] how similar request and free room are (cosine), minus the amount of free room."""
    along = total = square = np.zeros(room.shape[1])
    length = 0.0
    for d in np.flatnonzero(request):
        left = room[d] * scale[d]
        share = float(request[d] * scale[d])
        along, total, square = along + left * share, total + left, square + left * left
        length += share * share
    return along / (np.sqrt(square * length) + 1e-9) - _FULLNESS * total
