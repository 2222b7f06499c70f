"""The nodes of each Pool with their claims, and the pods that keep them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bayplan.api import names
from bayplan.api.placement_rules import per_node
from bayplan.cluster.cache import Cache
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.reconcile.pool.retirement import Seen


@dataclass(slots=True, eq=False)
class PoolNodes:
    """`on_nodes` are the uids of services with one instance on each node, as of the last look."""

    cache: Cache
    _on_nodes: frozenset[str] = frozenset()

    def by_pool(self) -> dict[str, list[Node]]:
        """The nodes that say of which Pool they are, by its name."""
        found: dict[str, list[Node]] = {}
        for node in self.cache.state.nodes.values():
            pool = node.labels.get(names.POOL)
            if pool is not None:
                found.setdefault(pool, []).append(node)
        return found

    def seen(self, by_pool: Mapping[str, Iterable[Node]]) -> dict[str, list[Seen]]:
        """These nodes with their claims and pods; one look for all Pools."""
        state = self.cache.state
        self._on_nodes = frozenset(
            resource.uid for resource in self.cache.resources.values() if per_node(resource)
        )
        ended = self._ended(by_pool.values())
        claims = {claim.node: claim for claim in self.cache.pools.claims.values() if claim.node}
        return {
            pool: [
                Seen(
                    node,
                    claims[node.name],
                    self.keeping((*state.on_node.get(node.name, {}).values(), *ended[node.name])),
                )
                for node in nodes
                if node.name in claims
            ]
            for pool, nodes in by_pool.items()
        }

    def keeping(self, pods: Sequence[Pod]) -> Sequence[Pod]:
        """The pods without instances of services that have one on each node: they keep no node."""
        if not self._on_nodes:
            return pods
        return [pod for pod in pods if pod.owner is None or pod.owner.uid not in self._on_nodes]

    def _ended(self, pools: Iterable[Iterable[Node]]) -> dict[str, list[Pod]]:
        """The pods that have ended on these nodes."""
        found: dict[str, list[Pod]] = {node.name: [] for nodes in pools for node in nodes}
        for pod in self.cache.state.finished.values():
            there = found.get(pod.node)
            if there is not None:
                there.append(pod)
        return found
