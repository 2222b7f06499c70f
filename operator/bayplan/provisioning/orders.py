"""What to order for waiting pods: nodes of the pools, each with the pods that it is planned for.

The optimiser plans patterns without constraints between pods. The real filters of `solve` then
place the pods on the planned nodes: each node is ordered for the pods that land on it, as the
cheapest types that hold them, and a node on which nothing lands is not ordered.
"""

import dataclasses
import functools
import itertools
import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from bayplan.cloud.node_pools import ON_DEMAND, SPOT
from bayplan.model import resources
from bayplan.model.node_claims import Offering
from bayplan.model.nodes import Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import (
    NO_BACKLOG,
    Backlog,
    Plan,
    PodClass,
    TaskKey,
    Waiting,
    of_companions,
)
from bayplan.optimizer.problem import Problem
from bayplan.optimizer.purchase import Purchase
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning.demand import Row, Shop, demand_rows, tied, with_companions
from bayplan.provisioning.offerings import Offer

Landed = Mapping[str, Mapping[PodClass, int]]  # node -> pods

_MOST_ROUNDS = 5  # of nodes that constraints between pods ask for


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """How a pool buys. An order names at most `alternatives` types.

    None of them costs more than `premium_percent` above the type that was planned. Of pools with
    the same price the one with the highest `weight` buys.
    """

    alternatives: int = 5
    premium_percent: int = 15
    weight: int = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """A node to buy: any of `types`, the cheapest first, in any of `zones` (empty: anywhere).

    `offer` is what the node is planned as, and `room` what a node of each of the types has at
    least. `pods` are planned for it. Prices are in microdollars an hour.
    """

    pool: str
    offer: Offer
    types: tuple[str, ...]
    zones: tuple[str, ...]
    pods: Mapping[PodClass, int]
    room: resources.Vector
    dearest: int

    @property
    def capacity_type(self) -> str:
        return SPOT if self.offer.spot else ON_DEMAND

    @property
    def price(self) -> int:
        return self.offer.price

    @property
    def offerings(self) -> frozenset[Offering]:
        """Everything that the cloud may answer it with."""
        return frozenset(itertools.product(self.types, self.zones, (self.capacity_type,)))

    def node(self, name: str) -> Node:
        """The node as it would join, with the room that every type of the order has."""
        zone = self.zones[0] if self.zones else ""
        return dataclasses.replace(self.offer.node(name, zone), allocatable=self.room)


@dataclasses.dataclass(frozen=True, slots=True)
class Bought:
    """The `orders`, and which pods have room on each node that is on its way already."""

    orders: tuple[Order, ...]
    absorbed: Landed


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Where orders are tried: the cluster, what waits in it, and the nodes that are on their way.

    `planned` says which pods those nodes are planned for. `now` is in epoch seconds.
    """

    snapshot: Snapshot
    waiting: Sequence[Waiting]
    now: int
    coming: tuple[Node, ...] = ()
    planned: Backlog = NO_BACKLOG

    def placed(self) -> tuple[list[Waiting], Landed]:
        """What finds no room on any node, and what finds room on each node on its way."""
        return _left(self, (), self.planned)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What the optimiser is asked, and whose rows and places these are.

    `known` are all tasks that waited then, also those that have room without an order.
    """

    problem: Problem
    rows: tuple[Row, ...]
    members: tuple[tuple[PodClass, ...], ...]  # of each row: the class of each of its pods
    places: tuple[tuple[Offer, str], ...]
    known: frozenset[TaskKey]


def question(
    site: Site, left: Sequence[Waiting], shop: Shop, *, fresh: bool = False
) -> Question | None:
    """The question what to buy for what is `left` there; None if the shop can hold none of it.

    `fresh` says that no pod runs yet: then each zone gets its share of pods that are spread.
    """
    able = [
        group for group in left if all(shop.holds(each.kind) for each in with_companions([group]))
    ]
    if not able:
        return None
    rows, members = demand_rows(with_companions(able), shop.zones if fresh else (), shop.claims)
    places = shop.places(rows)
    return Question(
        problem=shop.problem(rows, places),
        rows=tuple(rows),
        members=tuple(tuple(kind for kind, _ in pairs) for pairs in members),
        places=tuple(places),
        known=frozenset(key for group in site.waiting for key in group.keys),
    )


def orders(
    asked: Question,
    answer: Purchase,
    site: Site,
    shop: Shop,
    terms: Callable[[str], Terms],
) -> Bought:
    """The orders by which what waits finds room, as far as the shop can hold it.

    What has found room since the question was asked, or has gone, is not ordered for. Nor is what
    has come since: the answer is no plan for it, and another question finds a cheaper one.
    """
    site = _without_later(site, asked)
    wanted, left, absorbed = _tried(site, list(_planned(asked, answer)))
    for _ in range(_MOST_ROUNDS):
        more = [
            _Wanted(offer, zone)
            for group in with_companions(left)
            for offer, zone in shop.more(
                group.kind, math.ceil(len(group.keys) / max(len(shop.zones), 1))
            )
        ]
        before = sum(len(group.keys) for group in left)
        if not more:
            break
        tried, left, landed = _tried(site, [*wanted, *more])
        if sum(len(group.keys) for group in left) >= before:
            break
        wanted, absorbed = tried, landed
    return Bought(tuple(_order(one, shop, terms) for one in wanted if one.pods), absorbed)


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """A node of the plan: `zone` is empty where no pod cares; `tried` is where it was tried."""

    offer: Offer
    zone: str
    pods: Mapping[PodClass, int] = dataclasses.field(default_factory=dict)
    tried: str = ""


