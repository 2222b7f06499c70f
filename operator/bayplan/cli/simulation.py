"""What would be: the operator's own placing and buying on what manifests say, nothing written.

First what there is: waiting pods go onto the given nodes by the same `solve` as in a cluster. What
finds no room is bought for: the optimiser says how many nodes of which type, pods without ties to
others go where its patterns say, pods with ties (spread, affinity, ports) are placed by `solve` on
the new nodes, and more nodes are added while those still miss some. The bound ignores such ties, so
it holds for any plan.
"""

import dataclasses
import math
import time
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from bayplan.cli import menu as menu_
from bayplan.cli import workloads
from bayplan.cli.menu import Offer
from bayplan.cli.workloads import Demand, Inventory
from bayplan.cloud import prices
from bayplan.model import node as nodes_
from bayplan.model import pod as pods_
from bayplan.model import resources, snapshot, state
from bayplan.model.reason import Funnel
from bayplan.model.workload import PodClass, Waiting
from bayplan.placement import daemons, filters, packing, provision
from bayplan.placement.solve import Policy, solve
from bayplan.placement.table import NodeTable

_MOST_ROUNDS = 40
_HOURS_A_MONTH = 730


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    seconds: float = 1.0  # for the optimiser
    seed: int = 0
    zones: tuple[str, ...] = ("us-east-1a", "us-east-1b", "us-east-1c")
    book: prices.Book = dataclasses.field(default_factory=prices.Book)


@dataclasses.dataclass(frozen=True, slots=True)
class Filled:
    """A node at the end: what pods of which workload take of it."""

    node: nodes_.Node
    new: bool
    source: str  # of the price
    held: tuple[tuple[str, int, resources.Vector], ...]  # title, pods, their requests
    requested: resources.Vector
    closed: bool  # no pod of any workload here would fit any more

    @property
    def free(self) -> resources.Vector:
        return self.node.allocatable - self.requested

    @property
    def kind(self) -> str:
        return self.node.labels.get(nodes_.INSTANCE_TYPE, "unknown type")


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Pods that found no room, and why."""

    title: str
    count: int
    funnel: Funnel
    what: str  # what was looked at: nodes, or the types that could be bought


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The end state. Costs in microdollars an hour; `bound` is proven for what is bought."""

    nodes: tuple[Filled, ...]
    missing: tuple[Missing, ...]
    pods: int
    bought: int
    bound: int

    @property
    def cost(self) -> int:
        """Of all nodes whose price is known."""
        return sum(one.node.price_microdollars or 0 for one in self.nodes)

    @property
    def gap(self) -> float:
        return (self.bought - self.bound) / self.bound if self.bound else 0.0

    @property
    def month(self) -> int:
        return self.cost * _HOURS_A_MONTH


def simulate(found: Inventory, menu: Sequence[Offer], settings: Settings) -> Result:
    """Place, buy, place again; same input and enough seconds, same result."""
    run = _Run(found, menu, settings)
    left = run.place(run.groups())
    bound = 0
    if menu and left:
        bound = run.buy(left)
        left = run.place(run.remaining(left))
        left = run.add_until_placed(left)
    return run.result(left, bound)


