"""Has a ReplicaSet end its pods on the nodes that go next first, when it is scaled down.

Kubernetes asks the annotation controller.kubernetes.io/pod-deletion-cost of each pod. A cost that
somebody else has written stays (the writer sees to it), and ours is taken off when the node stays
after all.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bayplan.api import names
from bayplan.cluster.cache import Cache
from bayplan.model.intents import PriceDeletion
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod

_EVERY_SECONDS = 5
_AGAIN_SECONDS = 60  # until a cost that is not seen is written again
_CHEAPEST = -1000  # on the node that goes first


class Prices(Protocol):
    """The part of the writer that writes deletion costs, some a second."""

    def price_deletion(self, wanted: PriceDeletion) -> None: ...


@dataclass(slots=True, eq=False)
class DeletionCosts:
    """`ranks` gives the nodes that are given back next: node -> its place."""

    cache: Cache
    writer: Prices
    ranks: Callable[[], Mapping[str, int]]
    _asked: dict[str, tuple[int | None, int]] = field(default_factory=dict)  # uid -> cost, when
    _looked_at: int = 0
    _clean: bool = False  # no Pool wants costs, and there are none of ours

    def look(self, pools: Collection[str], now: int) -> None:
        """Write what differs, in these Pools and in those that no longer want costs. O(pods)."""
        self._clean = self._clean and not pools
        # The wall clock may have been set back.
        if self._clean or 0 <= now - self._looked_at < _EVERY_SECONDS:
            return
        self._looked_at = now
        asked = self._asked
        self._asked = {}
        ranks = self.ranks() if pools else {}
        for pod, cost in self._differing(pools, ranks):
            before = asked.get(pod.uid)
            if before is not None and before[0] == cost and now - before[1] < _AGAIN_SECONDS:
                self._asked[pod.uid] = before
                continue
            self._asked[pod.uid] = cost, now
            self.writer.price_deletion(PriceDeletion(pod.namespace, pod.name, pod.uid, cost))
        self._clean = not pools and not self._asked and self.cache.synced

    def _differing(
        self, pools: Collection[str], ranks: Mapping[str, int]
    ) -> Iterator[tuple[Pod, int | None]]:
        """The pods whose cost is not as it should be, and that cost."""
        state = self.cache.state
        for node in state.nodes.values():
            if names.POOL not in node.labels:
                continue
            cost = _cost(node, ranks) if node.labels[names.POOL] in pools else None
            for pod in state.on_node.get(node.name, {}).values():
                if pod.owner is None or pod.owner.kind != "ReplicaSet" or pod.terminating:
                    continue
                ours, there = (pod.annotations.get(key) for key in _KEYS)
                if there is not None and there != ours:
                    continue  # somebody else's
                if there != (None if cost is None else str(cost)):
                    yield pod, cost


_KEYS = names.PRICED, names.DELETION_COST


def _cost(node: Node, ranks: Mapping[str, int]) -> int | None:
    """The cost of pods on a node that goes next; None on other nodes."""
    rank = ranks.get(node.name)
    if node.closing:
        return _CHEAPEST + (rank or 0)
    return _CHEAPEST if rank == 0 else None
