"""The offers of Karpenter's NodePools: the types, zones and capacity types that they allow."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from bayplan.cloud import allocatable, catalogue, prices
from bayplan.cloud.instance_labels import AWS, KEYS, KWOK, labels_of
from bayplan.cloud.node_pools import ON_DEMAND, SPOT, NodeClass, NodePool
from bayplan.cloud.prices import Offering
from bayplan.model import resources
from bayplan.model.nodes import CAPACITY_TYPE, REGION, ZONE
from bayplan.model.requirements import ANYTHING
from bayplan.provisioning.offerings import Offer, SpotPrices

# Labels that come from an offer's own zone and capacity type.
_OF_THE_PLACE = frozenset({ZONE, REGION, CAPACITY_TYPE})
_NOBODYS = NodeClass()


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
    sold_out: Collection[Offering] = frozenset(),
) -> PoolOffers:
    """The offers of these pools in these zones, without offers that are sold out.

    `classes` are the known node classes, by kind and name. With `spot` prices a pool that allows
    spot offers it too, each type at its price in each zone. Without these prices a pool that allows
    only spot is offered at the prices on demand, and a note says so.
    """
    found: list[Offer] = []
    notes: list[str] = []
    for pool in pools:
        notes += _unknown(pool)
        shape = classes.get(pool.node_class, _NOBODYS)
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
            found += _there(made, ON_DEMAND, sold_out)
        if SPOT in pool.capacity_types:
            sold = _by_zone(made, spot or {})
            if not sold and ON_DEMAND not in pool.capacity_types:
                notes.append(
                    f"NodePool {pool.name} buys only spot: planned at the prices on demand, "
                    "because no spot price is known"
                )
                sold = [dataclasses.replace(offer, spot=True) for offer in made]
            found += _there(sold, SPOT, sold_out)
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


def _there(
    offers: Iterable[Offer], capacity_type: str, sold_out: Collection[Offering]
) -> Iterator[Offer]:
    """Each offer in the zones where it is not sold out; offers without such a zone are left out."""
    for offer in offers:
        zones = tuple(
            zone for zone in offer.zones if (offer.name, zone, capacity_type) not in sold_out
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


def _place(zone: str) -> dict[str, str]:
    return {ZONE: zone, REGION: zone.rstrip("abcdefghijklmnopqrstuvwxyz")}


def _types(pool: NodePool) -> list[catalogue.InstanceType]:
    keys = pool.requirements.keys() & KEYS
    return [one for one in catalogue.load().values() if pool.allows(labels_of(one), keys)]


def _guessed(one: catalogue.InstanceType, book: prices.Book) -> bool:
    """Whether only the model prices a burstable type: the model gives half of AWS's price."""
    return one.burstable and book.of(one).source == prices.MODEL_SOURCE


def _unknown(pool: NodePool) -> list[str]:
    """Notes on requirements that cannot be followed here; the pool itself sets custom labels."""
    of_type = (key for key in pool.requirements if key.startswith((f"{AWS}/", f"{KWOK}/")))
    lost = sorted(key for key in of_type if key not in KEYS)
    return [f"NodePool {pool.name}: the requirement on {key} is ignored" for key in lost]


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
