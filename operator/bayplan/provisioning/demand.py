"""Turns offers and demand into the optimiser's arrays.

Pods that look the same to the optimiser are one row, even if they belong to different workloads:
three hundred Deployments of twenty sizes are twenty rows.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bayplan.api import kinds
from bayplan.model import requirements, resources, snapshot
from bayplan.model.constraints import AllTogether, AtMost, EvenShares
from bayplan.model.nodes import CAPACITY_TYPE, HOSTNAME, ZONE
from bayplan.model.pods import Claim, Constraints, Pod, Spread
from bayplan.model.workloads import FREELY, PlacementRules, PodClass, Waiting, of_companions
from bayplan.optimizer.problem import UNLIMITED, BoolMatrix, IntMatrix, Problem
from bayplan.placement import filters
from bayplan.placement.daemonsets import accepting, ordered
from bayplan.placement.node_table import NodeTable
from bayplan.provisioning.offerings import Offer

Key = tuple[str, str]  # namespace and name of a pod
Claims = Mapping[Key, Claim]  # claims whose volumes exist


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """Pods to buy for. `zone` is set if a spread gives each zone its share.

    `tied`: the optimiser's patterns say how much to buy, not where these pods go.
    """

    kind: PodClass
    zone: str = ""
    per_node: int = UNLIMITED
    tied: bool = False
    count: int = 0


def demand_rows(
    waiting: Sequence[Waiting], zones: Sequence[str], claims: Claims
) -> tuple[list[Row], list[list[tuple[PodClass, Key]]]]:
    """Rows of equal pods, and their keys; a hard spread over given zones has a row per zone."""
    members: dict[Row, list[tuple[PodClass, Key]]] = {}
    for group in waiting:
        kind = group.kind
        limit = most_per_node(kind)
        where = beside_volumes(kind, claims)
        # Pods that may be on a node only once keep their own row: a merged row would allow two.
        merged = alike(where) if limit == UNLIMITED else where
        shares = _shares(kind, zones) or ("",)
        free = not tied(kind) or (len(shares) > 1 and _shared_out(kind, shares, waiting))
        for index, zone in enumerate(shares):
            keys = group.keys[index :: len(shares)]
            pairs = members.setdefault(Row(merged, zone, limit, not free), [])
            pairs += [(kind, key) for key in keys]
    found = [dataclasses.replace(row, count=len(pairs)) for row, pairs in members.items() if pairs]
    return found, [pairs for pairs in members.values() if pairs]


def with_companions(waiting: Sequence[Waiting]) -> list[Waiting]:
    """The same tasks, and the companions of each of them: they need room on the nodes too."""
    found = list(waiting)
    for group in waiting:
        asked = group.kind.companions
        if asked is None or asked.problem:
            continue
        wanted, priority = group.kind.constraints, group.kind.priority
        for key in group.keys:
            keys = tuple((key[0], f"{key[1]}~{number}") for number in range(asked.count))
            kind = of_companions(key, wanted, priority, asked)
            found.append(Waiting(kind, keys, group.since))
    return found


def class_of(pod: Pod, rules: PlacementRules = FREELY) -> PodClass:
    """The class of a pod; it is a plain pod only without `rules` of our own kinds."""
    return PodClass(
        namespace=pod.namespace,
        request=pod.request,
        constraints=pod.constraints,
        labels=tuple(sorted(pod.labels.items())),
        priority=pod.priority,
        placement=rules,
        plain=rules == FREELY and (pod.owner is None or pod.owner.kind not in kinds.BY_NAME),
        companions=pod.companions,
    )


def alike(kind: PodClass) -> PodClass:
    """The key of a class: everything that decides which types it may use and what it takes."""
    wanted = kind.constraints
    constraints = Constraints(
        selector=wanted.selector,
        affinity=wanted.affinity,
        tolerations=wanted.tolerations,
    )
    own = tuple(one for one in kind.placement.constraints if one.node is not None)
    return PodClass(
        namespace="",
        request=kind.request,
        constraints=constraints,
        placement=PlacementRules(constraints=own),
        plain=kind.plain,
    )


def beside_volumes(kind: PodClass, claims: Claims) -> PodClass:
    """The class with the places of its volumes added to its node affinity."""
    wanted = kind.constraints.affinity
    for name in kind.constraints.claims:
        claim = claims.get((kind.namespace, name))
        if claim is not None and claim.zones:
            zoned = [(key, requirements.requirement("In", values)) for key, values in claim.zones]
            wanted = tuple(
                dataclasses.replace(one, labels=(*one.labels, *zoned))
                for one in ((requirements.Term(),) if wanted is None else wanted)
            )
        if claim is not None and claim.terms:
            wanted = tuple(
                requirements.Term(
                    one.labels + other.labels,
                    one.name & other.name,
                    never=one.never or other.never,
                )
                for one in ((requirements.Term(),) if wanted is None else wanted)
                for other in claim.terms
            )
    if not kind.constraints.claims:
        return kind
    constraints = dataclasses.replace(kind.constraints, affinity=wanted, claims=())
    return dataclasses.replace(kind, constraints=constraints)


def tied(kind: PodClass) -> bool:
    """Whether where its pods may be hangs on where others are."""
    return bool(_spreads(kind)) or _tied_otherwise(kind)


def _tied_otherwise(kind: PodClass) -> bool:
    """By more than even shares of its pods."""
    wanted = kind.constraints
    terms = (*wanted.pod_affinity, *wanted.pod_anti_affinity)
    if wanted.claims or wanted.disks:
        return True
    couplings = (one.coupling for one in kind.placement.constraints)
    if any(isinstance(one, AtMost | AllTogether) for one in couplings):
        return True
    return bool(wanted.host_ports) or any(not term.weight for term in terms)


def names_capacity_type(kind: PodClass) -> bool:
    """Whether its pods themselves say which capacity type their node may have."""
    wanted = kind.constraints
    asked = {key for key, _ in wanted.selector}
    asked.update(key for term in wanted.affinity or () for key, _ in term.labels)
    asked.update(one.label for one in kind.placement.constraints if one.node is not None)
    asked.update(one.key for one in wanted.tolerations)
    return CAPACITY_TYPE in asked


def _spreads(kind: PodClass) -> list[Spread]:
    """What its pods must be spread evenly over: by the template, and by its constraints."""
    stated = [spread for spread in kind.constraints.spread if spread.hard]
    return stated + [
        Spread(one.label, kind.placement.peers, min_domains=max(one.count, 1))
        for one in kind.placement.constraints
        if isinstance(one.coupling, EvenShares)
    ]


def _shared_out(kind: PodClass, zones: Sequence[str], waiting: Sequence[Waiting]) -> bool:
    """Whether equal shares per zone satisfy all its constraints between pods.

    That is so if its only such constraint is a spread over zones that counts no other pods.
    """
    spreads = _spreads(kind)
    if len(spreads) > 1 or _tied_otherwise(kind):
        return False
    selects = spreads[0].selector.matches
    others = [group for group in waiting if selects(dict(group.kind.labels))]
    return len(others) == 1 and spreads[0].min_domains <= len(zones)


class Shop:
    """What can be bought."""

    def __init__(
        self,
        menu: Sequence[Offer],
        zones: Sequence[str],
        daemonsets: Sequence[snapshot.DaemonSet],
        claims: Claims,
    ) -> None:
        self.menu, self.zones = menu, zones
        samples = [
            offer.node(f"{at} {offer.name} {zone}", zone)  # pools may offer the same type
            for at, offer in enumerate(menu)
            for zone in zones
        ]
        self.table = NodeTable(tuple(samples), 0)
        self.claims = claims
        # [types, zones]: where a type may be bought.
        self.sold = np.array(
            [[not offer.zones or zone in offer.zones for zone in zones] for offer in menu],
            dtype=np.bool_,
        ).reshape(len(menu), len(zones))
        self.on_request = np.array([offer.on_request for offer in menu], dtype=np.bool_)
        # [zone][type]: what a node has for the pods that are not residents.
        self.room = [[offer.room for offer in menu]] * len(zones)
        self.uniform = True  # one list for all zones, as long as no DaemonSet cares about them
        self.hopeless: list[snapshot.DaemonSet] = []  # no type has room for them where they go
        for daemonset in ordered(daemonsets):
            names = accepting(daemonset, self.table)
            open_ = np.array([node.name in names for node in samples], dtype=np.bool_)
            open_ = open_.reshape(self.sold.shape) & self.sold
            if self.uniform and not (open_ == open_[:, :1]).all():
                self.room = [list(self.room[0]) for _ in zones]
                self.uniform = False
            rooms = self.room[:1] if self.uniform else self.room
            kept = [
                self._keep(daemonset, room, np.flatnonzero(open_[:, zone]).tolist())
                for zone, room in enumerate(rooms)
            ]
            if open_.any() and not any(kept):
                self.hopeless.append(daemonset)

    @staticmethod
    def _keep(
        daemonset: snapshot.DaemonSet, room: list[resources.Vector], here: Sequence[int]
    ) -> bool:
        """Keep room for a DaemonSet on the types of a zone to which it comes; whether any has it.

        Types on which it has no room are not bought, as long as there are others.
        """
        fitting = {at for at in here if daemonset.request.fits(room[at])}
        for at in here if fitting else ():
            room[at] = room[at] - daemonset.request if at in fitting else resources.NOTHING
        return bool(fitting)

    def places(self, wanted: Sequence[Row]) -> list[tuple[Offer, str]]:
        """What can be bought: types, in each zone where any row or DaemonSet cares about zones."""
        care = (
            not self.uniform
            or any(row.zone for row in wanted)
            or any(not (mask == mask[:, :1]).all() for mask in map(self._open, wanted))
        )
        if not care:
            return [(offer, "") for offer in self.menu]
        return [
            (offer, zone)
            for offer, row in zip(self.menu, self.sold, strict=True)
            for zone, sold in zip(self.zones, row, strict=True)
            if sold
        ]

    def problem(self, wanted: Sequence[Row], places: Sequence[tuple[Offer, str]]) -> Problem:
        # CPU and memory always: rivals score by them even if no pod requests them.
        asked = {name for row in wanted for name in row.kind.request}
        columns = sorted(asked | {resources.CPU, resources.MEMORY})
        index = {offer: at for at, offer in enumerate(self.menu)}
        types = [index[offer] for offer, _ in places]
        zones = [self.zones.index(zone) if zone else 0 for _, zone in places]
        eligible = [self._open(row)[types, zones] for row in wanted]
        return Problem.of(
            demand=np.array([row.count for row in wanted], dtype=np.int64),
            request=_matrix([row.kind.request for row in wanted], columns),
            capacity=np.maximum(
                _matrix(
                    [self.room[zone][at] for at, zone in zip(types, zones, strict=True)], columns
                ),
                0,
            ),
            price=np.array([offer.price for offer, _ in places], dtype=np.int64),
            eligible=np.array(eligible, dtype=np.bool_),
            per_node=np.array([row.per_node for row in wanted], dtype=np.int64),
            columns=columns,
        )

    def more(self, kind: PodClass, count: int) -> list[tuple[Offer, str]]:
        """Nodes in each zone: of the type that holds that many pods of a class for the least there.

        A zone in which no type holds one gets none.
        """
        fits = self._holds(Row(kind, per_node=most_per_node(kind), count=count))
        nodes = -(-count // np.maximum(fits, 1))
        price = np.array([[offer.price] for offer in self.menu], dtype=np.float64)
        cost = np.where(fits > 0, price * nodes, np.inf)
        found: list[tuple[Offer, str]] = []
        for column, zone in enumerate(self.zones):
            if fits[:, column].any():
                best = int(np.argmin(cost[:, column]))
                found += [(self.menu[best], zone)] * int(nodes[best, column])
        return found

    def holds(self, kind: PodClass) -> bool:
        """Whether any type, in any zone, takes one pod of a class."""
        return bool(self._holds(Row(kind)).any())

    def holder(self, total: resources.Vector, kinds: Iterable[PodClass], zone: str) -> Offer | None:
        """The cheapest type with that much room which takes all these classes in a zone."""
        return next(iter(self.holders(total, kinds, zone)), None)

    def holders(self, total: resources.Vector, kinds: Iterable[PodClass], zone: str) -> list[Offer]:
        """The types with that much room which take all these classes, the cheapest first.

        They take them in this zone; if `zone` is empty, in any one zone.
        """
        open_ = np.ones(self.sold.shape, dtype=np.bool_)
        for kind in kinds:
            open_ &= self._open(Row(kind))
        columns = [self.zones.index(zone)] if zone else range(len(self.zones))
        fitting = [
            offer
            for at, offer in enumerate(self.menu)
            if any(open_[at, column] and total.fits(self.room[column][at]) for column in columns)
        ]
        return sorted(fitting, key=lambda offer: (offer.price, offer.name))

    def _holds(self, row: Row) -> IntMatrix:
        """[types, zones]: how many pods of a row one node holds."""
        mask = self._open(row)
        columns = sorted(row.kind.request)
        request = np.array([row.kind.request.amount(name) for name in columns], dtype=np.int64)
        each = [
            (np.maximum(_matrix(room, columns), 0) // request).min(axis=1)
            for room in (self.room[:1] if self.uniform else self.room)
        ]
        held: IntMatrix = np.minimum(np.stack(each, axis=1) * mask, row.per_node)
        return held

    def _open(self, row: Row) -> BoolMatrix:
        """[types, zones]: where pods of a row may be."""
        kind = beside_volumes(row.kind, self.claims)
        mask = filters.of_nodes(kind, self.table).open.reshape(self.sold.shape) & self.sold
        if self.on_request.any() and not names_capacity_type(kind):
            mask = mask & ~self.on_request[:, None]
        if row.zone:
            mask = mask & (np.array(self.zones) == row.zone)
        return mask


def _shares(kind: PodClass, zones: Sequence[str]) -> Sequence[str]:
    """The zones that have a share of its pods each; none where nothing spreads them over zones."""
    labels = dict(kind.labels)
    over = (one for one in _spreads(kind) if one.topology_key == ZONE)
    if not any(one.selector.matches(labels) for one in over):
        return ()
    most = len(zones)
    for one in kind.placement.constraints:
        accepts = one.accepts() if one.label == ZONE else None
        if accepts is not None:
            zones = [zone for zone in zones if accepts(zone)]
        elif one.label == ZONE and isinstance(one.coupling, EvenShares):
            most = min(most, one.count or most)  # so many zones and no more
    return zones[:most]


def most_per_node(kind: PodClass) -> int:
    """How many pods of a class a node may hold because of constraints between its own pods."""
    labels = dict(kind.labels)
    apart = any(
        not term.weight
        and term.topology_key == HOSTNAME
        and term.selector.matches(labels)
        and (
            term.all_namespaces
            or term.namespace_selector is not None  # unknown here which namespaces it selects
            or kind.namespace in (term.namespaces or {kind.namespace})
        )
        for term in kind.constraints.pod_anti_affinity
    )
    alone = any(disk.collides(disk) for disk in kind.constraints.disks)
    if apart or alone or kind.constraints.host_ports:
        return 1
    caps = (
        one.count
        for one in kind.placement.constraints
        if isinstance(one.coupling, AtMost) and one.label == HOSTNAME
    )
    return min(caps, default=UNLIMITED)


def _matrix(vectors: Sequence[resources.Vector], columns: Sequence[str]) -> IntMatrix:
    lines = [[vector.amount(column) for column in columns] for vector in vectors]
    return np.array(lines, dtype=np.int64).reshape(len(vectors), len(columns))
