"""Whether a pod that was created on a node can stay there."""

from bayplan.cluster.cache import Cache
from bayplan.model.pods import Pod


def why(cache: Cache, planned: Pod, stored: Pod) -> str:
    """Why a pod cannot stay on the node that it was created on; empty when it can.

    The API server accepts any node name, and EKS uses names again: a node younger than the
    decision is not the node that was chosen.
    """
    if not stored.node:
        return ""
    node = cache.state.nodes.get(stored.node)
    if node is None or node.created_at > planned.created_at:
        return "its node has gone"
    if stored.request == planned.request:
        return ""
    frozen = cache.snapshot()
    row = frozen.rows.get(stored.node)
    over = row is not None and bool((frozen.free[row] < 0).any())
    return "it asks for more than was planned and does not fit" if over else ""
