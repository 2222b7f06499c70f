"""Which nodes would be given back if one more pod could move, and what that costs."""

from collections.abc import Sequence

from bayplan.model.nodes import Node
from bayplan.provisioning.consolidation.drafts import Draft
from bayplan.provisioning.consolidation.pods import SortedPods
from bayplan.provisioning.consolidation.proof import Proven, Prover
from bayplan.provisioning.consolidation.scene import Blocked, Pin
from bayplan.provisioning.demand import beside_volumes

_MOST_TOLD, _MOST_TRIED = 10, 20


def blocked(pods: SortedPods, prover: Prover, proven: Proven) -> tuple[Blocked, ...]:
    """The dearest nodes that stay for a pod although all their pods have room elsewhere.

    They are tried one after the other, beside what is proven already. A node that stays only for a
    while is left out.
    """
    scene, taken, found = pods.scene, list(proven.drafts), list[Blocked]()
    lasting = [
        (scene.price(node) or 0, at)
        for at, node in enumerate(pods.nodes)
        if node.name in pods.pins and not any(pin.young for pin in pods.pins[node.name])
    ]
    for price, at in sorted(lasting, key=lambda one: (-one[0], one[1]))[:_MOST_TRIED]:
        draft = _emptied(at, price, pods, prover)
        worth = not draft.free and draft.worth(scene.terms.horizon_seconds)
        if worth and len(found) < _MOST_TOLD and prover.placed([*taken, draft]) is not None:
            taken.append(draft)
            found.append(_told(pods.nodes[at], price, pods.pins[pods.nodes[at].name]))
    return tuple(sorted(found, key=lambda one: (-one.price, one.node)))


def _emptied(at: int, price: int, pods: SortedPods, prover: Prover) -> Draft:
    """The node with all its pods moved; those that may not move could take their volumes along."""
    node = pods.nodes[at]
    pinned = [pin.pod for pin in pods.pins[node.name] if pin.pod is not None]
    for pod in pinned:
        prover.see_as(pod, beside_volumes(pods.scene.kinds(pod), pods.scene.snapshot.claims))
    moves = (*pinned, *(pod for _, pod in pods.free_on(at)))
    cost = len(moves) * pods.scene.terms.move_microdollars
    return Draft(
        (node,), moves, saving=price, cost=cost, empties_in=pods.empties_in.get(node.name, 0)
    )


def _told(node: Node, price: int, pins: Sequence[Pin]) -> Blocked:
    """The node's own reason if it has one, else that of the first pod, and how many others."""
    first = min(pins, key=lambda pin: () if pin.pod is None else pin.pod.key)
    if first.pod is None:
        return Blocked(node.name, "", first.reason, price)
    others = len(pins) - 1
    more = "1 more pod that stays" if others == 1 else f"{others} more pods that stay"
    reason = f"{first.reason}; the node has {more}" if others else first.reason
    return Blocked(node.name, "/".join(first.pod.key), reason, price)
