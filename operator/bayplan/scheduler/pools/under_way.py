"""Nodes on their way: which pods they are planned for, and how much room they will have.

What is planned for a node is remembered by this process only. After a restart a claim still counts
as the room of its types, so that nothing is bought twice; which pod goes where is then decided by
score.
"""

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bayplan.api import names
from bayplan.cloud import catalogue
from bayplan.cloud.node_pools import INITIALIZED, SPOT
from bayplan.cluster.cache import Cache
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import INSTANCE_TYPE, LOST_TAINTS, Node, Taint
from bayplan.model.workloads import NO_BACKLOG, Backlog, Plan, PodClass, Waiting
from bayplan.placement.node_table import BLOCKING
from bayplan.provisioning.group_offers import pool_taints
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Landed, Order
from bayplan.reconcile.pool.retirement import JOINING_SECONDS, reopens

_LOST_SECONDS = 60  # then a node that was ready and is not any more is no room to come
_KEPT_SECONDS = 60  # a plan for a node that is there: later, what waits goes where it fits

Offers = Mapping[tuple[str, str], Offer]  # (Pool, instance type) -> what such a node is


@dataclass(slots=True, eq=False)
class UnderWay:
    """The claims of the Pools whose nodes take no pods yet, and what is planned for each."""

    cache: Cache
    _planned: dict[str, Counter[PodClass]] = field(default_factory=dict)  # claim -> pods
    _moving: dict[str, Counter[PodClass]] = field(default_factory=dict)  # pods that run elsewhere
    _usable_since: dict[str, int] = field(default_factory=dict)  # claim -> epoch seconds
    _lost_since: dict[str, int] = field(default_factory=dict)  # claim -> epoch seconds
    _lost: set[str] = field(default_factory=set)  # claims whose nodes nobody counts on

    def plan(self, claim: str, order: Order, *, moves: bool = False) -> None:
        """This claim is ordered for these pods; with `moves` they still run elsewhere."""
        (self._moving if moves else self._planned)[claim] = Counter(order.pods)

    def move_only(self, held: Mapping[str, Counter[PodClass]]) -> None:
        """Claim -> pods that run elsewhere and move there: no room is kept for others that move."""
        self._moving = dict(held)

    def usable(self, claims: Sequence[str]) -> Mapping[str, Node]:
        """The nodes of these claims to which pods may be bound, by the claims' names."""
        if not claims:
            return {}
        known, there = self.cache.pools.claims, self._nodes()
        return {
            name: node
            for name in claims
            if name in known and (node := self._usable(known[name], there)) is not None
        }

    def absorb(self, landed: Landed) -> None:
        """These pods are planned for nodes on their way, by the names that `coming` gave them.

        Without it a pod takes the room that another one was not bought a node for.
        """
        for claim in self._claims():
            pods = landed.get(name_of(claim))
            if pods:
                self._planned[claim.name] = Counter(pods)

    def coming(self, offers: Offers) -> tuple[Node, ...]:
        """The claims as nodes, with the room that each will have at least.

        A node that has gone bad or leaves is no room to come, except that an empty one which we
        give back opens again for the pods that are planned for it.
        """
        there = self._nodes()
        return tuple(
            node
            for claim in self._claims()
            if self._comes(claim, there) and (node := as_node(claim, offers)) is not None
        )

    def planned(self, *, coming: bool) -> Backlog:
        """What is planned for the nodes that are there; with `coming` for the others too."""
        if not (self._planned or self._moving):
            return NO_BACKLOG
        shares: dict[PodClass, dict[str, int]] = {}
        held: dict[PodClass, dict[str, int]] = {}
        named: set[str] = set()
        there = self._nodes()
        for claim in self._claims():
            pods, moving = self._planned.get(claim.name), self._moving.get(claim.name)
            if not (pods or moving):
                continue
            node = self._usable(claim, there)
            if node is None and not coming:
                continue
            name = node.name if node is not None else name_of(claim)
            named.add(name)
            for kind, count in (pods or {}).items():
                shares.setdefault(kind, {})[name] = count
            for kind, count in (moving or {}).items():
                held.setdefault(kind, {})[name] = count
        return Backlog(frozenset(named), shares, held)

    def kept(self) -> frozenset[str]:
        """Names of nodes that are there and for which pods are still planned.

        Also of those that are being given back, so that they open again.
        """
        there, found = self._nodes(), set()
        for claim in self._claims():
            node = there.get(claim.provider_id) if claim.provider_id else None
            planned = self._planned.get(claim.name) or self._moving.get(claim.name)
            if node is None or not planned:
                continue
            if reopens(node) or self._usable(claim, there) is not None:
                found.add(node.name)
        return frozenset(found)

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
        for name in self._planned.keys() - known.keys():
            self._forget(name)
        there = self._nodes()
        self._lost_since = {
            claim.name: self._lost_since.get(claim.name, now)
            for claim in self._claims()
            if claim.initialized and _lost(there.get(claim.provider_id))
        }
        late = {
            claim.name
            for claim in self._claims()
            if claim.registered
            and now - claim.created_at >= JOINING_SECONDS
            and not claim.initialized
        }
        self._lost = late.union(
            name for name, since in self._lost_since.items() if now - since >= _LOST_SECONDS
        )
        for name in list(self._planned):
            if self._usable(known[name], there) is None:
                continue
            if now - self._usable_since.setdefault(name, now) > _KEPT_SECONDS:
                self._forget(name)

    def _forget(self, claim: str) -> None:
        self._planned.pop(claim, None)
        self._usable_since.pop(claim, None)

    def _comes(self, claim: NodeClaim, there: Mapping[str, Node]) -> bool:
        """Whether pods can count on a node of this claim that takes none yet."""
        if claim.name in self._lost or self._usable(claim, there) is not None:
            return False
        node = there.get(claim.provider_id) if claim.provider_id else None
        return node is None or not node.leaving or reopens(node)

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
        allowed = self._start_taints(claim)
        blocked = any(one.effect in BLOCKING and one not in allowed for one in node.taints)
        return None if blocked or _lacks_devices(claim, node) else node

    def _start_taints(self, claim: NodeClaim) -> tuple[Taint, ...]:
        """The taints that the node has from its start, and keeps."""
        known = self.cache.pools
        if claim.group:
            fit = known.groups[claim.pool].fit if claim.pool in known.groups else ()
            groups = (group for group in fit if group.name == claim.group)
            return next((pool_taints(claim.pool, group) for group in groups), ())
        stored = known.node_pools.get(claim.node_pool)
        return stored.read.taints if stored is not None and stored.read is not None else ()


def _lost(node: Node | None) -> bool:
    """Whether nobody hears of a node that is there; it may come back."""
    return node is not None and (
        not node.ready or any(one.key in LOST_TAINTS for one in node.taints)
    )


def _lacks_devices(claim: NodeClaim, node: Node) -> bool:
    """Whether the plug-in has still to tell of a device, such as a GPU, that the type has."""
    if claim.initialized or node.labels.get(INITIALIZED) == "true":
        return False
    known = catalogue.load().get(node.labels.get(INSTANCE_TYPE, ""))
    return known is not None and not all(map(node.allocatable.amount, known.gpus))


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
    return replace(
        node, allocatable=functools.reduce(operator.and_, (offer.room for offer in known))
    )
