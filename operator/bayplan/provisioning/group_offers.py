"""The offers of Auto Scaling groups: each fit group sells one type in one zone."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from bayplan.api.names import POOL
from bayplan.cloud import allocatable, catalogue
from bayplan.cloud.prices import Book, Market
from bayplan.model.groups import Group
from bayplan.model.nodes import Node, Taint
from bayplan.model.resources import Vector
from bayplan.provisioning.offerings import Offer


def group_offers(
    pool: str, groups: Sequence[Group], rooms: Mapping[str, Vector], book: Book, market: Market
) -> list[Offer]:
    """An offer for each of these groups, which are fit; `rooms` are those of `rooms_of`.

    Before a group has had a node, the catalogue says what pods can use. The labels are those of the
    group's tags: nodes of a group lack the labels that Karpenter sets. Spot without a known price
    costs as much as on demand; beside groups on demand it is only for pods that name their capacity
    type.
    """
    both = any(group.spot for group in groups) and not all(group.spot for group in groups)
    made = (_offer(pool, group, rooms.get(group.name), book, market) for group in groups)
    return [dataclasses.replace(offer, on_request=offer.spot and both) for offer in made]


def pool_taints(pool: str, group: Group) -> tuple[Taint, ...]:
    """The taints of a node of the group from its start: those of its tags, and that of its Pool."""
    return tuple(dict.fromkeys((*group.taints, Taint(POOL, pool, "NoSchedule"))))


def rooms_of(groups: Iterable[Group], nodes: Mapping[str, Node]) -> dict[str, Vector]:
    """What pods can use of the newest complete node of each group; `nodes` are by provider id."""
    found = {}
    for group in groups:
        there = (nodes.get(one.provider_id) for one in group.instances)
        ready = [node for node in there if node is not None and node.ready and node.allocatable]
        if ready:
            newest = max(ready, key=lambda node: (node.created_at, node.name))
            found[group.name] = newest.allocatable
    return found


def _offer(pool: str, group: Group, seen: Vector | None, book: Book, market: Market) -> Offer:
    kind, zone, _ = group.offering
    known = catalogue.load()[kind]
    spot = market.spot.get((kind, zone)) if group.spot else None
    price = spot or book.of(known)
    return Offer(
        name=kind,
        arch=known.arch,
        room=Vector(allocatable.eks_allocatable(known)) if seen is None else seen,
        price=price.microdollars_per_hour,
        source=f"{price.source}, spot" if spot is not None else price.source,
        spot=bool(group.spot),
        labels=tuple(sorted({**group.labels, POOL: pool}.items())),
        taints=pool_taints(pool, group),
        zones=(zone,),
        learnt=seen is not None,
        bare=True,
    )
