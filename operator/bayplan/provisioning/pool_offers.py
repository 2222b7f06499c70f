"""What NodePools of Karpenter may buy: the types, zones and capacity types that they allow."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bayplan.cloud import allocatable, catalogue, prices
from bayplan.cloud.instance_labels import AWS, KEYS, KWOK, labels_of
from bayplan.cloud.node_pools import ON_DEMAND, SPOT, NodeClass, NodePool
from bayplan.model import resources
from bayplan.model.nodes import CAPACITY_TYPE, REGION, ZONE
from bayplan.model.requirements import ANYTHING
from bayplan.provisioning.offerings import Offer, SpotPrices, sold_as_spot

# Labels that an offer's own zone and capacity type say.
_OF_THE_PLACE = frozenset({ZONE, REGION, CAPACITY_TYPE})
_NOBODYS = NodeClass()


@dataclasses.dataclass(frozen=True, slots=True)
class PoolOffers:
    """`offers` is the menu; `notes` says what of the pools could not be followed."""

    offers: tuple[Offer, ...] = ()
    notes: tuple[str, ...] = ()


def pool_offers(
    pools: Sequence[NodePool],
    classes: Mapping[tuple[str, str], NodeClass],
    book: prices.Book,
    zones: Sequence[str],
    spot: SpotPrices | None = None,
) -> PoolOffers:
    """The menu of these pools in these zones.

    `classes` are the node classes that are known, by kind and name. With `spot` prices a pool that
    allows spot offers it too, each type at the price of its dearest zone. Without, a pool that
    allows spot alone is offered at the prices on demand, which a note says.
    """
    found: list[Offer] = []
    notes: list[str] = []
    for pool in pools:
        notes += _unknown(pool)
        shape = classes.get(pool.node_class, _NOBODYS)
        allowed = tuple(zone for zone in zones if pool.allows(_place(zone), (ZONE, REGION)))
        made = [_offer(one, pool, shape, book, allowed) for one in _types(pool)]
        if not allowed or not made:
            what = "zones" if not allowed else "instance types"
            notes.append(f"NodePool {pool.name}: none of the known {what} is allowed by it")
            continue
        if ON_DEMAND in pool.capacity_types:
            found += made
        if SPOT in pool.capacity_types:
            sold = sold_as_spot(made, spot or {}, allowed)
            found += sold
            if not sold and ON_DEMAND not in pool.capacity_types:
                notes.append(
                    f"NodePool {pool.name} buys spot alone: planned at the prices on demand, since "
                    "no spot price is known"
                )
                found += [dataclasses.replace(offer, spot=True) for offer in made]
    return PoolOffers(tuple(found), tuple(notes))


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


def _unknown(pool: NodePool) -> list[str]:
    """Requirements that nothing here can follow; custom labels are set by the pool itself."""
    of_type = (key for key in pool.requirements if key.startswith((f"{AWS}/", f"{KWOK}/")))
    lost = sorted(key for key in of_type if key not in KEYS)
    return [f"NodePool {pool.name}: the requirement on {key} is not looked at" for key in lost]


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
