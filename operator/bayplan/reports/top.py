"""The requests on nodes and their cost; the state of jobs and services.

It shows requests against allocatable, never usage, because packing counts requests.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bayplan.model import resources
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.requirements import Term
from bayplan.provisioning.prices import HOURS_A_MONTH, MODELLED, with_price
from bayplan.reports import costs
from bayplan.reports.rollout import wanted

_MICRO = 1_000_000


def nodes(
    known: Iterable[Node],
    running: Iterable[Pod],
    *,
    waiting: int,
    deleting: Collection[str],
    sort: str,
    chosen: Term,
) -> dict[str, Any]:
    """The nodes that a term selects, as rows, and their sums.

    `waiting` is how many pods have no node, `deleting` names nodes that are being deleted; `sort`
    is name, cpu, memory, price or waste.
    """
    known, running = list(known), list(running)
    lost = costs.on_nodes(known, running)
    on_node: dict[str, list[Pod]] = {}
    for pod in running:
        on_node.setdefault(pod.node, []).append(pod)
    rows: list[dict[str, Any]] = []
    for node in known:
        if not chosen.matches(node.labels, node.name):
            continue
        priced, source = with_price(node, MODELLED)
        pods = on_node.get(node.name, [])
        asked = sum((pod.request for pod in pods), start=resources.NOTHING)
        rows.append(
            {
                "name": node.name,
                "instanceType": node.labels.get("node.kubernetes.io/instance-type", ""),
                "zone": node.labels.get("topology.kubernetes.io/zone", ""),
                "capacity": _capacity(node.labels),
                "state": _state(node, deleting),
                "pods": len(pods),
                "costMicrodollarsPerHour": priced.price_microdollars,
                "priceSource": source,
                "allocatable": dict(node.allocatable),
                "requested": dict(asked),
                "fillPercent": fill(asked, node.allocatable),
                **lost[node.name],
            }
        )
    rows.sort(key=lambda row: order(row, sort))
    cost = sum(row["costMicrodollarsPerHour"] or 0 for row in rows)
    total: dict[str, int] = {}
    asked_total: dict[str, int] = {}
    for row in rows:
        for name, amount in row["allocatable"].items():
            total[name] = total.get(name, 0) + amount
        for name, amount in row["requested"].items():
            asked_total[name] = asked_total.get(name, 0) + amount
    return {
        "costMicrodollarsPerHour": cost,
        "costDollarsPerMonth": round(cost * HOURS_A_MONTH / _MICRO, 2),
        "fillPercent": fill(asked_total, total),
        "pods": {
            "running": sum(row["pods"] for row in rows),
            "waiting": waiting,
        },
        "stranded": costs.stranded(rows),
        "nodes": rows,
    }


def workloads(bodies: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """BatchJobs or LongServices as rows."""
    rows = map(_workload, bodies)
    return sorted(rows, key=lambda row: (row["namespace"], row["name"]))


def order(row: Mapping[str, Any], sort: str) -> tuple[float, str]:
    """The sort key of a node: the most expensive, fullest or most wasteful comes first."""
    fill, price = row["fillPercent"], row["costMicrodollarsPerHour"] or 0
    by = {
        "name": 0.0,
        "price": -float(price),
        "cpu": -float(fill.get("cpu", 0.0)),
        "memory": -float(fill.get("memory", 0.0)),
        "waste": -price * (100.0 - max(fill.get("cpu", 0.0), fill.get("memory", 0.0))),
    }
    return by[sort], row["name"]


def _capacity(labels: Mapping[str, str]) -> str:
    for label in ("karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType"):
        if label in labels:
            return labels[label].lower().replace("_", "-")
    return ""


def _state(node: Node, deleting: Collection[str]) -> str:
    if node.name in deleting:
        return "Deleting"
    if not node.ready:
        return "NotReady"
    if node.unschedulable:
        return "Cordoned"
    return "Leaving" if node.leaving else "Ready"


def fill(asked: Mapping[str, int], room: Mapping[str, int]) -> dict[str, float]:
    """How many percent of the CPU, memory and pods are asked for; only what there is room of."""
    return {
        name: round(100 * asked.get(name, 0) / room[name], 1)
        for name in ("cpu", "memory", "pods")
        if room.get(name)
    }


def _workload(body: Mapping[str, Any]) -> dict[str, Any]:
    about, status = body["metadata"], body.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    waiting = status.get("placement") or {}
    common = {
        "namespace": about["namespace"],
        "name": about["name"],
        "status": (conditions.get("Ready") or {}).get("reason", ""),
        "waiting": waiting.get("pendingTasks", 0),
        "message": waiting.get("message", ""),
    }
    if body["kind"] == "BatchJob":
        statistics = status.get("statistics") or {}
        return {
            **common,
            "next": status.get("nextSlotTime", ""),
            "result": (conditions.get("LastRunSucceeded") or {}).get("reason", ""),
            "running": status.get("running", 0),
            "runSecondsP50": statistics.get("runSecondsP50"),
            "waitSecondsP50": statistics.get("waitSecondsP50"),
            "failures": statistics.get("failures", 0),
        }
    return {
        **common,
        "wanted": wanted(body),
        "ready": status.get("readyReplicas", 0),
        "updated": status.get("updatedReplicas", 0),
        "drifted": status.get("driftedReplicas"),  # None if it has no constraints
    }
