"""Placing a whole class of pods on existing nodes in a few vector passes.

Per class: how many copies fit on each node (`fit`), which nodes are wanted first (`preference`),
how many copies go where (`fill`). The work is a handful of passes over the nodes for ANY number of
pods. These are array primitives: who may use which node, and caps per node or group, come in as
numbers (`numpy.minimum(fits, cap)`, zero where not eligible); nothing here knows a pod or a node.
"""

import numpy as np
import numpy.typing as npt

IntVector = npt.NDArray[np.int64]
IntMatrix = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

UNBOUNDED = np.int64(1) << 40  # "as many as you like": a class that requests nothing


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

    A higher preference comes first, among equals the lower index. The sum is
    `min(count, fits.sum())`; a node never gets more than its `fits`. None prefers by index.
    """
    placed = np.zeros(len(fits), np.int64)
    if count <= 0:
        return placed
    candidates = np.flatnonzero(fits > 0)
    if preference is not None:
        ranked = np.argsort(-preference[candidates], kind="stable")
        candidates = candidates[ranked]
    room = np.minimum(fits[candidates], count)
    before = np.cumsum(room) - room
    placed[candidates] = np.clip(count - before, 0, room)
    return placed
