"""Instances of Auto Scaling groups in the form of claims, which the rest of a Pool works with."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bayplan.api.names import POOL
from bayplan.model.groups import Group, Instance
from bayplan.model.intents import RetireNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Node, Taint
from bayplan.reconcile.pool.retirement import JOINING_SECONDS

_PASSING = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")  # go once it is ready


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of an instance: its claim's name, since when, whether it ever was ready.

    `going`: its end is decided.
    """

    name: str
    since: int  # epoch seconds
    ready: bool = False
    going: bool = False


def requested(name: str, pool: str, group: Group, since: int) -> NodeClaim:
    """An instance that is ordered."""
    kind, zone, capacity_type = group.offering
    return NodeClaim(
        name,
        uid=name,
        pool=pool,
        types=(kind,),
        zones=(zone,),
        capacity_types=(capacity_type,),
        labels={POOL: pool},
        created_at=since,
        group=group.name,
    )


def launched(
    instance: Instance, known: Known, pool: str, group: Group, node: Node | None
) -> NodeClaim:
    """An instance that there is, with its node if that has joined."""
    kind, zone, capacity_type = group.offering
    return NodeClaim(
        known.name,
        uid=instance.id,
        pool=pool,
        types=(kind,),
        zones=(zone,),
        capacity_types=(capacity_type,),
        labels={POOL: pool, INSTANCE_TYPE: kind, ZONE: zone, CAPACITY_TYPE: capacity_type},
        created_at=known.since,
        provider_id=instance.provider_id,
        node=node.name if node is not None else "",
        registered=node is not None,
        initialized=known.ready,
        deleting=known.going or instance.going,
        group=group.name,
    )


def is_ready(node: Node | None) -> bool:
    """Whether a node that joins is complete: Kubernetes has taken its own taints off."""
    return node is not None and node.ready and not any(map(_passes, node.taints))


def _passes(taint: Taint) -> bool:
    return taint.key.startswith(_PASSING)


def unjoined(claims: Iterable[NodeClaim], now: int) -> list[RetireNode]:
    """Ends of instances that have become no node for so long that they never will."""
    return [
        RetireNode(claim.name, claim.uid, f"no node after {JOINING_SECONDS} s")
        for claim in claims
        if claim.group
        and claim.provider_id
        and not (claim.registered or claim.deleting)
        and now - claim.created_at >= JOINING_SECONDS
    ]


def chosen(
    types: Collection[str],
    zones: Collection[str],
    capacity_type: str,
    groups: Iterable[Group],
    *,
    open_: Mapping[str, int],
) -> Group | None:
    """The group for an order: the first of its types, where the most instances may still come.

    `open_` is how many more each group may have.
    """
    rank = {kind: at for at, kind in enumerate(types)}
    able = [
        group
        for group in groups
        if open_.get(group.name, 0) > 0
        and group.types[0] in rank
        and group.offering[2] == capacity_type
        and (not zones or group.zones[0] in zones)
    ]
    return min(
        able,
        key=lambda one: (rank[one.types[0]], -open_[one.name], one.name),
        default=None,
    )
