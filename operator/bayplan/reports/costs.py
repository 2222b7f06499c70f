"""Where the money goes: what each workload and namespace costs, what is stranded, what is free.

The amounts add up to the price of the nodes. Requests are charged, never usage.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bayplan.model import resources
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.provisioning.charges import charge, weights
from bayplan.provisioning.leftovers import Requests, fullest, positive
from bayplan.provisioning.prices import HOURS_A_MONTH, price_of

_MICRO = 1_000_000
PodKey = tuple[str, str]


def on_nodes(nodes: Iterable[Node], running: Iterable[Pod]) -> dict[str, dict[str, Any]]:
    """By node: what is `stranded` there, the resource it is `fullOf`, and what that costs.

    `stranded` is None on a node that takes more pods like those that run, or has none of them.
    """
    pods = list(running)
    by_node = _by_node(pods)
    requests = Requests.of(pod.request for pod in pods if not pod.resident)
    found = {}
    for node in nodes:
        asked = sum((pod.request for pod in by_node.get(node.name, ())), start=resources.NOTHING)
        free = node.allocatable - asked
        stranded = positive(free) if requests.strands(free) else None
        price = price_of(node) or 0
        cost = charge(weights(node.allocatable, price), node.allocatable, stranded or {})
        found[node.name] = {
            "stranded": None if stranded is None else dict(stranded),
            "fullOf": fullest(asked, node.allocatable) if stranded is not None else "",
            "strandedMicrodollarsPerHour": round(cost),
        }
    return found


def stranded(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sum over rows of `on_nodes`: amounts, nodes, why (resource -> nodes), and the cost."""
    total, full, nodes, cost = resources.NOTHING, dict[str, int](), 0, 0
    for row in rows:
        if row["stranded"] is None:
            continue
        nodes += 1
        total += resources.Vector(row["stranded"])
        full[row["fullOf"]] = full.get(row["fullOf"], 0) + 1
        cost += row["strandedMicrodollarsPerHour"]
    return {
        "resources": dict(total),
        "nodes": nodes,
        "fullOf": {name: count for name, count in full.items() if name},
        "costMicrodollarsPerHour": cost,
    }


def by_workload(
    nodes: Iterable[Node], running: Iterable[Pod], titles: Mapping[PodKey, str]
) -> dict[str, Any]:
    """What each workload costs, the most expensive first; `titles` says whose pod it is."""
    return _told(list(nodes), list(running), lambda pod: (pod.namespace, titles[pod.key]))


def by_namespace(nodes: Iterable[Node], running: Iterable[Pod]) -> dict[str, Any]:
    """What each namespace costs, the most expensive first."""
    return _told(list(nodes), list(running), lambda pod: (pod.namespace, ""))


def _told(
    nodes: list[Node], running: list[Pod], group: Callable[[Pod], tuple[str, str]]
) -> dict[str, Any]:
    by_node = _by_node(running)
    requests = Requests.of(pod.request for pod in running if not pod.resident)
    cost = dict[tuple[str, str], float]()
    asked = dict[tuple[str, str], resources.Vector]()
    pods = dict[tuple[str, str], int]()
    unpriced = dict[tuple[str, str], int]()
    total, lost = 0, 0.0
    for node in nodes:
        price = price_of(node)
        weighed = weights(node.allocatable, price or 0)
        total += price or 0
        taken = resources.NOTHING
        for pod in by_node.get(node.name, ()):
            key = group(pod)
            taken += pod.request
            pods[key] = pods.get(key, 0) + 1
            asked[key] = asked.get(key, resources.NOTHING) + pod.request
            cost[key] = cost.get(key, 0.0) + charge(weighed, node.allocatable, pod.request)
            unpriced[key] = unpriced.get(key, 0) + (price is None)
        free = node.allocatable - taken
        if requests.strands(free):
            lost += charge(weighed, node.allocatable, positive(free))
    rows = [
        {
            "namespace": key[0],
            **({"workload": key[1]} if key[1] else {}),
            "pods": pods[key],
            "requested": dict(asked[key]),
            "costMicrodollarsPerHour": round(cost[key]),
            "costDollarsPerMonth": round(cost[key] * HOURS_A_MONTH / _MICRO, 2),
            "podsOnNodesOfUnknownPrice": unpriced[key],
        }
        for key in sorted(cost, key=lambda key: (-cost[key], key))
    ]
    charged = sum(round(each) for each in cost.values())
    return {
        "costMicrodollarsPerHour": total,
        "costDollarsPerMonth": round(total * HOURS_A_MONTH / _MICRO, 2),
        "strandedMicrodollarsPerHour": round(lost),
        "freeMicrodollarsPerHour": total - charged - round(lost),
        "rows": rows,
    }


def _by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        found.setdefault(pod.node, []).append(pod)
    return found
