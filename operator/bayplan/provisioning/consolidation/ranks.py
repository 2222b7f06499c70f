"""In which order nodes should lose their pods when services shrink a little at a time.

After the nodes that are given back now come those that would not be needed if all services had
three quarters of their pods, then those that would not be needed at a half. Nodes that would still
be needed have no rank. The order is nested: a node that would go early never stays when one that
would go later goes.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bayplan.optimizer.consolidation.holding import Consolidated
from bayplan.optimizer.problem import BoolVector, IntMatrix
from bayplan.provisioning.consolidation.scene import Asked

_PARTS = 1000  # the grid of what a node is worth
_STEPS = (1, 2), (3, 4), (1, 1)  # what is left of the pods, the least first
_WAS_LAST, _IS_LAST = 9, 10  # a node that was to go must be so much better to stay


def ranks(
    asked: Asked, answer: Consolidated, former: Mapping[str, int], first: Iterable[str]
) -> dict[str, int]:
    """Node -> its rank. `first` are given back now, in this order; `former` are the last ranks."""
    names = [node.name for node in asked.nodes]
    now = list(dict.fromkeys(first))
    given = {name for name, kept in zip(names, answer.keep.tolist(), strict=True) if not kept}
    later = [name for name in names if name in given.difference(now)]
    later.sort(key=lambda name: (former.get(name, len(former)), name))
    rows = [at for at, kept in enumerate(answer.keep.tolist()) if kept and names[at] not in now]
    needed = _in_order_of_need(asked, answer, rows, former)
    return {name: rank for rank, name in enumerate([*now, *later, *reversed(needed)])}


def _in_order_of_need(
    asked: Asked, answer: Consolidated, rows: Sequence[int], former: Mapping[str, int]
) -> list[str]:
    """The nodes that are needed only for more than half of the pods, the most needed first."""
    holding = asked.holding
    staying: IntMatrix = (holding.held - answer.leave - answer.out + answer.into)[rows]
    size, price = holding.sizes, holding.price[rows].clip(min=1)
    favour = np.array(
        [_WAS_LAST if asked.nodes[at].name in former else _IS_LAST for at in rows], dtype=np.int64
    )
    chosen: BoolVector = holding.stays[rows]
    found: list[int] = []
    for part, whole in _STEPS:
        need = -(-staying.sum(axis=0) * part // whole) - staying[chosen].sum(axis=0)
        while (need > 0).any():
            useful = np.minimum(staying, need.clip(min=0)) @ size
            worth = np.where(chosen, 0, useful * favour * _PARTS // price)
            best = int(np.argmax(worth))
            if not useful[best] or chosen[best]:
                break
            chosen[best] = True
            need = need - staying[best]
            if 2 * part > whole:
                found.append(best)
    return [asked.nodes[rows[at]].name for at in found]
