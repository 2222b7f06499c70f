"""The offers of Karpenter's NodePools: the types, zones and capacity types that they allow."""

import dataclasses
import functools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bayplan.cloud import allocatable, catalogue, prices
from bayplan.cloud.instance_labels import KEYS, labels_of
from bayplan.cloud.node_pools import ON_DEMAND, SPOT, NodeClass, NodePool
from bayplan.cloud.prices import Offering
from bayplan.model import resources
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import CAPACITY_TYPE, REGION, ZONE
from bayplan.model.requirements import ANYTHING, NOTHING
from bayplan.provisioning.offerings import Offer, SpotPrices, zones_in

# Labels that come from an offer's own zone and capacity type.
_OF_THE_PLACE = frozenset({ZONE, REGION, CAPACITY_TYPE})
_NOBODYS = NodeClass()
_FOLLOWED = KEYS | _OF_THE_PLACE | {NODE_POOL}
_PROVIDERS = ("karpenter", "k8s.aws", "eks.amazonaws.com")  # parts of their labels' domains


@dataclasses.dataclass(frozen=True, slots=True)
class PoolOffers:
    """The `offers` of pools, and `notes` on requirements that could not be followed."""

    offers: tuple[Offer, ...] = ()
    notes: tuple[str, ...] = ()


def pool_offers(
    pools: Sequence[NodePool],
    classes: Mapping[tuple[str, str], NodeClass],
    book: prices.Book,
    zones: Sequence[str],
    *,
    spot: SpotPrices | None = None,
    there: Collection[Offering] | None = None,
) -> PoolOffers:
    """The offers of these pools in these zones; of those that are `there`, if that is known.

    `classes` are the known node classes, by kind and name. With `spot` prices a pool that allows
    spot offers it too, each type at its price in each zone. Without these prices a pool that allows
    only spot is offered at the prices on demand, and a note says so.
    """
    found: list[Offer] = []
    notes: list[str] = []
    for pool in pools:
        shape = classes.get(pool.node_class, _NOBODYS)
        notes += _unread(pool, shape)
        if any(wanted == NOTHING for wanted in pool.requirements.values()):
            notes.append(f"NodePool {pool.name} allows no node: its requirements contradict")
            continue
        allowed = tuple(zone for zone in zones if pool.allows(_place(zone), (ZONE, REGION)))
        types = _types(pool)
        priced = [one for one in types if not _guessed(one, book)]
        if len(priced) < len(types):
            notes.append(
                f"NodePool {pool.name}: {len(types) - len(priced)} burstable types are left out, "
                "since no price is known of them; --prices, --aws-prices or --karpenter-metrics"
            )
        made = [_offer(one, pool, shape, book, allowed) for one in priced]
        if not allowed or not made:
            what = "zones" if not allowed else "instance types"
            notes.append(f"NodePool {pool.name} allows none of the known {what}")
            continue
        if ON_DEMAND in pool.capacity_types:
            found += _sold(made, ON_DEMAND, there)
        if SPOT in pool.capacity_types:
            sold = _by_zone(made, spot or {})
            if not sold and ON_DEMAND not in pool.capacity_types:
                notes.append(
                    f"NodePool {pool.name} buys only spot: planned at the prices on demand, "
                    "because no spot price is known"
                )
                sold = [dataclasses.replace(offer, spot=True) for offer in made]
            found += _sold(sold, SPOT, there)
        if not pool.capacity_types:
            notes.append(
                f"NodePool {pool.name} allows neither on-demand nor spot: nothing is bought"
            )
    return PoolOffers(tuple(found), tuple(notes))


def _by_zone(offers: Iterable[Offer], known: SpotPrices) -> list[Offer]:
    """Each offer as spot, in those of its zones for which a price is known."""
    return [
        dataclasses.replace(
            offer,
            price=price.microdollars_per_hour,
            source=f"{price.source}, spot",
            spot=True,
            zones=(zone,),
        )
        for offer in offers
        for zone in offer.zones
        if (price := known.get((offer.name, zone))) is not None
    ]


