"""One node in full: why it stays, why it goes, what keeps it, and what that costs an hour."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayplan.api import names
from bayplan.api.pool import PoolSpec
from bayplan.api.pool_resource import PoolResource, parse_pool
from bayplan.model import resources
from bayplan.model.budgets import Budgets
from bayplan.model.movability import Circumstances, of_its_node, updating, verdict
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Node
from bayplan.model.pods import Owner
from bayplan.model.resources import Vector
from bayplan.model.untyped import mapping
from bayplan.provisioning.prices import MODELLED, with_price
from bayplan.reports.node_why import Guest, Why, state
from bayplan.reports.pools import Site, nodes_of
from bayplan.reports.top import fill

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside a node: all nodes and pods, all Pools, budgets and BatchJobs.

    `budgets` are the disruption budgets, by the operator's own rules.
    """

    site: Site
    pools: Sequence[Body]
    budgets: Budgets
    jobs: Sequence[Body]
    now: int  # epoch seconds


def account(node: Node, around: Surroundings) -> dict[str, Any]:
    """Everything that is known about a node; `why` says in sentences why it stays or goes."""
    known = sorted(map(parse_pool, around.pools), key=lambda one: one.name)
    pool = pool_of(node, known)
    guests = list(guests_of(node, pool, around))
    priced, source = with_price(node, MODELLED)
    asked = sum((one.pod.request for one in guests), resources.NOTHING)
    why = Why(
        node,
        pool,
        guests,
        priced.price_microdollars,
        around.now,
        [one.name for one in known],
        _free(node, pool, around.site),
    )
    return {
        "kind": "Node",
        "name": node.name,
        "pool": pool.name if pool is not None else node.labels.get(names.POOL, ""),
        "mode": pool.spec.mode if pool is not None and pool.spec is not None else "",
        "instanceType": node.labels.get(INSTANCE_TYPE, ""),
        "zone": node.labels.get(ZONE, ""),
        "capacityType": node.labels.get(CAPACITY_TYPE, ""),
        "costMicrodollarsPerHour": priced.price_microdollars,
        "priceSource": source,
        "state": state(node),
        "keptBy": node.kept,
        "fillPercent": fill(asked, node.allocatable),
        "why": list(why.sentences()),
        "pods": [_row(one) for one in guests],
    }


def _free(node: Node, pool: PoolResource | None, site: Site) -> Vector:
    """What the other nodes of the Pool that take pods have free in all."""
    others = {
        one.name: one
        for one in (nodes_of(pool, site.nodes) if pool is not None else ())
        if one.name != node.name and not one.unschedulable and state(one) == "Open"
    }
    used: dict[str, Vector] = {}
    for pod in site.running:
        if pod.node in others:
            used[pod.node] = used.get(pod.node, resources.NOTHING) + pod.request
    rooms = [one.allocatable - used.get(one.name, resources.NOTHING) for one in others.values()]
    return sum(rooms, resources.NOTHING)


def pool_of(node: Node, pools: Iterable[PoolResource]) -> PoolResource | None:
    """The Pool of a node: by its label, else by its NodePool."""
    named, bought_by = node.labels.get(names.POOL), node.labels.get(NODE_POOL)
    for pool in pools:
        if pool.name == named or (named is None and bought_by and pool.node_pool == bought_by):
            return pool
    return None


def guests_of(node: Node, pool: PoolResource | None, around: Surroundings) -> Iterator[Guest]:
    """The pods on a node by name, each with what is known of its moving."""
    spec = pool.spec if pool is not None and pool.spec is not None else PoolSpec()
    circumstances = _circumstances(spec, around)
    for pod in sorted(around.site.running, key=lambda one: one.key):
        if pod.node != node.name:
            continue
        if of_its_node(pod):
            yield Guest(pod, with_node=True)
            continue
        ends_in = max(pod.ends_at - around.now, 0) if pod.ends_at is not None else None
        soon = ends_in is not None and ends_in <= spec.consolidation.batch_wait_seconds
        if pod.passing and soon:
            yield Guest(pod, ends_in=ends_in, ends=True)
        else:
            yield Guest(pod, verdict(pod, circumstances), ends_in)


def _circumstances(spec: PoolSpec, around: Surroundings) -> Circumstances:
    living = Counter(
        pod.owner.uid
        for pod in around.site.running
        if pod.owner is not None and pod.ready and not pod.terminating
    )
    interruptible = {
        str(mapping(body.get("metadata")).get("uid"))
        for body in around.jobs
        if mapping(body.get("spec")).get("interruptible") is True
    }

    def count(owner: Owner) -> int:
        return living[owner.uid]

    def may_end(owner: Owner) -> bool:
        return owner.uid in interruptible

    return Circumstances(
        around.now,
        spec.consolidation.minimum_stay_seconds,
        count,
        around.budgets.spent,
        may_end,
        names.SCHEDULER,
        updating(around.site.running, names.REVISION),
    )


def _row(one: Guest) -> dict[str, Any]:
    pod = one.pod
    may = "Stays" if one.why else "Moves"
    return {
        "namespace": pod.namespace,
        "name": pod.name,
        "owner": f"{pod.owner.kind} {pod.owner.name}" if pod.owner is not None else "",
        "may": "WithNode" if one.with_node else "Ends" if one.ends else may,
        "why": one.why,
        "endsInSeconds": one.ends_in,
    }
