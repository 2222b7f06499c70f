"""Whether a pod that was born on a node can stay there."""

from bayplan.cluster.cache import Cache
from bayplan.model.pods import Pod


def why(cache: Cache, planned: Pod, stored: Pod) -> str:
    """Why a pod cannot stay where it was born; empty when it can.

    The API server accepts any node name, and names are used again on EKS: a node younger
    than the decision is not the one that was decided on.
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