def _without_later(site: Site, asked: Question) -> Site:
    kept = (
        dataclasses.replace(group, keys=tuple(key for key in group.keys if key in asked.known))
        for group in site.waiting
    )
    return dataclasses.replace(site, waiting=[group for group in kept if group.keys])


def _planned(asked: Question, answer: Purchase) -> Iterator[_Wanted]:
    """The nodes of the plan, each with the pods of its pattern that are free to go there."""
    members = [list(kinds) for kinds in asked.members]
    for place, content in answer.contents():
        pods: Counter[PodClass] = Counter()
        for row, copies in content.items():
            if not asked.rows[row].tied:
                for _ in range(min(copies, len(members[row]))):
                    pods[members[row].pop()] += 1
        yield _Wanted(*asked.places[place], pods)


def _tried(site: Site, wanted: Sequence[_Wanted]) -> tuple[list[_Wanted], list[Waiting], Landed]:
    """Place what waits on the cluster with these nodes.

    What lands on each, what is left, and what lands on the nodes that are on their way already.
    """
    zones = sorted({zone for one in wanted for zone in one.offer.zones})
    placed = [
        dataclasses.replace(one, tried=one.zone or one.tried or _turn(one.offer.zones or zones, at))
        for at, one in enumerate(wanted)
    ]
    nodes = [one.offer.node(f"~{at:06}", one.tried) for at, one in enumerate(placed)]
    shares = {kind: dict(named) for kind, named in site.planned.shares.items()}
    for node, one in zip(nodes, placed, strict=True):
        for kind, count in one.pods.items():
            shares.setdefault(kind, {})[node.name] = count
    names = frozenset(node.name for node in nodes)
    planned = dataclasses.replace(site.planned, nodes=site.planned.nodes | names, shares=shares)
    left, landed = _left(site, nodes, planned)
    found = [
        dataclasses.replace(one, pods=landed[node.name])
        for one, node in zip(placed, nodes, strict=True)
    ]
    return found, left, {node.name: landed[node.name] for node in site.coming}


def _left(
    site: Site, nodes: Sequence[Node], planned: Backlog
) -> tuple[list[Waiting], dict[str, Counter[PodClass]]]:
    """What finds no room on the cluster with these nodes, and what lands on each of them.

    Also on those that are on their way already.
    """
    extended = site.snapshot.with_nodes((*site.coming, *nodes))
    plan = solve(extended, site.waiting, site.now, Policy(), planned=planned)
    landed: dict[str, Counter[PodClass]] = {node.name: Counter() for node in (*site.coming, *nodes)}
    if landed:
        for group in site.waiting:
            for key in group.keys:
                there = landed.get(plan.placements.get(key, ""))
                if there is not None:
                    there[group.kind] += 1
        _count_companions(extended, site.waiting, plan, landed)
    left = [dataclasses.replace(one.waiting, keys=one.keys) for one in plan.refused]
    return left, landed


def _count_companions(
    snapshot: Snapshot, waiting: Sequence[Waiting], plan: Plan, landed: dict[str, Counter[PodClass]]
) -> None:
    """Count the companions too for which room is held on these nodes."""
    kinds = {one.leader: one.kind for one in snapshot.awaited}
    for group in waiting:
        asked = group.kind.companions
        if asked is not None:
            wanted, priority = group.kind.constraints, group.kind.priority
            kinds.update((key, of_companions(key, wanted, priority, asked)) for key in group.keys)
    for leader, room in plan.rooms.items():
        for name, count in room.items():
            if name in landed:
                landed[name][kinds[leader]] += count


def _turn(zones: Sequence[str], index: int) -> str:
    return zones[index % len(zones)] if zones else ""


def _order(wanted: _Wanted, shop: Shop, terms: Callable[[str], Terms]) -> Order:
    """The order for a node of the plan; in the zone where it was tried if its pods are tied."""
    zone = wanted.zone or (wanted.tried if any(tied(kind) for kind in wanted.pods) else "")
    return order_for(wanted.pods, (wanted.offer, zone), shop, terms)


def order_for(
    pods: Mapping[PodClass, int],
    place: tuple[Offer, str],
    shop: Shop,
    terms: Callable[[str], Terms],
) -> Order:
    """The order for a node that is to hold these pods: the cheapest type, and its alternatives.

    It was planned as `place`: an offer, and a zone if the pods need it.
    """
    offer, zone = place
    total = sum((kind.request.times(n) for kind, n in pods.items()), start=resources.NOTHING)
    able = [one for one in shop.holders(total, pods, zone) if one.spot == offer.spot]
    fitting = _of_pool(able, offer.pool, terms) or [offer]
    best = fitting[0]
    own = terms(best.pool)
    most = best.price * (100 + own.premium_percent) // 100
    chosen = [one for one in fitting if one.price <= most][: own.alternatives]
    everywhere = {each for one in chosen for each in one.zones}
    return Order(
        pool=best.pool,
        offer=best,
        types=tuple(dict.fromkeys(one.name for one in chosen)),
        zones=(zone,) if zone else tuple(sorted(everywhere)),
        pods=pods,
        room=functools.reduce(operator.and_, (one.room for one in chosen)),
        dearest=max(one.price for one in chosen),
    )


def _of_pool(able: Sequence[Offer], pool: str, terms: Callable[[str], Terms]) -> list[Offer]:
    """The offers of this pool, or of a pool with more weight whose cheapest costs the same.

    `able` has the cheapest first.
    """
    cheapest: dict[str, int] = {}
    for one in able:
        cheapest.setdefault(one.pool, one.price)
    equal = sorted(name for name, price in cheapest.items() if price == cheapest.get(pool))
    chosen = max((pool, *equal), key=lambda name: terms(name).weight)
    return [one for one in able if one.pool == chosen]
