"""Simulates placing and buying for manifests with the operator's own code; writes nothing.

First `solve`, as in a cluster, places waiting pods on the given nodes. For pods without room the
optimiser says how many nodes of which type to buy. Pods without constraints between pods go where
its patterns say; the others (spread, affinity, ports) are placed by `solve` on the new nodes, and
more nodes are added while some still find no room. The bound ignores constraints between pods, so
it holds for any plan.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from bayplan.cloud import attachable
from bayplan.cloud.prices import Book
from bayplan.model import resources, snapshot, wording
from bayplan.model.nodes import ZONE, Node
from bayplan.model.pods import Owner, Pod
from bayplan.model.reasons import Funnel
from bayplan.model.state import State
from bayplan.model.workloads import PodClass, Waiting, of_companions
from bayplan.optimizer.bound import hardest
from bayplan.optimizer.problem import Budget, Problem
from bayplan.optimizer.purchase import Purchase, purchase
from bayplan.placement.daemonsets import accepting, fitting, homes
from bayplan.placement.node_table import NodeTable
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning import comparison, offerings, other_offerings, suggestions
from bayplan.provisioning.demand import Shop, class_of, demand_rows, with_companions
from bayplan.provisioning.inventory import Demand, Inventory
from bayplan.provisioning.leftovers import Requests
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.prices import with_price
from bayplan.provisioning.result import Filled, Missing, Result

_MOST_ROUNDS = 40
_MOST_KINDS = 5  # in a note
_NOWHERE = Funnel(0)
_ATTACHABLE = attachable.ATTACHABLE


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    seconds: float = 2.0  # work of the optimiser
    seed: int = 0
    zones: tuple[str, ...] = offerings.zones_in()
    rivals: tuple[str, ...] = ()  # of compare.NAMES
    prices: Book = dataclasses.field(default_factory=Book)
    budget: Callable[[float], Budget] = Budget.of_work  # of so many seconds


def simulate(found: Inventory, menu: Sequence[Offer], settings: Settings) -> Result:
    """Place, buy, place again; the same input, seconds and seed give the same result."""
    run = _Run(found, menu, settings)
    left = run.place(run.groups())
    bound = 0
    rivals: tuple[comparison.Rival, ...] = ()
    if menu and left:
        able = run.able(left)
        if able:
            bound = run.buy(able)
            rivals = run.compared(able)
        left = run.place(run.remaining(left))
        left = run.add_until_placed(left)
    return dataclasses.replace(run.result(left, bound), rivals=rivals)


class _Run:
    """The state of a simulation, and the titles of its pods and nodes."""

    def __init__(self, found: Inventory, menu: Sequence[Offer], settings: Settings) -> None:
        self.found, self.menu, self.settings = found, menu, settings
        self.state = self._empty()
        self.titles: dict[tuple[str, str], str] = {}  # pod -> title of its workload
        self.offers: dict[str, Offer] = {}  # new node -> its offer
        self.landed: dict[tuple[str, str], PodClass] = {}  # pods that this simulation placed
        self.kinds: list[tuple[Demand, PodClass]] = [
            (demand, class_of(demand.pod, demand.rules)) for demand in found.demands
        ]
        self.sources: dict[str, str] = {}  # node -> source of its price
        self.attaches = found.attaches
        if self.attaches:
            self.menu = [attaching(offer) for offer in menu]
        for node in found.nodes:
            priced, self.sources[node.name] = with_price(node, settings.prices)
            if self.attaches:
                count = resources.Vector({_ATTACHABLE: found.attached_at_most(node)})
                priced = dataclasses.replace(priced, allocatable=priced.allocatable + count)
            self.state.set_node(priced)
        for daemonset in found.daemonsets:
            self.state.set_daemonset(daemonset)
        self.state.namespaces.update(found.namespaces)
        self.strays: Counter[str] = Counter()  # title -> instances that the operator would end
        for pod in self._staying():
            self.state.set_pod(pod)
            self.titles[pod.key] = found.titles[pod.key]

    def _staying(self) -> Iterator[Pod]:
        """What runs, without instances that mode PerNode ends: on other nodes, or a second one."""
        table, seen = NodeTable(tuple(self.found.nodes), 0), set[tuple[str, str]]()
        allowed = {
            one.uid: (one.title, homes(one, table).stay)
            for one in self.found.daemonsets
            if one.kind != "DaemonSet"
        }
        for pod in self.found.running:
            uid = pod.owner.uid if pod.owner is not None else ""
            title, nodes = allowed.get(uid, ("", frozenset[str]()))
            if title and (pod.node not in nodes or (uid, pod.node) in seen):
                self.strays[title] += 1
                continue
            seen.add((uid, pod.node))
            yield pod

    def _empty(self) -> State:
        """A state with the claims, without nodes and pods."""
        told = self.found.volumes
        return State(
            claims=told.claims,
            attach_limits=told.attach_limits,
            migrated=told.migrated,
            attached=told.attached,
        )

    def groups(self) -> list[Waiting]:
        """All demands as waiting tasks by class; each task has its workload's title."""
        members: dict[PodClass, list[tuple[str, str]]] = {}
        for index, (demand, kind) in enumerate(self.kinds):
            keys = [
                (kind.namespace, f"{index:06}-{demand.name}-{number}")
                for number in range(demand.count)
            ]
            self.titles.update(dict.fromkeys(keys, demand.title))
            members.setdefault(kind, []).extend(keys)
        return [
            Waiting(kind, tuple(keys), since=index)
            for index, (kind, keys) in enumerate(members.items())
        ]

    def place(self, groups: Sequence[Waiting]) -> list[tuple[Waiting, Funnel]]:
        """Place on the present nodes and assume the result; returns what is left, with reasons."""
        plan = solve(self.state.snapshot(), groups, 0, Policy(self.settings.seed))
        for group in groups:
            self._land(group.kind, [(key, plan.placements.get(key, "")) for key in group.keys])
        for leader, room in plan.rooms.items():
            self._land_companions(self.state.pods[leader], room)
        return [
            (dataclasses.replace(refused.waiting, keys=refused.keys), refused.funnel)
            for refused in plan.refused
        ]

    def remaining(self, left: Iterable[tuple[Waiting, Funnel]]) -> list[Waiting]:
        """Those of the tasks that still have no node."""
        groups = []
        for group, _ in left:
            keys = tuple(key for key in group.keys if key not in self.state.pods)
            if keys:
                groups.append(dataclasses.replace(group, keys=keys))
        return groups

    def able(self, left: Sequence[tuple[Waiting, Funnel]]) -> list[tuple[Waiting, Funnel]]:
        """The tasks that more nodes could help: at most one pod of a ReadWriteOncePod claim."""
        frozen, found = self.state.snapshot(), []
        for group, funnel in left:
            keys = ((group.kind.namespace, name) for name in group.kind.constraints.claims)
            sole = [key for key in keys if frozen.claims[key].alone]
            if any(frozen.mounting(key) for key in sole):
                continue
            most = 1 if sole else len(group.keys)
            found.append((dataclasses.replace(group, keys=group.keys[:most]), funnel))
        return found

    def buy(self, left: Sequence[tuple[Waiting, Funnel]]) -> int:
        """Add nodes by the optimiser's patterns, filled with untied pods; returns the bound."""
        store = self._shop()
        waiting = with_companions([group for group, _ in left])
        claims = self.found.volumes.claims
        zones = () if self.found.running else self.settings.zones
        rows, members = demand_rows(waiting, zones, claims)
        places = store.places(rows)
        if any(row.zone for row in rows):
            # Shares by zone are our choice, so the bound is computed without them. The types of
            # that plan suffice for the next plan, which then takes a third of the time.
            free, _ = demand_rows(waiting, (), claims)
            open_ = store.places(free)
            unshared = store.problem(free, open_)
            plan = self._optimised(unshared)
            liked = {open_[place][0].name for place in plan.types.tolist()}
            places = [(offer, zone) for offer, zone in places if offer.name in liked]
            bought = self._optimised(store.problem(rows, places))
            bound = max(hardest(unshared), plan.bound)
        else:
            problem = store.problem(rows, places)
            bought = self._optimised(problem)
            bound = max(hardest(problem), bought.bound)
        for place, content in bought.contents():
            name = self._join(*places[place])
            for index, copies in content.items():
                pairs = members[index] if not rows[index].tied else []
                for _ in range(min(copies, len(pairs))):
                    kind, key = pairs.pop()
                    if key in self.titles and kind.companions is None:
                        self._land(kind, [(key, name)])
        return bound

    def compared(self, left: Sequence[tuple[Waiting, Funnel]]) -> tuple[comparison.Rival, ...]:
        """What other schedulers would buy for the same pods, without constraints between pods."""
        if not self.settings.rivals:
            return ()
        store = self._shop()
        waiting = with_companions([group for group, _ in left])
        rows, _ = demand_rows(waiting, (), self.found.volumes.claims)
        places = store.places(rows)
        problem = store.problem(rows, places)
        types = [offer.name for offer, _ in places]
        return comparison.compared(self.settings.rivals, problem, types, self.settings.seed)

    def _optimised(self, problem: Problem) -> Purchase:
        budget = self.settings.budget(self.settings.seconds)
        return purchase(problem, budget, self.settings.seed)

    def add_until_placed(self, left: list[tuple[Waiting, Funnel]]) -> list[tuple[Waiting, Funnel]]:
        """Add nodes in every zone, while it helps, for pods whose constraints left them out."""
        store = self._shop()
        for _ in range(_MOST_ROUNDS):
            before = sum(len(group.keys) for group, _ in left)
            for group, _ in left:
                each = math.ceil(len(group.keys) / len(self.settings.zones))
                for offer, zone in store.more(group.kind, each):
                    self._join(offer, zone)
            left = self.place(self.remaining(left))
            if not left or sum(len(group.keys) for group, _ in left) == before:
                break
        self._shrink(store)
        return left

    def _shrink(self, store: Shop) -> None:
        """Turn each new node into the cheapest type that holds its pods."""
        for name, offer in list(self.offers.items()):
            pods = list(self.state.on_node.get(name, {}).values())
            if not pods:
                continue
            zone = self.state.nodes[name].labels[ZONE]
            total = sum((pod.request for pod in pods), start=resources.NOTHING)
            kinds = {self.landed[pod.key] for pod in pods}
            smaller = store.holder(total, kinds, zone)
            if smaller is not None and smaller.price < offer.price:
                other = self._join(smaller, zone)
                for pod in pods:
                    self.state.set_pod(dataclasses.replace(pod, node=other))

    def result(self, left: Sequence[tuple[Waiting, Funnel]], bound: int) -> Result:
        """The result; new nodes that stayed empty are left out."""
        frozen = self.state.snapshot()
        empty = [
            node.name
            for row, node in enumerate(frozen.nodes)
            if node.name in self.offers and not frozen.busy[row]
        ]
        for name in empty:
            self.state.drop_node(name)
        if empty and left:
            left = self.place(self.remaining(left))
        requests = self._requests()
        filled = [self._filled(node, requests) for node in self.state.snapshot().nodes]
        missing: dict[str, Missing] = {}  # by title: single pods of a workload are added up
        for group, funnel in left:
            for title, count in Counter(self.titles[key] for key in group.keys).items():
                known = missing.get(title) or self._why(title, group, funnel)
                missing[title] = dataclasses.replace(known, count=known.count + count)
        refused = [Missing(one.title, one.count, _NOWHERE, why=one.why)
                   for one in self.found.refused]  # fmt: skip
        bought = sum(one.node.price_microdollars or 0 for one in filled if one.new)
        return Result(
            nodes=tuple(filled),
            missing=(*missing.values(), *_crowded_out(filled), *refused),
            pods=sum(pods for one in filled for _, pods, _ in one.held),
            bought=bought,
            bound=bound,
            skipped=tuple(self.found.skipped),
            notes=(*self.found.notes, *self._told(filled)),
        )

    def _told(self, filled: Sequence[Filled]) -> Iterator[str]:
        """What was assumed, and what stands nowhere else."""
        for title, count in self.strays.items():
            why = "their nodes are not for it, or have another one"
            yield f"{title}: {count} of its pods would end: {why}"
        kinds = sorted({one.kind for one in filled if one.node.allocatable.amount(_ATTACHABLE)})
        if self.attaches and kinds:
            each = (
                f"{kind} {attachable.attachable(kind)}"
                for kind in kinds
                if attachable.attachable(kind) < attachable.UNKNOWN
            )
            said = ", ".join(list(each)[:_MOST_KINDS])
            if said:
                yield f"volumes count as EBS volumes; a node attaches at most: {said}"
        if not filled and self.menu:
            for one in self._shop().hopeless:
                asked = wording.lacking(one.request)
                yield f"no offered instance type holds {one.title}: {asked}"

    def _shop(self) -> Shop:
        found = self.found
        return Shop(self.menu, self.settings.zones, found.daemonsets, found.volumes.claims)

    def _why(self, title: str, group: Waiting, funnel: Funnel) -> Missing:
        """Why a class has no room: on the types that can be bought, else on the nodes."""
        if funnel.faulty:
            return Missing(title, 0, funnel, "nodes")
        alone = dataclasses.replace(group, keys=group.keys[:1])
        zones = self.settings.zones
        if self.menu:
            tried = [self._offered(alone, zone) for zone in zones]
            if all(refused for _, refused in tried):
                # Take the zone that came nearest: other zones may be closed to the class.
                samples, refused = min(tried, key=lambda each: not _lacks_room(each[1]))
                said = suggestions.hints(samples, group.kind, refused[0], None, ())
                other = other_offerings.hint(
                    group.kind, self.menu, self._wide_shop, self.settings.prices
                )
                return Missing(title, 0, refused[0], "instance types", (*said, *other))
        menu = self.menu or offerings.offers((), self.settings.prices)
        store = self._wide_shop(menu)
        more = store.more(group.kind, 1)
        offer = more[0][0] if more else None
        said = suggestions.hints(self.state, group.kind, funnel, offer, zones)
        if offer is None:
            said += other_offerings.hint(group.kind, menu, self._wide_shop, self.settings.prices)
        return Missing(title, 0, funnel, "nodes", said)

    def _wide_shop(self, menu: Sequence[Offer]) -> Shop:
        """A shop of other types."""
        if self.attaches:
            menu = [attaching(offer) for offer in menu]
        found = self.found
        return Shop(menu, self.settings.zones, found.daemonsets, found.volumes.claims)

    def _offered(self, alone: Waiting, zone: str) -> tuple[State, tuple[Funnel, ...]]:
        """Try a node of each type in a zone: why none takes the pod; empty if one does."""
        samples = dataclasses.replace(self._empty(), nodes_version=1)
        for daemonset in self.found.daemonsets:
            samples.set_daemonset(daemonset)
        pools: Counter[str] = Counter()
        for offer in self.menu:
            if offer.zones and zone not in offer.zones:
                continue
            pools[offer.name] += 1  # pools may offer the same type
            twin = f" ({pools[offer.name]})" if pools[offer.name] > 1 else ""
            samples.set_node(offer.node(f"{offer.name}{twin}", zone))
        plan = solve(samples.snapshot(), [alone], 0, Policy())
        return samples, tuple(refused.funnel for refused in plan.refused)

    def _join(self, offer: Offer, zone: str = "") -> str:
        """Add a new node; if its zone is open, the zones take turns."""
        number = len(self.offers)
        name = f"new-{offer.name}-{number:04}"
        self.offers[name] = offer
        zones = self.settings.zones
        self.state.set_node(offer.node(name, zone or zones[number % len(zones)]))
        return name

    def _land(self, kind: PodClass, placed: Iterable[tuple[tuple[str, str], str]]) -> None:
        labels = dict(kind.labels)
        for (namespace, name), node in placed:
            if node:
                pod = Pod(
                    namespace=namespace,
                    name=name,
                    node=node,
                    request=kind.request,
                    constraints=kind.constraints,
                    labels=labels,
                )
                if kind.companions is not None:
                    uid = f"{namespace}/{name}"  # by which its companions belong to it
                    pod = dataclasses.replace(pod, uid=uid, companions=kind.companions)
                self.state.set_pod(pod)
                self.landed[pod.key] = kind

    def _land_companions(self, leader: Pod, room: Mapping[str, int]) -> None:
        """Have the companions of a pod run where room is held for them."""
        asked = leader.companions
        if asked is None:
            return
        kind = of_companions(leader.key, leader.constraints, leader.priority, asked)
        there = len(self.state.owned(leader.uid))
        owner = Owner("Pod", leader.name, leader.uid)
        for at, name in enumerate(name for name, count in room.items() for _ in range(count)):
            pod = Pod(
                namespace=leader.namespace,
                name=f"{leader.name}~{there + at}",
                node=name,
                request=kind.request,
                constraints=kind.constraints,
                owner=owner,
            )
            self.state.set_pod(pod)
            self.landed[pod.key] = kind
            self.titles[pod.key] = f"{self.titles[leader.key]}: companions"

    def _requests(self) -> Requests:
        """What the pods ask for that have a place in the end, without DaemonSets'."""
        return Requests.of({pod.request for pod in self.state.pods.values() if not pod.resident})

    def _filled(self, node: Node, requests: Requests) -> Filled:
        pods: Counter[str] = Counter()
        amounts: dict[str, resources.Vector] = {}
        for pod in self.state.on_node.get(node.name, {}).values():
            title = self.titles[pod.key]
            pods[title] += 1
            amounts[title] = amounts.get(title, resources.NOTHING) + pod.request
        room = node.allocatable - sum(amounts.values(), start=resources.NOTHING)
        coming = _to_come(self.found.daemonsets, self.state, node)
        placed, room = fitting(coming, room)
        for daemonset in placed:
            title = daemonset.title
            pods[title] += 1
            amounts[title] = amounts.get(title, resources.NOTHING) + daemonset.request
        out = tuple((one.title, one.request.exceeding(room)) for one in coming if one not in placed)
        total = sum(amounts.values(), start=resources.NOTHING)
        free = node.allocatable - total
        offer = self.offers.get(node.name)
        return Filled(
            node=node,
            new=offer is not None,
            source=offer.source if offer is not None else self.sources[node.name],
            held=tuple((title, pods[title], amounts[title]) for title in sorted(pods)),
            requested=total,
            closed=requests.strands(free),
            crowded_out=out,
        )


