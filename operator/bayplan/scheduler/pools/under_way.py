"""Nodes on their way: which pods they are planned for, and how much room they will have.

What is planned for a node is remembered by this process only. After a restart a claim still counts
as the room of its types, so that nothing is bought twice; which pod goes where is then decided by
score.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bayplan.api import names
from bayplan.cloud.node_pools import SPOT
from bayplan.cluster.cache import Cache
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import Node
from bayplan.model.workloads import NO_BACKLOG, Backlog, Plan, PodClass, Waiting
from bayplan.placement.node_table import BLOCKING
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Landed, Order, least

_KEPT_SECONDS = 60  # a plan for a node that is there: later, what waits goes where it fits

Offers = Mapping[tuple[str, str], Offer]  # (Pool, instance type) -> what such a node is


@dataclass(slots=True, eq=False)
class UnderWay:
    """The claims of the Pools whose nodes take no pods yet, and what is planned for each."""

    cache: Cache
    _planned: dict[str, Counter[PodClass]] = field(default_factory=dict)  # claim -> pods
    _usable_since: dict[str, int] = field(default_factory=dict)  # claim -> epoch seconds

    def plan(self, claim: str, order: Order) -> None:
        """This claim is ordered for these pods."""
        self._planned[claim] = Counter(order.pods)

    def absorb(self, landed: Landed) -> None:
        """These pods are planned for nodes on their way, by the names that `coming` gave them.

        Without it a pod takes the room that another one was not bought a node for.
        """
        for claim in self._claims():
            pods = landed.get(name_of(claim))
            if pods:
                self._planned[claim.name] = Counter(pods)

    def coming(self, offers: Offers) -> tuple[Node, ...]:
        """The claims as nodes, with the room that each will have at least."""
        there = self._nodes()
        return tuple(
            node
            for claim in self._claims()
            if self._usable(claim, there) is None and (node := as_node(claim, offers)) is not None
        )

    def planned(self, *, coming: bool) -> Backlog:
        """What is planned for the nodes that are there; with `coming` for the others too."""
        if not self._planned:
            return NO_BACKLOG
        shares: dict[PodClass, dict[str, int]] = {}
        named: set[str] = set()
        there = self._nodes()
        for claim in self._claims():
            pods = self._planned.get(claim.name)
            if not pods:
                continue
            node = self._usable(claim, there)
            if node is None and not coming:
                continue
            name = node.name if node is not None else name_of(claim)
            named.add(name)
            for kind, count in pods.items():
                shares.setdefault(kind, {})[name] = count
        return Backlog(frozenset(named), shares)

    def kept(self) -> frozenset[str]:
        """Names of nodes that are there and for which pods are still planned."""
        return self.planned(coming=False).nodes

    def land(self, waiting: Iterable[Waiting], plan: Plan) -> None:
        """Pods have been given nodes: what was planned for them there is done."""
        if not self._planned:
            return
        there = self._nodes()
        found = ((claim, self._usable(claim, there)) for claim in self._claims())
        claims = {node.name: claim.name for claim, node in found if node is not None}
        for group in waiting:
            for key in group.keys:
                pods = self._planned.get(claims.get(plan.placements.get(key, ""), ""))
                if pods is not None and pods[group.kind] > 0:
                    pods[group.kind] -= 1
                    if not pods[group.kind]:
                        del pods[group.kind]

    def tidy(self, now: int) -> None:
        """Forget plans of claims that are gone, and of nodes that have been there for a while."""
        known = self.cache.pools.claims
        for name in [name for name in self._planned if name not in known]:
            del self._planned[name]
            self._usable_since.pop(name, None)
        there = self._nodes()
        for name in list(self._planned):
            if self._usable(known[name], there) is None:
                continue
            if now - self._usable_since.setdefault(name, now) > _KEPT_SECONDS:
                del self._planned[name]
                del self._usable_since[name]

    def _claims(self) -> Iterator[NodeClaim]:
        pools = self.cache.pools.pools
        for claim in self.cache.pools.claims.values():
            if claim.pool in pools and not claim.deleting:
                yield claim

    def _nodes(self) -> Mapping[str, Node]:
        """The nodes of the Pools by their instances.

        A node takes pods a moment before its claim names it: Karpenter writes the node first.
        """
        return {
            node.provider_id: node
            for node in self.cache.state.nodes.values()
            if node.provider_id and names.POOL in node.labels
        }

    def _usable(self, claim: NodeClaim, there: Mapping[str, Node]) -> Node | None:
        """The claim's node, if pods may be bound to it."""
        node = there.get(claim.provider_id) if claim.provider_id else None
        if node is None or not node.ready or node.leaving:
            return None
        stored = self.cache.pools.node_pools.get(claim.node_pool)
        allowed = stored.read.taints if stored is not None and stored.read is not None else ()
        blocked = any(one.effect in BLOCKING and one not in allowed for one in node.taints)
        return None if blocked else node


def name_of(claim: NodeClaim) -> str:
    """The name of the node that stands for a claim; no real node can have it."""
    return f"~{claim.name}"


def as_node(claim: NodeClaim, offers: Offers) -> Node | None:
    """The node that a claim will become; None if its types are not known."""
    got = claim.got
    if got is not None:
        offer = offers.get((claim.pool, got[0]))
        if offer is None:
            return None
        spot, zone = got[2] == SPOT, got[1]
        node = replace(offer, spot=spot).node(name_of(claim), zone)
        learnt = offer.learnt or not claim.allocatable
        return node if learnt else replace(node, allocatable=claim.allocatable)
    known = [offer for kind in claim.types if (offer := offers.get((claim.pool, kind))) is not None]
    if not known or len(known) < len(claim.types):
        return None
    zone = claim.zones[0] if claim.zones else next(iter(known[0].zones), "")
    spot = SPOT in claim.capacity_types
    node = replace(known[0], spot=spot).node(name_of(claim), zone)
    return replace(node, allocatable=least(offer.room for offer in known))
