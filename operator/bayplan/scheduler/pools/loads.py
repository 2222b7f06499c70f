"""What orders, and the nodes and claims of a Pool, count against its limits."""

from bayplan.cloud import catalogue
from bayplan.cluster.cache import Cache
from bayplan.model import resources
from bayplan.model.nodes import INSTANCE_TYPE
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Order
from bayplan.provisioning.prices import price_of
from bayplan.reconcile.pool.limits import Load, largest, total
from bayplan.reconcile.pool.states import Row, rows
from bayplan.scheduler.pools.menus import Menus

_ANY = Load(1)


def counted(cache: Cache, pool: str, node_pool: str, menus: Menus) -> Load:
    """Everything that a Pool has through this NodePool, and what is leaving too.

    A claim without an instance counts as the largest and dearest that it may become.
    """
    found = rows(pool, node_pool, cache.pools.claims.values(), cache.state.nodes.values())
    return total(_of_row(row, pool, menus) for row in found)


def of_order(order: Order, menus: Menus) -> Load:
    """The most that an order can come to."""
    return largest(_of_type(kind, order.pool, menus) for kind in order.types)


def of_offer(offer: Offer, menus: Menus) -> Load:
    """What a node of an offer counts."""
    return _of_type(offer.name, offer.pool, menus)


def _of_row(row: Row, pool: str, menus: Menus) -> Load:
    claim, node = row.claim, row.node
    if node is not None:
        known = _of_type(node.labels.get(INSTANCE_TYPE, ""), pool, menus)
        own = node.price_microdollars
        price = own if own is not None else known.microdollars or price_of(node) or 0
        return Load(1, known.capacity | node.allocatable, price)
    if claim is None:
        return _ANY
    kinds = (claim.got[0],) if claim.got is not None else claim.types
    return largest((_ANY, *(_of_type(kind, pool, menus) for kind in kinds)))


def _of_type(kind: str, pool: str, menus: Menus) -> Load:
    """What a node of a type counts; of an unknown type only the node itself."""
    known = catalogue.load().get(kind)
    if known is None:
        return _ANY
    offer = menus.everything.get((pool, kind))
    return Load(1, resources.Vector(known.capacity), offer.price if offer is not None else 0)