class _Run:
    """The book of one simulation and the names of what is in it."""

    def __init__(self, found: Inventory, menu: Sequence[Offer], settings: Settings) -> None:
        self.found, self.menu, self.settings = found, menu, settings
        self.book = state.State()
        self.titles: dict[tuple[str, str], str] = {}  # pod -> title of its workload
        self.offers: dict[str, Offer] = {}  # new node -> what it is
        self.kinds: list[tuple[Demand, PodClass]] = [
            (demand, _class(demand)) for demand in found.demands
        ]
        self.sources: dict[str, str] = {}  # node -> whose price it is
        self.requests = {kind for _, kind in self.kinds}
        for node in found.nodes:
            priced, self.sources[node.name] = menu_.priced(node, settings.book)
            self.book.set_node(priced)
        for daemonset in found.daemonsets:
            self.book.set_daemonset(daemonset)
        for pod in found.running:
            self.book.set_pod(pod)
            self.titles[pod.key] = workloads.owner_title(pod)

    def groups(self) -> list[Waiting]:
        """All demands as waiting tasks; a task's name tells its workload."""
        groups = []
        for index, (demand, kind) in enumerate(self.kinds):
            keys = tuple(
                (kind.namespace, f"{index:06}-{demand.name}-{number}")
                for number in range(demand.count)
            )
            self.titles.update(dict.fromkeys(keys, demand.title))
            groups.append(Waiting(kind, keys, since=index))
        return groups

    def place(self, groups: Sequence[Waiting]) -> list[tuple[Waiting, Funnel]]:
        """Solve on what there is and count on it; what is left, with why."""
        plan = solve(self.book.snapshot(), groups, 0, Policy(self.settings.seed))
        for group in groups:
            self._land(group.kind, [(key, plan.placements.get(key, "")) for key in group.keys])
        return [
            (dataclasses.replace(refused.waiting, keys=refused.keys), refused.funnel)
            for refused in plan.refused
        ]

    def remaining(self, left: Iterable[tuple[Waiting, Funnel]]) -> list[Waiting]:
        """What of these has no node by now."""
        groups = []
        for group, _ in left:
            keys = tuple(key for key in group.keys if key not in self.book.pods)
            if keys:
                groups.append(dataclasses.replace(group, keys=keys))
        return groups

    def buy(self, left: Sequence[tuple[Waiting, Funnel]]) -> int:
        """Let nodes of the optimiser's patterns join, filled with what has no ties; the bound."""
        merged: dict[PodClass, list[tuple[str, str]]] = {}
        for group, _ in left:
            merged.setdefault(group.kind, []).extend(group.keys)
        shop = _Shop(self.menu, self.settings.zones, self.found.daemonsets)
        rows = shop.rows([(kind, len(keys)) for kind, keys in merged.items()])
        places = shop.places(rows)
        packed = self._optimised(shop.problem(rows, places))
        bound: int = packed.bound
        if any(row.zone for row in rows):
            # Shares by zone are our choice: what no plan can beat is found without them.
            free = [_Row(kind, len(keys)) for kind, keys in merged.items()]
            bound = self._optimised(shop.problem(free, shop.places(free))).bound
        # A linear bound buys parts of nodes; whole ones cost at least what the pod that is
        # hardest to please costs alone.
        bound = max(bound, *(shop.least(kind) for kind in merged))
        lines = zip(packed.types.tolist(), packed.patterns, packed.nodes.tolist(), strict=True)
        for place, pattern, count in lines:
            for _ in range(count):
                name = self._join(*places[place])
                for index in np.flatnonzero(pattern).tolist():
                    kind = rows[index].kind
                    if not _tied(kind):
                        keys = merged[kind]
                        taken = [keys.pop() for _ in range(min(int(pattern[index]), len(keys)))]
                        self._land(kind, [(key, name) for key in taken])
        return bound

    def _optimised(self, problem: packing.Problem) -> packing.Packing:
        started = time.perf_counter()
        budget = packing.Budget(
            seconds=self.settings.seconds, spent=lambda: time.perf_counter() - started
        )
        return provision.provision(problem, budget, self.settings.seed)

    def add_until_placed(self, left: list[tuple[Waiting, Funnel]]) -> list[tuple[Waiting, Funnel]]:
        """More nodes in every zone for pods whose ties kept them off the others, while it helps."""
        shop = _Shop(self.menu, self.settings.zones, self.found.daemonsets)
        for _ in range(_MOST_ROUNDS):
            before = sum(len(group.keys) for group, _ in left)
            for group, _ in left:
                each = math.ceil(len(group.keys) / len(self.settings.zones))
                for offer, zone in shop.more(group.kind, each):
                    self._join(offer, zone)
            left = self.place(self.remaining(left))
            if not left or sum(len(group.keys) for group, _ in left) == before:
                break
        self._shrink(shop)
        return left

    def _shrink(self, shop: "_Shop") -> None:
        """Each new node becomes the cheapest type that holds what it holds."""
        for name, offer in list(self.offers.items()):
            pods = list(self.book.on_node.get(name, {}).values())
            if not pods:
                continue
            zone = self.book.nodes[name].labels[nodes_.ZONE]
            total = sum((pod.request for pod in pods), start=resources.NOTHING)
            kinds = {_class_of(pod) for pod in pods}
            smaller = shop.holder(total, kinds, zone)
            if smaller is not None and smaller.price < offer.price:
                other = self._join(smaller, zone)
                for pod in pods:
                    self.book.set_pod(dataclasses.replace(pod, node=other))

    def result(self, left: Sequence[tuple[Waiting, Funnel]], bound: int) -> Result:
        """New nodes that stayed empty are not bought after all."""
        frozen = self.book.snapshot()
        filled = [
            self._filled(node)
            for row, node in enumerate(frozen.nodes)
            if node.name not in self.offers or frozen.busy[row]
        ]
        missing: dict[str, Missing] = {}  # pods that were read one by one count together
        for group, funnel in left:
            title = self.titles[group.keys[0]]
            known = missing.get(title) or self._why(title, group, funnel)
            missing[title] = dataclasses.replace(known, count=known.count + len(group.keys))
        bought = sum(one.node.price_microdollars or 0 for one in filled if one.new)
        return Result(
            nodes=tuple(filled),
            missing=tuple(missing.values()),
            pods=sum(pods for one in filled for _, pods, _ in one.held),
            bought=bought,
            bound=bound,
        )

    def _why(self, title: str, group: Waiting, funnel: Funnel) -> Missing:
        """With a menu, what every type of it would say; else what the nodes said."""
        samples = state.State(nodes_version=1)
        for daemonset in self.found.daemonsets:
            samples.set_daemonset(daemonset)
        for offer in self.menu:
            samples.set_node(offer.node(offer.name, self.settings.zones[0]))
        alone = dataclasses.replace(group, keys=group.keys[:1])
        plan = solve(samples.snapshot(), [alone], 0, Policy())
        if self.menu and plan.refused:
            return Missing(title, 0, plan.refused[0].funnel, "instance types")
        return Missing(title, 0, funnel, "nodes")

    def _join(self, offer: Offer, zone: str = "") -> str:
        """A new node; where the zone is left open they take turns."""
        number = len(self.offers)
        name = f"new-{offer.name}-{number:04}"
        self.offers[name] = offer
        zones = self.settings.zones
        self.book.set_node(offer.node(name, zone or zones[number % len(zones)]))
        return name

    def _land(self, kind: PodClass, placed: Iterable[tuple[tuple[str, str], str]]) -> None:
        labels = dict(kind.labels)
        for (namespace, name), node in placed:
            if node:
                pod = pods_.Pod(
                    namespace=namespace,
                    name=name,
                    node=node,
                    request=kind.request,
                    constraints=kind.constraints,
                    labels=labels,
                )
                self.book.set_pod(pod)

    def _filled(self, node: nodes_.Node) -> Filled:
        pods: Counter[str] = Counter()
        amounts: dict[str, resources.Vector] = {}
        for pod in self.book.on_node.get(node.name, {}).values():
            title = self.titles[pod.key]
            pods[title] += 1
            amounts[title] = amounts.get(title, resources.NOTHING) + pod.request
        for daemonset in _to_come(self.found.daemonsets, self.book, node):
            title = f"DaemonSet {daemonset.namespace}/{daemonset.name}"
            pods[title] += 1
            amounts[title] = daemonset.request
        total = sum(amounts.values(), start=resources.NOTHING)
        free = node.allocatable - total
        offer = self.offers.get(node.name)
        return Filled(
            node=node,
            new=offer is not None,
            source=offer.source if offer is not None else self.sources[node.name],
            held=tuple((title, pods[title], amounts[title]) for title in sorted(pods)),
            requested=total,
            closed=not any(kind.request.fits(free) for kind in self.requests),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Row:
    """Pods of one class to buy for; `zone` where a spread gives each zone its share."""

    kind: PodClass
    count: int
    zone: str = ""


class _Shop:
    """The menu as the optimiser's arrays."""

    def __init__(
        self,
        menu: Sequence[Offer],
        zones: Sequence[str],
        daemonsets: Sequence[snapshot.DaemonSet],
    ) -> None:
        self.menu, self.zones = menu, zones
        samples = [offer.node(f"{offer.name} {zone}", zone) for offer in menu for zone in zones]
        self.table = NodeTable(tuple(samples), 0)
        self.room = []  # what a node of each type has for the pods that are not residents
        for index, offer in enumerate(menu):
            name = samples[index * len(zones)].name
            kept = [one.request for one in daemonsets if name in daemons.accepting(one, self.table)]
            self.room.append(offer.room - sum(kept, start=resources.NOTHING))

    def rows(self, demand: Iterable[tuple[PodClass, int]]) -> list[_Row]:
        """A class with a hard spread over zones is bought for zone by zone."""
        rows = []
        for kind, count in demand:
            if not _zoned(kind):
                rows.append(_Row(kind, count))
                continue
            each, more = divmod(count, len(self.zones))
            rows += [
                _Row(kind, each + (index < more), zone)
                for index, zone in enumerate(self.zones)
                if each + (index < more)
            ]
        return rows

    def places(self, rows: Sequence[_Row]) -> list[tuple[Offer, str]]:
        """What can be bought: types, in each zone where any row cares about zones."""
        care = any(row.zone for row in rows) or any(
            not (mask == mask[:, :1]).all() for mask in map(self._open, rows)
        )
        return [(offer, zone) for offer in self.menu for zone in (self.zones if care else ("",))]

    def problem(self, rows: Sequence[_Row], places: Sequence[tuple[Offer, str]]) -> packing.Problem:
        columns = sorted({name for row in rows for name in row.kind.request})
        each = len(places) // len(self.menu)
        eligible = [self._open(row)[:, :each].reshape(-1) for row in rows]
        return packing.Problem.of(
            demand=np.array([row.count for row in rows], dtype=np.int64),
            request=_matrix([row.kind.request for row in rows], columns),
            capacity=np.repeat(np.maximum(_matrix(self.room, columns), 0), each, axis=0),
            price=np.array([offer.price for offer, _ in places], dtype=np.int64),
            eligible=np.array(eligible, dtype=np.bool_),
            per_node=np.array([_per_node(row.kind) for row in rows], dtype=np.int64),
        )

    def more(self, kind: PodClass, count: int) -> list[tuple[Offer, str]]:
        """Nodes, of the type that holds so many pods of a class for the least, in each zone."""
        holds = self.problem([_Row(kind, count)], [(offer, "") for offer in self.menu]).limits()
        fits = holds[:, 0]
        if not fits.any():
            return []
        nodes = -(-count // np.maximum(fits, 1))
        cost = np.array([offer.price for offer in self.menu], dtype=np.float64) * nodes
        best = int(np.argmin(np.where(fits > 0, cost, np.inf)))
        return [(self.menu[best], zone) for zone in self.zones for _ in range(int(nodes[best]))]

    def least(self, kind: PodClass) -> int:
        """The price of the cheapest type that holds one pod of a class; 0 when none does."""
        holds = self.problem([_Row(kind, 1)], [(offer, "") for offer in self.menu]).limits()[:, 0]
        fitting = zip(self.menu, holds.tolist(), strict=True)
        return min((offer.price for offer, fits in fitting if fits), default=0)

    def holder(self, total: resources.Vector, kinds: Iterable[PodClass], zone: str) -> Offer | None:
        """The cheapest type with this much room that takes all these classes in a zone."""
        column = self.zones.index(zone)
        open_ = np.ones(len(self.menu), dtype=np.bool_)
        for kind in kinds:
            open_ &= self._open(_Row(kind, 1))[:, column]
        fitting = [
            offer
            for offer, room, ok in zip(self.menu, self.room, open_, strict=True)
            if ok and total.fits(room)
        ]
        return min(fitting, key=lambda offer: (offer.price, offer.name), default=None)

    def _open(self, row: _Row) -> packing.BoolMatrix:
        """[types, zones]: where pods of a row may be."""
        mask = filters.of_nodes(row.kind, self.table).open.reshape(-1, len(self.zones))
        if row.zone:
            mask = mask & (np.array(self.zones) == row.zone)
        return mask


def _class(demand: Demand) -> PodClass:
    return _class_of(demand.pod)


def _class_of(pod: pods_.Pod) -> PodClass:
    return PodClass(
        namespace=pod.namespace,
        request=pod.request,
        constraints=pod.constraints,
        labels=tuple(sorted(pod.labels.items())),
        priority=pod.priority,
    )


def _zoned(kind: PodClass) -> bool:
    """Whether its own pods must be spread over zones."""
    labels = dict(kind.labels)
    return any(
        spread.hard and spread.topology_key == nodes_.ZONE and spread.selector.matches(labels)
        for spread in kind.constraints.spread
    )


def _tied(kind: PodClass) -> bool:
    """Whether where its pods may be hangs on where others are."""
    wanted = kind.constraints
    hard = any(spread.hard for spread in wanted.spread)
    terms = (*wanted.pod_affinity, *wanted.pod_anti_affinity)
    return bool(wanted.host_ports) or hard or any(not term.weight for term in terms)


def _per_node(kind: PodClass) -> int:
    """How many of a class one node may hold because of its ties to itself."""
    labels = dict(kind.labels)
    apart = any(
        not term.weight
        and term.topology_key == nodes_.HOSTNAME
        and term.selector.matches(labels)
        and (term.all_namespaces or kind.namespace in (term.namespaces or {kind.namespace}))
        for term in kind.constraints.pod_anti_affinity
    )
    return 1 if apart or kind.constraints.host_ports else packing.UNLIMITED


def _matrix(vectors: Sequence[resources.Vector], columns: Sequence[str]) -> packing.IntMatrix:
    rows = [[vector.amount(column) for column in columns] for vector in vectors]
    return np.array(rows, dtype=np.int64).reshape(len(vectors), len(columns))


def _to_come(
    daemonsets: Iterable[snapshot.DaemonSet], book: state.State, node: nodes_.Node
) -> list[snapshot.DaemonSet]:
    table = NodeTable((node,), 0)
    return [
        one
        for one in daemonsets
        if daemons.accepting(one, table)
        and not any(pod.node == node.name for pod in book.owned(one.uid).values())
    ]
