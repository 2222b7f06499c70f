"""Which Pools may buy now, what each may buy, and which Pools a waiting pod may wait for."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bayplan.api.placement_rules import per_node
from bayplan.api.pool import PoolSpec
from bayplan.api.pool_resource import PoolResource
from bayplan.cloud.node_pools import ON_DEMAND, SPOT, NodePool, node_class
from bayplan.cloud.prices import Book, Market, Offering
from bayplan.cluster.cache import Cache
from bayplan.cluster.pools import StoredNodePool
from bayplan.model.groups import Group
from bayplan.model.nodes import Node
from bayplan.model.resources import Vector
from bayplan.model.snapshot import DaemonSet
from bayplan.model.workloads import PodClass
from bayplan.provisioning import offerings, pool_menu
from bayplan.provisioning.demand import Shop
from bayplan.provisioning.group_offers import group_offers, rooms_of
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Terms
from bayplan.provisioning.pool_menu import Menu
from bayplan.provisioning.prices import price_of
from bayplan.reconcile.pool.facts import Facts, Hands
from bayplan.reconcile.pool.hindrances import hindrance

_NO_MARKET = Market()
_FOLLOWED = frozenset({"EC2NodeClass", "KWOKNodeClass", "NodeClass"})  # kinds of node classes
_SEEN_SECONDS = 5  # nodes join one by one: the menus need not follow each
_MOST_ANSWERS = 10_000  # classes whose Pools are remembered


@dataclass(frozen=True, slots=True, eq=False)
class Menus:
    """What the Pools may buy as of one moment.

    `buying` are the Pools that order nodes. `shop` has what can be had now. `everything` is what a
    node of each Pool and type is, whether or not it can be had now.
    """

    buying: Mapping[str, PoolSpec] = field(default_factory=dict)
    menu: Menu = field(default_factory=Menu)
    shop: Shop = field(default_factory=lambda: Shop((), (), (), {}))
    everything: Mapping[tuple[str, str], Offer] = field(default_factory=dict)
    _wide: Shop = field(default_factory=lambda: Shop((), (), (), {}))
    _pools: dict[PodClass, tuple[str, ...]] = field(default_factory=dict)

    def pools_for(self, kind: PodClass) -> tuple[str, ...]:
        """The buying Pools whose nodes can hold a pod of a class; also if none can be had now."""
        known = self._pools.get(kind)
        if known is None:
            if len(self._pools) >= _MOST_ANSWERS:
                self._pools.clear()
            holders = self._wide.holders(kind.request, [kind], "") if self.buying else []
            known = tuple(sorted({offer.pool for offer in holders}))
            self._pools[kind] = known
        return known

    def offerings(self, pool: str) -> frozenset[Offering]:
        """Every type, zone and capacity type that a Pool allows."""
        return frozenset(
            (offer.name, zone, SPOT if offer.spot else ON_DEMAND)
            for offer in self._wide.menu
            if offer.pool == pool
            for zone in offer.zones
        )

    def terms(self, pool: str) -> Terms:
        spec = self.buying[pool]
        buying = spec.buying
        return Terms(buying.alternatives, buying.maximum_premium_percent, spec.weight)


_Sale = Mapping[str, tuple[tuple[Group, bool], ...]]  # by Pool
# Rooms of types, zones of nodes, and the services that have one instance on each node.
_Seen = tuple[pool_menu.Rooms, tuple[str, ...], tuple[DaemonSet, ...]]


@dataclass(slots=True, eq=False)
class MenuKeeper:
    """Makes the menus anew when something that they depend on has changed.

    `closed` gives the offerings, by Pool, that were refused lately.
    """

    cache: Cache
    closed: Callable[[int], Mapping[str, frozenset[Offering]]]
    version: int = 0  # rises whenever the menus are made anew
    _made_of: object = None
    _menus: Menus = field(default_factory=Menus)
    _nodes: _Seen = ({}, (), ())
    _sale: tuple[object, _Sale] = (None, {})
    _group_rooms: Mapping[str, Vector] = field(default_factory=dict)  # by group
    _nodes_version: int = -1
    _seen_at: int = 0
    _judged: dict[str, tuple[PoolResource, Hands, bool]] = field(default_factory=dict)  # by name

    def current(self, now: int) -> Menus:
        """The menus as of now (epoch seconds)."""
        closed = self.closed(now)
        made_of = (
            self._buying(),
            self.cache.pools.market,
            self.cache.pools.book,
            self.cache.pools.node_classes,
            self._on_sale(),
            self._seen(now),
            self._group_rooms,
            closed,
            tuple(self.cache.state.daemonsets.values()),
        )
        if made_of != self._made_of:
            self._menus = self._made(closed)
            self.version += 1
        # Also if only equal: the next comparison finds the same objects, which takes no time.
        self._made_of = made_of
        return self._menus

    @property
    def book(self) -> Book:
        """Prices by type: of the market, else of the prices file, else of the linear model."""
        pools = self.cache.pools
        if pools.market is None:
            return pools.book
        return Book({**pools.book.file, **pools.market.on_demand}, pools.book.aws)

    def price(self, node: Node) -> int | None:
        """What a node costs: what it says itself, else as the menus have its type."""
        return price_of(node, self.book)

    def node_pool(self, pool: str) -> StoredNodePool | None:
        """The NodePool of a Pool, if the cluster has it."""
        found = self.cache.pools.pools.get(pool)
        return self.cache.pools.node_pools.get(found.node_pool) if found is not None else None

    def _buying(self) -> dict[str, tuple[PoolSpec, NodePool | None]]:
        """The Pools that may order nodes: by mode, alone as a default, their NodePool quiet.

        A Pool that buys through groups has no NodePool.
        """
        known, found = self.cache.pools, dict[str, tuple[PoolSpec, NodePool | None]]()
        for name, pool in sorted(known.pools.items()):
            stored, spec = self.node_pool(name), pool.spec
            if spec is None or not spec.buys:
                continue
            if pool.groups_tag:
                read = None
            elif known.synced and stored is not None and known.knows_class(stored):
                read = stored.read
                if read is None:
                    continue
            else:
                continue
            if self._may_buy(pool):
                found[name] = (spec, read)
        return found

    def _on_sale(self) -> _Sale:
        """The fit groups of each Pool, and whether each may have one more instance.

        What changes with each instance, and decides nothing, is left out.
        """
        groups = self.cache.pools.groups  # another object whenever something has changed
        if groups is not self._sale[0]:
            told = {
                name: tuple(
                    (replace(group, desired=0, most=0, instances=()), group.open > 0)
                    for group in each.fit
                )
                for name, each in groups.items()
            }
            self._sale = groups, told
        return self._sale[1]

    def _may_buy(self, pool: PoolResource) -> bool:
        """Whether nothing hinders the Pool; looked at anew when something of it has changed."""
        hands = self.hands(pool.name)
        known = self._judged.get(pool.name)
        if known is None or known[0] is not pool or known[1] != hands:
            known = pool, hands, hindrance(Facts(pool, hands)) is None
            self._judged[pool.name] = known
        return known[2]

    def shop_of(self, pool: PoolResource) -> Shop:
        """All that the Pool's NodePool allows; without a NodePool, what a general one would."""
        known = self.cache.pools
        stored = self.node_pool(pool.name)
        read = stored.read if stored is not None else None
        rooms, there, _ = self._nodes
        if pool.groups_tag:
            offers = self._group_offers(pool.name, known.market or _NO_MARKET)
            made = Menu(tuple(offers), tuple(sorted({offer.zones[0] for offer in offers})))
        elif read is not None:
            market = known.market or _NO_MARKET
            classes = {key: node_class(body) for key, body in known.node_classes.items()}
            made = pool_menu.menu(
                {pool.name: read},
                classes,
                Market(market.on_demand, market.spot),
                self.book,
                closed={},
                rooms=rooms,
                zones=pool_menu.zones_of(market, [read], there),
            )
        else:
            zones = there or offerings.zones_in()
            made = Menu(tuple(offerings.offers((), self.book)), zones)
        daemonsets = tuple(self.cache.state.daemonsets.values())
        return Shop(made.offers, made.zones, daemonsets, self.cache.state.claims)

    def hands(self, pool: str) -> Hands:
        """What of Karpenter the Pool buys through."""
        known, stored = self.cache.pools, self.node_pool(pool)
        found = known.pools.get(pool)
        if found is not None and found.groups_tag:
            return Hands(groups=known.groups.get(pool), groups_problem=known.groups_problem)
        if stored is None:
            return Hands(known.karpenter, known.synced)
        at = stored.read.node_class if stored.read is not None else ("", "")
        return Hands(
            served=known.karpenter,
            synced=known.synced,
            node_pool=stored.body,
            unread=stored.problem,
            node_class=known.node_classes.get(at),
            followed=at[0] in _FOLLOWED and known.knows_class(stored),
        )

    def _group_offers(self, pool: str, market: Market) -> list[Offer]:
        known = self.cache.pools.groups.get(pool)
        if known is None:
            return []
        return group_offers(pool, known.fit, self._group_rooms, self.book, market)

    def _full(self) -> dict[str, frozenset[Offering]]:
        """The offerings of groups that have as many instances as they may, by Pool."""
        return {
            name: frozenset(group.offering for group in groups.fit if not group.open)
            for name, groups in self.cache.pools.groups.items()
        }

    def _seen(self, now: int) -> _Seen:
        """What nodes have of each type, their zones and residents; some seconds old at most."""
        version = self.cache.state.nodes_version
        if 0 <= now - self._seen_at < _SEEN_SECONDS:  # the wall clock may have been set back
            return self._nodes
        rooms, zones, _ = self._nodes
        if version != self._nodes_version:
            nodes = self.cache.state.nodes.values()
            # What was learnt of a type stays known when its last node has gone.
            rooms, zones = {**rooms, **pool_menu.rooms_of(nodes)}, offerings.zones_of(nodes)
            groups = [one for each in self.cache.pools.groups.values() for one in each.fit]
            if groups:
                there = {node.provider_id: node for node in nodes}
                self._group_rooms = {**self._group_rooms, **rooms_of(groups, there)}
        self._nodes = rooms, zones, self._services()
        self._nodes_version, self._seen_at = version, now
        return self._nodes

    def _services(self) -> tuple[DaemonSet, ...]:
        """The services with one instance on each node, as one of their instances shows them."""
        found: list[DaemonSet] = []
        for resource in self.cache.resources.values():
            if per_node(resource):
                there = self.cache.state.owned(resource.uid).values()
                for pod in itertools.islice(there, 1):
                    about = pod.namespace, resource.name, resource.uid
                    found.append(DaemonSet(*about, pod.request, pod.constraints, pod.priority))
        return tuple(found)

    def _ours(self, offers: Iterable[Offer]) -> Iterator[Offer]:
        """The offers of nodes that Bayplan may fill, where the settings name its nodes."""
        ours = self.cache.state.eligible
        for offer in offers:
            zones = tuple(zone for zone in offer.zones if ours(offer.node("", zone)))
            if zones:
                yield replace(offer, zones=zones) if zones != offer.zones else offer

    def _made(self, closed: Mapping[str, frozenset[Offering]]) -> Menus:
        known, buying = self.cache.pools, self._buying()
        if not buying:
            return Menus()
        heaviest = sorted(buying.items(), key=lambda one: (-one[1][0].weight, one[0]))
        pools = {name: pool for name, (_, pool) in heaviest if pool is not None}
        of_groups = [name for name, (_, pool) in heaviest if pool is None]
        classes = {key: node_class(body) for key, body in known.node_classes.items()}
        market = known.market or _NO_MARKET
        rooms, there, services = self._nodes
        sold = {name: self._group_offers(name, market) for name in of_groups}
        zones = tuple(
            sorted(
                {
                    *(pool_menu.zones_of(market, pools.values(), there) if pools else ()),
                    *(zone for offers in sold.values() for one in offers for zone in one.zones),
                }
            )
        )
        book = self.book

        def menu(
            market: Market,
            closed: Mapping[str, frozenset[Offering]],
            full: Mapping[str, frozenset[Offering]],
        ) -> Menu:
            made = pool_menu.menu(
                pools, classes, market, book, closed=closed, rooms=rooms, zones=zones
            )
            every = [
                *made.offers,
                *(
                    one
                    for name, offers in sold.items()
                    for one in pool_menu.open_(
                        offers, closed.get(name, frozenset()) | full.get(name, frozenset())
                    )
                ),
            ]
            offers = pool_menu.beside(tuple(self._ours(every)), services)
            return replace(made, offers=offers)

        now = menu(market, closed, self._full())
        wide = menu(Market(market.on_demand, market.spot), {}, {})
        daemonsets, claims = tuple(self.cache.state.daemonsets.values()), self.cache.state.claims
        return Menus(
            buying={name: spec for name, (spec, _) in buying.items()},
            menu=now,
            shop=Shop(now.offers, now.zones, daemonsets, claims),
            everything={(offer.pool, offer.name): offer for offer in reversed(wide.offers)},
            _wide=Shop(wide.offers, wide.zones, daemonsets, claims),
        )
