"""The limits of a Pool and of its NodePool, with how much of each is in use."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from bayplan.api import names
from bayplan.api.pool_resource import PoolResource
from bayplan.cloud import catalogue
from bayplan.model import resources
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import INSTANCE_TYPE, Node
from bayplan.model.untyped import mapping, sequence
from bayplan.reconcile.pool import limits
from bayplan.reconcile.pool.limits import Limit, Load

Body = Mapping[str, Any]


def used(
    pool: PoolResource, node_pool: Body | None, claims: Iterable[Body], nodes: Sequence[Node]
) -> list[dict[str, Any]]:
    """Whose limit it is, on what, how much at most, and how much is in use.

    A NodeClaim without a node counts as the largest that it may become. The dollars in use are
    those of the status.
    """
    if pool.spec is None:
        return []
    spec = pool.spec
    loads = [*map(_of_node, nodes), *_under_way(pool.name, pool.node_pool, claims, nodes)]
    told = pool.status.get("dollarsPerHour")
    paid = int(Decimal(told) * 1_000_000) if isinstance(told, str) else 0
    total = limits.total((*loads, Load(microdollars=paid)))
    bounds = mapping(mapping(mapping(node_pool).get("spec")).get("limits"))
    return [_row(one) for one in limits.room(spec.limits, bounds, total).limits]


def _row(limit: Limit) -> dict[str, Any]:
    most, there = (text.removeprefix("$") for text in limit.texts)
    return {"whose": limit.whose, "what": limit.what, "most": most, "used": there}


def _under_way(
    pool: str, referred: str, claims: Iterable[Body], nodes: Sequence[Node]
) -> Iterator[Load]:
    there = {node.name for node in nodes}
    for claim in claims:
        labels = mapping(mapping(claim.get("metadata")).get("labels"))
        named = labels.get(names.POOL)
        ours = named == pool or (named is None and labels.get(NODE_POOL) == referred != "")
        if ours and mapping(claim.get("status")).get("nodeName") not in there:
            yield _of_claim(claim, str(labels.get(INSTANCE_TYPE) or ""))


def _of_claim(claim: Body, got: str) -> Load:
    """What a claim counts that has no node yet; `got` is the type of its instance, if any."""
    asked = [
        str(value)
        for one in map(mapping, sequence(mapping(claim.get("spec")).get("requirements")))
        if one.get("key") == INSTANCE_TYPE
        for value in sequence(one.get("values"))
    ]
    return limits.largest(map(_of_type, [got] if got else asked or [""]))


def _of_node(node: Node) -> Load:
    return Load(1, node.allocatable) | _of_type(node.labels.get(INSTANCE_TYPE, ""))


def _of_type(kind: str) -> Load:
    """The whole capacity of a type; of an unknown type only the node itself."""
    known = catalogue.load().get(kind)
    if known is None:
        return Load(1)
    return Load(1, resources.Vector(known.capacity))
