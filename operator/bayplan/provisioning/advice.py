"""What a pool's nodes cost, what the least would be, and which nodes a better plan has.

The plan is a simulation: the nodes of the pool are taken away, their pods are placed anew together
with waiting pods, and nodes are bought from the pool's menu. Pods that the menu cannot hold stay,
and so do their nodes. The plan says where the pool could be, not how it gets there.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bayplan.cloud.node_pools import ON_DEMAND, POOL, NodePool
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, Node
from bayplan.provisioning import simulation
from bayplan.provisioning.demand import Shop, class_of
from bayplan.provisioning.inventory import Inventory, without_nodes
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.prices import with_price
from bayplan.provisioning.result import Missing

Sort = tuple[str, str]  # instance type, capacity type


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
    cost. `waiting` pods have no node now; `missing` pods would have no node in the plan either.
    """

    pool: str
    everything: bool  # no node belongs to the pool: all nodes of the cluster are looked at
    nodes: int
    cost: int
    bound: int
    planned: int
    changes: tuple[Change, ...]
    kept: Mapping[str, str]
    unpriced: tuple[str, ...]
    waiting: int
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]

    @property
    def saving(self) -> int:
        """How much less the plan costs; 0 if it is no better, or leaves pods without room."""
        return 0 if self.missing else max(0, self.cost - self.planned)

    @property
    def gap_percent(self) -> float:
        """How far the cost now is above the least possible cost, in percent."""
        return 100 * (self.cost - self.bound) / self.bound if self.bound else 0.0


def advice(
    found: Inventory, pool: NodePool, menu: Sequence[Offer], settings: simulation.Settings
) -> Advice:
    """Advice on the pool's nodes in `found`; on all nodes if none belongs to the pool.

    `found` is used up: its nodes and pods are moved about in it.
    """
    mine = [node for node in found.nodes if node.labels.get(POOL) == pool.name]
    everything = not mine
    mine = mine or list(found.nodes)
    kept = _kept(found, mine, menu, settings)
    free = {node.name for node in mine if node.name not in kept}
    priced = [with_price(node, settings.prices)[0] for node in mine if node.name in free]
    waiting = sum(one.count for one in found.demands)
    without_nodes(found, free)
    result = simulation.simulate(found, menu, settings)
    then = Counter(_sort(one.node) for one in result.nodes if one.new)
    prices = {_sort(one.node): one.node.price_microdollars or 0 for one in result.nodes}
    return Advice(
        pool=pool.name,
        everything=everything,
        nodes=len(priced),
        cost=sum(node.price_microdollars or 0 for node in priced),
        bound=result.bound,
        planned=result.bought,
        changes=tuple(_changes(priced, then, prices)),
        kept=kept,
        unpriced=tuple(node.name for node in priced if node.price_microdollars is None),
        waiting=waiting,
        missing=result.missing,
        notes=result.notes,
    )


def _kept(
    found: Inventory, nodes: Iterable[Node], menu: Sequence[Offer], settings: simulation.Settings
) -> dict[str, str]:
    """Maps each node that has a pod which no offer holds to the workload of that pod."""
    shop = Shop(menu, settings.zones, found.daemonsets, found.volumes.claims)
    belonging = {one.uid for one in found.daemonsets}
    names = {node.name for node in nodes}
    holds: dict[object, bool] = {}
    kept: dict[str, str] = {}
    for pod in found.running:
        owned = pod.owner is not None and pod.owner.uid in belonging
        if pod.node not in names or pod.resident or owned:
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


def _sort(node: Node) -> Sort:
    labels = node.labels
    return labels.get(INSTANCE_TYPE, "unknown type"), labels.get(CAPACITY_TYPE, ON_DEMAND)
