"""What the nodes and claims of a Pool count against its limits."""

from collections.abc import Callable, Collection, Iterable

from bayplan.model.node_claims import NodeClaim, Offering
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Node
from bayplan.reconcile.pool.limits import Load, largest, total
from bayplan.reconcile.pool.refusals import offerings_of
from bayplan.reconcile.pool.states import Row

LoadOf = Callable[[Offering], Load | None]  # of one node; None if the type is not known


def footprint(rows: Iterable[Row], menu: Collection[Offering], load_of: LoadOf) -> Load:
    """What the rows count together, those that are leaving included: they cost until they are gone.

    A claim without an instance counts as the largest and dearest that it may become. `load_of`
    tells what a node of an offering counts; its zone may be empty where the claim names none.
    """
    known: dict[tuple[tuple[str, ...], ...], Load] = {}

    def waiting(claim: NodeClaim) -> Load:
        shape = claim.types, claim.zones, claim.capacity_types
        if shape not in known:
            accepted = offerings_of(claim, menu) or {(kind, "", "") for kind in claim.types}
            loads = [load for each in accepted if (load := load_of(each)) is not None]
            known[shape] = largest(loads) if loads else Load(1)
        return known[shape]

    return total(_one(row, load_of, waiting) for row in rows)


def _one(row: Row, load_of: LoadOf, waiting: Callable[[NodeClaim], Load]) -> Load:
    claim, node = row.claim, row.node
    got = _offering(node) if node is not None else None
    if got is None and claim is not None:
        if claim.got is None:
            return waiting(claim)
        got = claim.got
    load = load_of(got) if got is not None else None
    if load is not None:
        return load
    if node is not None:
        return Load(1, node.allocatable, node.price_microdollars or 0)
    return Load(1) if claim is None else Load(1, claim.allocatable)


def _offering(node: Node) -> Offering | None:
    kind = node.labels.get(INSTANCE_TYPE, "")
    zone, capacity_type = (node.labels.get(key, "") for key in (ZONE, CAPACITY_TYPE))
    return (kind, zone, capacity_type) if kind else None
