"""Pools as rows, and one Pool in full: from their statuses, and from the nodes that there are.

What nodes cost comes from the status, which the operator writes; how full they are is counted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayplan.api import names
from bayplan.api.pool_resource import PoolResource, parse_pool
from bayplan.model import resources
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Node
from bayplan.model.pods import Pod
from bayplan.model.untyped import mapping, sequence
from bayplan.provisioning.prices import MODELLED, with_price
from bayplan.reconcile.pool import states
from bayplan.reports import pool_limits
from bayplan.reports.top import fill

_STATES = ("requested", "launched", "registered", "usable", "retiring", "refused")
_MONEY = (
    "dollarsPerHour",
    "boundDollarsPerHour",
    "plannedDollarsPerHour",
    "gapPercent",
    "savingDollarsPerMonth",
)
_BAD = {"Ready": "False", "NodePoolQuiet": "False", "LimitReached": "True", "Degraded": "True"}

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """The nodes of the cluster, and the pods that run on them."""

    nodes: Sequence[Node]
    running: Sequence[Pod]


def overview(bodies: Iterable[Body], site: Site) -> list[dict[str, Any]]:
    """A row for each Pool, by name."""
    on_node = _by_node(site.running)
    pools = sorted(map(parse_pool, bodies), key=lambda pool: pool.name)
    return [_row(pool, nodes_of(pool, site.nodes), on_node) for pool in pools]


def account(
    body: Body, node_pool: Body | None, claims: Iterable[Body], site: Site
) -> dict[str, Any]:
    """Everything that is known about a Pool.

    `node_pool` is its NodePool, None if there is none; `claims` are all NodeClaims of the cluster.
    """
    pool, on_node = parse_pool(body), _by_node(site.running)
    nodes = nodes_of(pool, site.nodes)
    status = pool.status
    return {
        "kind": names.POOL_KIND,
        **_row(pool, nodes, on_node),
        "served": "observedGeneration" in status,
        "conditions": [
            {key: str(one.get(key) or "") for key in ("type", "status", "reason", "message")}
            for one in map(mapping, sequence(status.get("conditions")))
        ],
        "trouble": list(_trouble(pool)),
        "nodeList": [_node(node, on_node.get(node.name, ())) for node in nodes],
        "unavailable": [dict(mapping(one)) for one in sequence(status.get("unavailable"))],
        "limits": pool_limits.used(pool, node_pool, claims, nodes),
        "sources": list(sequence(status.get("sources"))),
    }


def coming(bodies: Iterable[Body]) -> list[dict[str, Any]]:
    """What each Pool does next, by name; Pools that have nothing to do are left out."""
    pools = sorted(map(parse_pool, bodies), key=lambda pool: pool.name)
    return [
        {"name": pool.name, "mode": _mode(pool), "next": told}
        for pool in pools
        if (told := list(sequence(pool.status.get("next"))))
    ]


def _row(
    pool: PoolResource, nodes: Sequence[Node], on_node: Mapping[str, Sequence[Pod]]
) -> dict[str, Any]:
    status, spec = pool.status, pool.spec
    counted = mapping(status.get("claims"))
    asked = sum(
        (pod.request for node in nodes for pod in on_node.get(node.name, ())), resources.NOTHING
    )
    room = sum((node.allocatable for node in nodes), resources.NOTHING)
    ready = next(
        (
            one
            for one in map(mapping, sequence(status.get("conditions")))
            if one.get("type") == "Ready"
        ),
        {},
    )
    return {
        "name": pool.name,
        "nodePool": pool.node_pool,
        "groupsTag": pool.groups_tag,
        "mode": _mode(pool),
        "default": spec is not None and spec.default,
        "ready": {key: str(ready.get(key) or "") for key in ("status", "reason", "message")},
        "nodes": len(nodes),
        "claims": {state: int(counted.get(state) or 0) for state in _STATES},
        "fillPercent": fill(asked, room),
        **{key: status.get(key) for key in _MONEY},
        "waitingPods": status.get("waitingPods"),
        "consolidation": _consolidation(pool),
        "next": list(sequence(status.get("next"))),
    }


def _consolidation(pool: PoolResource) -> dict[str, Any] | None:
    """What a Pool does that moves pods; None for another, and before its first plan."""
    status = pool.status
    if pool.spec is None or not pool.spec.consolidates or "moves" not in status:
        return None
    moves = mapping(status.get("moves"))
    return {
        "closing": int(status.get("closing") or 0),
        "draining": int(status.get("draining") or 0),
        "movesLastHour": int(moves.get("lastHour") or 0),
        "movesLastDay": int(moves.get("lastDay") or 0),
        "movesByCause": dict(mapping(moves.get("byCause"))),
        "blocked": [dict(mapping(one)) for one in sequence(status.get("blocked"))],
        "promisedDollarsPerHour": status.get("promisedDollarsPerHour"),
        "savedDollarsPerHour": status.get("savedDollarsPerHour"),
    }


def _mode(pool: PoolResource) -> str:
    return pool.spec.mode if pool.spec is not None else "invalid"


def _buys(pool: PoolResource) -> bool:
    return pool.spec is not None and pool.spec.buys


def nodes_of(pool: PoolResource, nodes: Iterable[Node]) -> list[Node]:
    """The nodes of a Pool; of a Pool without NodePool and groups, all that have no Pool."""
    if pool.spec is not None and not (pool.node_pool or pool.groups_tag):
        return [node for node in nodes if names.POOL not in node.labels]
    found = states.rows(pool.name, pool.node_pool, (), nodes)
    return [row.node for row in found if row.node is not None]


def _by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        found.setdefault(pod.node, []).append(pod)
    return found


def _trouble(pool: PoolResource) -> Iterator[str]:
    """What hinders the Pool, each cause once, in the words of its conditions."""
    told: set[str] = set()
    for one in map(mapping, sequence(pool.status.get("conditions"))):
        kind, reason = str(one.get("type")), str(one.get("reason") or "")
        advises = kind == "NodePoolQuiet" and not _buys(pool)  # hinders nothing then
        message = str(one.get("message") or "")
        if _BAD.get(kind) != one.get("status") or advises or message in told:
            continue
        told.add(message)
        yield f"{kind}={one.get('status')} ({reason}): {message}"


def _node(node: Node, pods: Sequence[Pod]) -> dict[str, Any]:
    asked = sum((pod.request for pod in pods), resources.NOTHING)
    priced, _ = with_price(node, MODELLED)
    ready = "Ready" if node.ready else "NotReady"
    return {
        "name": node.name,
        "instanceType": node.labels.get(INSTANCE_TYPE, ""),
        "zone": node.labels.get(ZONE, ""),
        "capacityType": node.labels.get(CAPACITY_TYPE, ""),
        "costMicrodollarsPerHour": priced.price_microdollars,
        "state": "Deleting" if node.deleting else "Draining" if node.drains else ready,
        "pods": len(pods),
        "fillPercent": fill(asked, node.allocatable),
    }