def _sold(
    offers: Iterable[Offer], capacity_type: str, there: Collection[Offering] | None
) -> Iterator[Offer]:
    """Each offer in the zones where it can be had; an offer without such a zone is left out."""
    for offer in offers:
        zones = tuple(
            zone
            for zone in offer.zones
            if there is None or (offer.name, zone, capacity_type) in there
        )
        if zones:
            yield dataclasses.replace(offer, zones=zones)


def zones_wanted(pools: Iterable[NodePool]) -> tuple[str, ...]:
    """The zones that the pools name."""
    named: set[str] = set()
    for pool in pools:
        wanted = pool.requirements.get(ZONE, ANYTHING)
        named |= set() if wanted.complement else wanted.values
    return tuple(sorted(named))


def zones_of(
    pools: Sequence[NodePool], there: Sequence[str], otherwise: Sequence[str]
) -> tuple[str, ...]:
    """Where the pools may make nodes: zones that they name, and where nodes are already.

    For a pool that names none, without a node: the region of the others, else `otherwise`.
    """
    named = {*zones_wanted(pools), *there}
    if named and not there and any(not zones_wanted([pool]) for pool in pools):
        named.update(zones_in(_place(min(named))[REGION]))
    return tuple(sorted(named or otherwise))


def _place(zone: str) -> dict[str, str]:
    return {ZONE: zone, REGION: zone.rstrip("abcdefghijklmnopqrstuvwxyz")}


def _types(pool: NodePool) -> list[catalogue.InstanceType]:
    keys = pool.requirements.keys() & KEYS
    return [one for one, labels in _labelled() if pool.allows(labels, keys)]


@functools.cache
def _labelled() -> tuple[tuple[catalogue.InstanceType, Mapping[str, str]], ...]:
    """All types with the labels of their nodes: a menu is made whenever something changes."""
    return tuple((one, labels_of(one)) for one in catalogue.load().values())


def _guessed(one: catalogue.InstanceType, book: prices.Book) -> bool:
    """Whether only the model prices a burstable type: the model gives half of AWS's price."""
    return one.burstable and book.of(one).source == prices.MODEL_SOURCE


def _unread(pool: NodePool, shape: NodeClass) -> Iterator[str]:
    """What of the pool and its class is not looked at, although it bounds what can be bought."""
    name = f"NodePool {pool.name}"
    for key in sorted(pool.requirements):
        wanted = pool.requirements[key]
        if key in _FOLLOWED:
            continue
        if any(part in key.partition("/")[0] for part in _PROVIDERS):
            yield f"{name}: the requirement on {key} is ignored"
        elif len(wanted.values) > 1 and not wanted.complement:
            yield f"{name}: nodes are planned without {key}, which may have several values"
    if pool.unread:
        yield f"{name}: {', '.join(pool.unread)} ignored"
    if shape.unread:
        yield f"{name}: kubelet.{', kubelet.'.join(shape.unread)} of its class ignored"


def _offer(
    one: catalogue.InstanceType,
    pool: NodePool,
    shape: NodeClass,
    book: prices.Book,
    zones: tuple[str, ...],
) -> Offer:
    disk = allocatable.ROOT_VOLUME_BYTES if shape.disk_bytes is None else shape.disk_bytes
    room = allocatable.eks_allocatable(one, shape.max_pods, root_volume_bytes=disk)
    price = book.of(one)
    single = {
        key: next(iter(wanted.values))
        for key, wanted in pool.requirements.items()
        if key not in _OF_THE_PLACE and not wanted.complement and len(wanted.values) == 1
    }
    labels = {**single, **labels_of(one), **pool.labels}
    return Offer(
        name=one.name,
        arch=one.arch,
        room=resources.Vector(room),
        price=price.microdollars_per_hour,
        source=price.source,
        labels=tuple(sorted(labels.items())),
        taints=pool.taints,
        zones=zones,
    )