def attaching(offer: Offer) -> Offer:
    """The offer with the number of volumes that its nodes attach."""
    count = resources.Vector({_ATTACHABLE: attachable.attachable(offer.name)})
    return (
        offer
        if offer.room.amount(_ATTACHABLE)
        else dataclasses.replace(offer, room=offer.room + count)
    )


def _crowded_out(filled: Iterable[Filled]) -> list[Missing]:
    """DaemonSets whose pods have no room on a node where they must run."""
    where: dict[str, list[tuple[str, resources.Vector]]] = {}
    for one in filled:
        for title, lacks in one.crowded_out:
            where.setdefault(title, []).append((one.node.name, lacks))
    found = []
    for title, nodes in where.items():
        name, lacks = nodes[0]
        more = f", and {len(nodes) - 1} more nodes" if len(nodes) > 1 else ""
        why = f"no room where it must run: {name} lacks {wording.lacking(lacks)}{more}"
        found.append(Missing(title, len(nodes), _NOWHERE, why=why))
    return found


def _lacks_room(refused: tuple[Funnel, ...]) -> bool:
    return refused[0].nearest is not None and bool(refused[0].nearest.lacks)


def _to_come(
    daemonsets: Iterable[snapshot.DaemonSet], state: State, node: Node
) -> list[snapshot.DaemonSet]:
    table = NodeTable((node,), 0)
    return [
        one
        for one in daemonsets
        if accepting(one, table)
        and not any(pod.node == node.name for pod in state.owned(one.uid).values())
    ]
