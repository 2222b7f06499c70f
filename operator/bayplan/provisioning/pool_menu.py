"""What the Pools may buy now: the offers of their NodePools, as far as they can be had."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence

from bayplan.api import names
from bayplan.cloud.node_pools import INITIALIZED, ON_DEMAND, SPOT, NodeClass, NodePool
from bayplan.cloud.prices import Book, Market, Offering
from bayplan.model import resources
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import INSTANCE_TYPE, Node
from bayplan.model.snapshot import DaemonSet
from bayplan.placement.daemonsets import accepting, ordered
from bayplan.placement.node_table import NodeTable
from bayplan.provisioning import pool_offers
from bayplan.provisioning.offerings import Offer

Rooms = Mapping[tuple[str, str], resources.Vector]  # (NodePool, instance type) -> allocatable


@dataclasses.dataclass(frozen=True, slots=True)
class Menu:
    """The `offers` of all Pools in these `zones`; `notes` say what could not be followed."""

    offers: tuple[Offer, ...] = ()
    zones: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def menu(
    pools: Mapping[str, NodePool],
    classes: Mapping[tuple[str, str], NodeClass],
    market: Market,
    book: Book,
    *,
    closed: Mapping[str, Collection[Offering]],
    rooms: Rooms,
    zones: Sequence[str],
) -> Menu:
    """The menu of these `pools`, by the name of the Pool; of equal offers the first is bought.

    `closed` are offerings, by Pool, that were refused lately. `rooms` is what real nodes have.
    `zones` are those of `zones_of`. Spot is offered only for pods that name their capacity type,
    except by a NodePool that has nothing else.
    """
    found: list[Offer] = []
    notes: list[str] = []
    for name, pool in pools.items():
        made = pool_offers.pool_offers(
            [pool], classes, book, zones, spot=market.spot, there=market.there
        )
        notes += made.notes
        both = {ON_DEMAND, SPOT} <= set(pool.capacity_types)
        found += open_(
            (_of_pool(offer, name, rooms, both=both) for offer in made.offers),
            closed.get(name, ()),
        )
    return Menu(tuple(found), tuple(zones), tuple(notes))


def zones_of(
    market: Market, pools: Iterable[NodePool], zones_there: Sequence[str]
) -> tuple[str, ...]:
    """Where nodes may be: as the market says, else where the pools and the nodes say."""
    sold = market.zones or {zone for _, zone, _ in market.there or ()}
    return tuple(sorted(sold)) or pool_offers.zones_of(list(pools), zones_there, ())


def _of_pool(offer: Offer, pool: str, rooms: Rooms, *, both: bool) -> Offer:
    labels = {**dict(offer.labels), names.POOL: pool}
    seen = rooms.get((labels[NODE_POOL], offer.name))
    return dataclasses.replace(
        offer,
        labels=tuple(sorted(labels.items())),
        room=seen if seen is not None else offer.room,
        learnt=seen is not None,
        on_request=offer.spot and both,
    )


def beside(offers: Sequence[Offer], services: Sequence[DaemonSet]) -> tuple[Offer, ...]:
    """The offers with the room that is left beside services that have an instance on each node.

    Such an instance may come before the pods for which the node is bought.
    """
    if not services:
        return tuple(offers)
    nodes = (offer.node(f"{at}", next(iter(offer.zones), "")) for at, offer in enumerate(offers))
    table, found = NodeTable(tuple(nodes), 0), list(offers)
    for service in ordered(services):
        for at in map(int, accepting(service, table)):
            room = found[at].room
            if service.request.fits(room):
                left = room - service.request
                found[at] = dataclasses.replace(found[at], room=left, learnt=True)
    return tuple(found)


def open_(offers: Iterable[Offer], closed: Collection[Offering]) -> Iterable[Offer]:
    """Each offer in the zones where it is not `closed`; an offer without one is left out."""
    for offer in offers:
        capacity = SPOT if offer.spot else ON_DEMAND
        zones = tuple(zone for zone in offer.zones if (offer.name, zone, capacity) not in closed)
        if zones:
            yield dataclasses.replace(offer, zones=zones)


def rooms_of(nodes: Iterable[Node]) -> dict[tuple[str, str], resources.Vector]:
    """What nodes have of each type in each NodePool: the least that any such node has.

    Nodes of which Karpenter does not say that they are complete have no devices yet.
    """
    found: dict[tuple[str, str], resources.Vector] = {}
    for node in nodes:
        at = node.labels.get(NODE_POOL, ""), node.labels.get(INSTANCE_TYPE, "")
        complete = node.ready and node.labels.get(INITIALIZED) == "true"
        if not (all(at) and complete and node.allocatable):
            continue
        known = found.get(at, node.allocatable)
        found[at] = node.allocatable if known == node.allocatable else known & node.allocatable
    return found
