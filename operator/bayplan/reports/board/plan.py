"""The tables of a simulation: the nodes that `bayplan simulate -o json` planned, and their pods."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bayplan.api import names
from bayplan.model.nodes import INSTANCE_TYPE, ZONE, Node
from bayplan.model.pods import Owner, Phase, Pod
from bayplan.model.resources import Vector
from bayplan.model.untyped import mapping, sequence
from bayplan.reports.board import money, rows
from bayplan.reports.board.tables import COLUMNS, Row, Table

_NAME = "simulation"
_PHASE, _MICRO = COLUMNS["pods"].index("phase"), 1_000_000


def tables(plan: Mapping[str, Any]) -> dict[str, Table]:
    """Pods of one workload on one node share what they ask for equally."""
    planned = [mapping(one) for one in sequence(plan.get("nodeList"))]
    nodes = [_node(one) for one in planned]
    pods = [pod for one in planned for pod in _pods(one)]
    waiting = [pod for one in sequence(plan.get("unplacedWorkloads")) for pod in _unplaced(one)]
    return {
        "nodes": {node.name: rows.node(node) for node in nodes},
        "pods": {"/".join(pod.key): _row(pod) for pod in (*pods, *waiting)},
        "waste": money.waste(nodes, pods),
        "costs": money.paid(nodes, pods),
        "pools": {_NAME: _pool(mapping(plan.get("bought")))},
    }


def _node(one: Mapping[str, Any]) -> Node:
    return Node(
        name=str(one.get("name")),
        labels={
            INSTANCE_TYPE: str(one.get("type") or ""),
            ZONE: str(one.get("zone") or ""),
            names.POOL: _NAME,
        },
        allocatable=Vector(mapping(one.get("allocatable"))),
        price_microdollars=one.get("costMicrodollarsPerHour"),
    )


def _pods(one: Mapping[str, Any]) -> Iterator[Pod]:
    node = str(one.get("name"))
    for held in map(mapping, sequence(one.get("holds"))):
        count = max(int(held.get("pods") or 0), 1)
        asked = mapping(held.get("requested"))
        each = Vector({what: amount // count for what, amount in asked.items()})
        pod = _titled(str(held.get("workload") or ""), node, each)
        for number in range(count):
            yield replace(pod, name=f"{pod.name}-{node}-{number}")


def _unplaced(value: Any) -> Iterator[Pod]:
    one = mapping(value)
    why = " ".join([str(one.get("message") or ""), *map(str, sequence(one.get("wouldFitIf")))])
    pod = _titled(str(one.get("workload") or ""), "", Vector())
    for number in range(int(one.get("pods") or 0)):
        yield replace(pod, name=f"{pod.name}-{number}", scheduled_message=why)


def _titled(title: str, node: str, asked: Vector) -> Pod:
    """A pod of `LongService shop/web`."""
    kind, _, rest = title.rpartition(" ")
    namespace, _, name = rest.rpartition("/")
    owner = Owner(kind or "Pod", name, title)
    return Pod(namespace, name, node=node, request=asked, owner=owner, scheduler="bayplan")


def _row(pod: Pod) -> Row:
    row = rows.pod(replace(pod, phase=Phase.PENDING))
    return (*row[:_PHASE], "Planned" if pod.node else "Waiting", *row[_PHASE + 1 :])


def _pool(bought: Mapping[str, Any]) -> Row:
    cost, bound = (bought.get(f"{name}MicrodollarsPerHour") for name in ("cost", "bound"))
    return rows.pool(
        {
            "metadata": {"name": _NAME},
            "spec": {"mode": "Advise"},
            "status": {
                "dollarsPerHour": f"{(cost or 0) / _MICRO:.6f}",
                **({"boundDollarsPerHour": f"{bound / _MICRO:.6f}"} if bound else {}),
            },
        }
    )
