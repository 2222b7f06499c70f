"""Scenes of consolidation: what is known of a Pool and its pods, as the question needs it."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from bayplan.api import names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.longservice import LongServiceSpec
from bayplan.cloud.node_pools import ON_DEMAND, SPOT
from bayplan.cluster.cache import Cache
from bayplan.model.movability import Circumstances, of_its_node, updating, verdict
from bayplan.model.node_claims import Offering
from bayplan.model.nodes import Node
from bayplan.model.pods import Owner, Pod
from bayplan.model.workloads import Backlog, PodClass, TaskKey
from bayplan.provisioning.consolidation.scene import Plan, Scene
from bayplan.provisioning.demand import Shop
from bayplan.provisioning.offerings import Offer
from bayplan.scheduler.consolidation.demands import Demand, of_pods
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools import loads
from bayplan.scheduler.pools.headroom import headroom
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.orderer import Orderer


@dataclass(slots=True, eq=False)
class Scenes:
    """`successors` gives the class of the pod that each pod would be followed by.

    `planned` is what is planned for nodes already, `shunned` the offerings of a Pool that are not
    to be bought for moves, `moves` how many pods of a Pool may begin to move now, `moved` how many
    have begun to move for the demand of now, and `going` the uids of nodes that are given back
    already, for which new nodes were ordered.
    """

    cache: Cache
    clock: Clock
    menus: MenuKeeper
    orderer: Orderer
    successors: Callable[[Iterable[Pod]], Mapping[TaskKey, PodClass]]
    planned: Callable[[], Backlog]
    shunned: Callable[[str, int], frozenset[Offering]]
    moves: Callable[[str, int], int]
    moved: Callable[[str], int]
    going: Callable[[str], Collection[str]]
    _shops: dict[str, tuple[object, Shop]] = field(default_factory=dict)

    def of(self, pool: str, former: Plan, unproven: frozenset[str]) -> Scene | None:
        """What there is now; None if the Pool does not consolidate any more.

        `former` is the last plan, and `unproven` are nodes that could not be emptied lately.
        """
        now = self.clock.now()
        menus = self.menus.current(now)
        spec = menus.buying.get(pool)
        if spec is None or not spec.consolidates:
            return None
        going = self.going(pool)
        nodes = [node for node in self._nodes(pool) if node.uid not in going]
        names_ = {node.name for node in nodes}
        on_node = self.cache.state.on_node
        pods = [pod for node in nodes for pod in on_node.get(node.name, {}).values()]
        classes = self.successors(pods)
        most = self.moves(pool, now)
        return Scene(
            snapshot=self.cache.snapshot(),
            nodes=nodes,
            wanted=self._wanted(pods, names_),
            verdict=self._verdict(spec.consolidation.minimum_stay_seconds, pods, now),
            kinds=lambda pod: classes[pod.key],
            shop=self._shop(pool, menus, now),
            buying=menus.terms,
            price=self.menus.price,
            terms=spec.consolidation,
            now=now,
            planned=self.planned(),
            expected=[group for group in headroom(menus) if _of_pool(group.kind, pool)],
            ranks=former.ranks,
            given_back=former.given_back,
            unproven=unproven,
            leavers_only=not most,
            most_moves=most,
            spent=self.moved(pool) * spec.consolidation.move_microdollars,
        )

    def _nodes(self, pool: str) -> list[Node]:
        nodes = self.cache.state.nodes.values()
        return [node for node in nodes if node.labels.get(names.POOL) == pool]

    def _wanted(self, pods: Iterable[Pod], nodes: Collection[str]) -> dict[str, int]:
        """How many instances of each LongService are to be on these nodes, by its uid."""
        found: dict[str, int] = {}
        for uid in {pod.owner.uid for pod in pods if pod.owner is not None}:
            resource = self.cache.by_uid(uid)
            spec = resource.spec if resource is not None else None
            if isinstance(spec, LongServiceSpec):
                elsewhere = sum(
                    pod.node not in nodes
                    and bool(pod.node)
                    and not (pod.terminating or pod.terminal)
                    for pod in self.cache.state.owned(uid).values()
                )
                found[uid] = max(spec.replicas - elsewhere, 0)
        return found

    def _verdict(self, stay: int, pods: Iterable[Pod], now: int) -> Callable[[Pod], str]:
        """Why a pod may not move; empty if it may."""
        around = Circumstances(
            now=now,
            minimum_stay_seconds=stay,
            living=functools.cache(self._living),
            spent=self.cache.budgets.spent,
            interruptible=functools.cache(self.interruptible),
            updating=updating(pods, names.REVISION),
        )

        def why(pod: Pod) -> str:
            return verdict(pod, around)

        return why

    def _living(self, owner: Owner) -> int:
        pods = self.cache.state.owned(owner.uid).values()
        return sum(pod.ready and not pod.terminating for pod in pods)

    def interruptible(self, owner: Owner) -> bool:
        """Whether the runs of this job may be ended and begun again."""
        resource = self.cache.by_uid(owner.uid)
        spec = resource.spec if resource is not None else None
        return isinstance(spec, BatchJobSpec) and spec.interruptible

    def _shop(self, pool: str, menus: Menus, now: int) -> Shop:
        """What may be bought for moves: within the limits, and not refused lately."""
        room, shunned = self.orderer.room(pool, menus), self.shunned(pool, now)
        offers = tuple(
            offer
            for one in menus.menu.offers
            if one.pool == pool
            and room.takes(loads.of_offer(one, menus))
            and (offer := _without(one, shunned)).zones
        )
        if offers == menus.menu.offers:
            return menus.shop
        daemonsets, claims = tuple(self.cache.state.daemonsets.values()), self.cache.state.claims
        made_of = offers, menus.menu.zones, daemonsets
        known = self._shops.get(pool)
        if known is None or known[0] != made_of:
            known = self._shops[pool] = made_of, Shop(*made_of, claims)
        return known[1]

    def picture(self, pool: str) -> bytes:
        """What can be seen of the Pool without a look at its pods."""
        snapshot = self.cache.snapshot()
        rows = [
            snapshot.rows[node.name] for node in self._nodes(pool) if node.name in snapshot.rows
        ]
        seen = hashlib.blake2b(digest_size=16)
        for part in (snapshot.free[rows], snapshot.busy[rows], snapshot.passing[rows]):
            seen.update(np.ascontiguousarray(part).tobytes())
        replicas = sorted(
            (resource.uid, resource.generation)
            for resource in self.cache.resources.values()
            if isinstance(resource.spec, LongServiceSpec)
        )
        now, planned = self.clock.now(), self.planned()
        self.menus.current(now)
        expecting = {
            node for there in (*planned.shares.values(), *planned.held.values()) for node in there
        }
        made_of = (
            snapshot.nodes_version,
            self.menus.version,
            replicas,
            sorted(expecting),
            sorted(self.shunned(pool, now)),
            self.moves(pool, now) > 0,
        )
        seen.update(repr(made_of).encode())
        return seen.digest()

    def demand(self, pool: str) -> Demand:
        """What is asked for on the nodes of a Pool now. O(its pods).

        An instance that is replaced counts once: beside its replacement, and while it has none yet.
        """
        there = {node.name for node in self._nodes(pool)}
        on_node = self.cache.state.on_node
        pods = [pod for name in there for pod in on_node.get(name, {}).values()]
        pods = [pod for pod in pods if not of_its_node(pod)]
        wanted = self._wanted(pods, there)
        return of_pods(pods, wanted, there, self.cache.state.owned)

    def forget(self, pools: Iterable[str]) -> None:
        """Keep nothing of Pools that are not among these."""
        for gone in self._shops.keys() - set(pools):
            del self._shops[gone]


def _of_pool(kind: PodClass, pool: str) -> bool:
    return (names.POOL, pool) in kind.constraints.selector


def _without(offer: Offer, shunned: frozenset[Offering]) -> Offer:
    """The offer in the zones in which it was not refused."""
    word = SPOT if offer.spot else ON_DEMAND
    zones = tuple(zone for zone in offer.zones if (offer.name, zone, word) not in shunned)
    return offer if zones == offer.zones else dataclasses.replace(offer, zones=zones)
