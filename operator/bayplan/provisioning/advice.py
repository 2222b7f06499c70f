"""What a pool's nodes cost, what the least would be, and which nodes a better plan has.

The plan is a simulation: the nodes of the pool are taken away, their pods are placed anew together
with waiting pods, and nodes are bought from the pool's menu. Pods that the menu cannot hold stay,
and so do their nodes. The plan says where the pool could be, not how it gets there.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bayplan.cloud.node_pools import ON_DEMAND, RESERVED, SPOT, NodePool
from bayplan.cloud.prices import Book, Offering
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, PRICE, ZONE, Node
from bayplan.provisioning import simulation
from bayplan.provisioning.demand import Shop, class_of
from bayplan.provisioning.inventory import Inventory, without_nodes
from bayplan.provisioning.offerings import Offer, SpotPrices
from bayplan.provisioning.prices import with_price
from bayplan.provisioning.result import Missing

Sort = tuple[str, str]  # instance type, capacity type

_SAID = f"the nodes themselves ({PRICE}, or their type)"
_CONTROL_PLANE = {"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """Nodes of one sort, now and in the plan; `price` in microdollars an hour each."""

    kind: str
    capacity_type: str
    now: int
    then: int
    price: int


@dataclasses.dataclass(frozen=True, slots=True)
class Advice:
    """Costs in microdollars an hour, of the nodes that could be replaced.

    `kept` maps each node that stays to the workload that the pool's menu cannot hold. `unpriced`
    are nodes without a known price; they count as free, so the real cost now is at least the stated
    cost. `aside` maps nodes that are not looked at to the reason. `moved` pods run on the nodes
    now, `waiting` pods wait for a node that this pool could make, `others` for something else, and
    `missing` pods would have no node in the plan either. `sources` say whose the prices are.
    """

    pool: str
    everything: bool  # no node belongs to the pool: all nodes of the cluster are looked at
    nodes: int
    moved: int
    cost: int
    bound: int
    planned: int
    changes: tuple[Change, ...]
    kept: Mapping[str, str]
    aside: Mapping[str, str]
    unpriced: tuple[str, ...]
    waiting: int
    others: int
    missing: tuple[Missing, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def saving(self) -> int:
        """How much less the plan costs; 0 if it is no better, or leaves pods without room."""
        return 0 if self.missing else max(0, self.cost - self.planned)

    @property
    def gap_percent(self) -> float:
        """How far the cost now is above the least possible cost, in percent."""
        over = self.cost - self.bound
        return 100 * over / self.bound if self.bound and over > 0 else 0.0


def advice(
    found: Inventory,
    pool: NodePool,
    menu: Sequence[Offer],
    settings: simulation.Settings,
    spot: SpotPrices,
) -> Advice:
    """Advice on the pool's nodes in `found`; on all nodes if none belongs to the pool.

    Nodes on their way out, silent, reserved or of the control plane are left aside. Other nodes
    take nothing, so that both sides of the comparison are about the same pods. `spot` prices the
    spot nodes that exist. `found` is used up: its nodes and pods are moved about in it.
    """
    mine = [node for node in found.nodes if node.labels.get(NODE_POOL) == pool.name]
    everything = not mine
    aside = {node.name: why for node in mine or found.nodes if (why := _aside(node))}
    mine = [node for node in mine or found.nodes if node.name not in aside]
    priced = [_priced(node, settings.prices, spot) for node in mine]
    menu = _as_paid(menu, priced)
    if found.attaches:
        menu = [simulation.attaching(offer) for offer in menu]
    shop = Shop(menu, settings.zones, found.daemonsets, found.volumes.claims)
    kept = _kept(found, mine, shop)
    priced = [node for node in priced if node.name not in kept]
    free = {node.name for node in priced}
    waiting, others = _waiting(found, shop)
    found.running = [pod for pod in found.running if pod.node not in free or not pod.terminating]
    without_nodes(found, free)
    found.nodes = [dataclasses.replace(node, unschedulable=True) for node in found.nodes]
    moved = sum(one.count for one in found.demands) - waiting
    result = simulation.simulate(found, menu, settings)
    bought = [one for one in result.nodes if one.new]
    then = Counter(_sort(one.node) for one in bought)
    prices = {_sort(one.node): one.node.price_microdollars or 0 for one in bought}
    return Advice(
        pool=pool.name,
        everything=everything,
        nodes=len(priced),
        moved=moved,
        cost=sum(node.price_microdollars or 0 for node in priced),
        bound=result.bound,
        planned=result.bought,
        changes=tuple(_changes(priced, then, prices)),
        kept=kept,
        aside=aside,
        unpriced=tuple(node.name for node in priced if node.price_microdollars is None),
        waiting=waiting,
        others=others,
        missing=result.missing,
        sources=tuple(sorted({one.source for one in bought})),
        notes=result.notes,
    )


def _aside(node: Node) -> str:
    """Why a node is not looked at; empty if it is."""
    if node.leaving:
        return "on its way out"
    if not node.ready:
        return "not ready"
    if node.labels.get(CAPACITY_TYPE) == RESERVED:
        return "reserved"
    return "of the control plane" if _CONTROL_PLANE & node.labels.keys() else ""


def _priced(node: Node, book: Book, spot: SpotPrices) -> Node:
    """The node with its own price, else the price of its type; spot as spot, or without a price."""
    if node.price_microdollars is None and node.labels.get(CAPACITY_TYPE) == SPOT:
        price = spot.get((node.labels.get(INSTANCE_TYPE, ""), node.labels.get(ZONE, "")))
        known = price.microdollars_per_hour if price is not None else None
        return dataclasses.replace(node, price_microdollars=known)
    return with_price(node, book)[0]


def _as_paid(menu: Iterable[Offer], nodes: Iterable[Node]) -> list[Offer]:
    """The menu at the prices that nodes of the same sort say of themselves.

    Two sources for one sort would promise savings where nothing changes.
    """
    paid = {_sort(node): node.price_microdollars for node in nodes}
    return [
        dataclasses.replace(offer, price=price, source=_SAID)
        if (price := paid.get((offer.name, ON_DEMAND))) is not None and not offer.spot
        else offer
        for offer in menu
    ]


def _waiting(found: Inventory, shop: Shop) -> tuple[int, int]:
    """How many pods wait that the pool could hold, and how many others, which are taken out."""
    could = [one for one in found.demands if shop.holds(class_of(one.pod, one.rules))]
    others = sum(one.count for one in found.demands) - sum(one.count for one in could)
    found.demands = could
    return sum(one.count for one in could), others


def _kept(found: Inventory, nodes: Iterable[Node], shop: Shop) -> dict[str, str]:
    """Maps each node that has a pod which no offer holds to the workload of that pod."""
    names = {node.name for node in nodes}
    holds: dict[object, bool] = {}
    kept: dict[str, str] = {}
    for pod in found.running:
        if pod.node not in names or pod.terminating or found.stays_with_node(pod):
            continue
        kind = class_of(pod)
        if kind not in holds:
            holds[kind] = shop.holds(kind)
        if not holds[kind]:
            kept.setdefault(pod.node, found.titles[pod.key])
    return kept


def _changes(
    now: Iterable[Node], then: Counter[Sort], prices: Mapping[Sort, int]
) -> Iterable[Change]:
    """The changes, the dearest sort first, by its cost now or in the plan."""
    had = Counter(map(_sort, now))
    known = {_sort(node): node.price_microdollars or 0 for node in now}
    found = [
        Change(*sort, had[sort], then[sort], known.get(sort) or prices.get(sort, 0))
        for sort in {*had, *then}
    ]
    return sorted(found, key=lambda one: (-max(one.now, one.then) * one.price, one.kind))


def offering(node: Node) -> Offering:
    """The offering that a node is of."""
    kind, capacity_type = _sort(node)
    return kind, node.labels.get(ZONE, ""), capacity_type


def _sort(node: Node) -> Sort:
    labels = node.labels
    return labels.get(INSTANCE_TYPE, "unknown type"), labels.get(CAPACITY_TYPE, ON_DEMAND)
