"""What keeps a Pool that consolidates from giving nodes back, and what that costs an hour."""

from collections.abc import Iterable, Iterator, Mapping

from bayplan.api.pool_resource import PoolResource
from bayplan.model.budgets import Budget
from bayplan.model.nodes import Node
from bayplan.model.untyped import mapping, sequence
from bayplan.provisioning.prices import MODELLED, with_price
from bayplan.reconcile.pool import consolidation
from bayplan.reconcile.pool.money import dollars
from bayplan.reports.pool_health import Trouble
from bayplan.reports.pools import Site, nodes_of

_SAID = 3  # names in a sentence
_TO_MEND = frozenset({"ApiDegraded", "MovesForbidden", "PricesUnknown"})  # does not end by itself


def troubles(pool: PoolResource, site: Site, budgets: Iterable[Budget]) -> Iterator[Trouble]:
    """What a person could mend; nothing for a Pool that moves no pods."""
    if pool.spec is None or not pool.spec.consolidates:
        return
    nodes = {node.name: node for node in nodes_of(pool, site.nodes)}
    yield from _kept(nodes.values())
    yield from _budgets(nodes, site, budgets)
    yield from _blocked(pool)
    yield from _frozen(pool)


def _kept(nodes: Iterable[Node]) -> Iterator[Trouble]:
    kept = [node for node in nodes if node.kept]
    if kept:
        names = sorted(f"{node.name} ({node.kept})" for node in kept)
        yield Trouble(
            f"nodes stay because of an annotation: {_listed(names)}{_cost(kept)}",
            "remove the annotation from nodes that need not stay: kubectl annotate node NAME KEY-",
        )


def _budgets(nodes: Mapping[str, Node], site: Site, budgets: Iterable[Budget]) -> Iterator[Trouble]:
    """Budgets that let no pod go even if all are ready."""
    for budget in budgets:
        if budget.allowed or not budget.for_ever:
            continue
        held = {pod.node for pod in site.running if pod.node in nodes and budget.binds(pod)}
        if not held:
            continue
        yield Trouble(
            f"PodDisruptionBudget {budget.namespace}/{budget.name} never lets a pod go, and keeps "
            f"nodes: {_listed(sorted(held))}{_cost(nodes[name] for name in held)}",
            "let it allow a disruption: lower minAvailable, raise maxUnavailable, or run more pods",
        )


def _blocked(pool: PoolResource) -> Iterator[Trouble]:
    rows = [mapping(one) for one in sequence(pool.status.get("blocked"))]
    if rows:
        total = sum(consolidation.microdollars(one.get("dollarsPerHour")) for one in rows)
        names = [str(one.get("node")) for one in rows]
        yield Trouble(
            f"nodes cannot be given back because of pods that may not move: {_listed(names)}; they "
            f"cost ${dollars(total)} an hour",
            f"bayplan explain pool/{pool.name} names the pods, and why they may not move",
        )


def _frozen(pool: PoolResource) -> Iterator[Trouble]:
    for one in map(mapping, sequence(pool.status.get("conditions"))):
        said = one.get("type"), one.get("status")
        if said == (consolidation.CONSOLIDATING, "False") and one.get("reason") in _TO_MEND:
            message = str(one.get("message") or one.get("reason"))
            yield Trouble(message, f"kubectl describe pool {pool.name}")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SAID} more" if len(names) > _SAID else ""
    return ", ".join(names[:_SAID]) + more


def _cost(nodes: Iterable[Node]) -> str:
    prices = [with_price(node, MODELLED)[0].price_microdollars for node in nodes]
    known = [price for price in prices if price is not None]
    return f"; they cost ${dollars(sum(known))} an hour" if known else ""
