"""Builds the question to the optimiser what the running pods should cost.

Node types are the kinds of existing nodes; every movable pod is demand. Constraints between pods
are left out: this can only lower the answer, so its bound holds for any placement.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from bayplan.model import resources
from bayplan.model.nodes import HOSTNAME, Node
from bayplan.model.pods import Constraints
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import PodClass
from bayplan.optimizer.problem import Problem
from bayplan.placement import filters
from bayplan.placement.node_table import NodeTable

# Labels that differ from node to node: they do not make another kind of node.
_OF_ONE_NODE = frozenset({HOSTNAME, "alpha.eksctl.io/instance-id", "topology.k8s.aws/zone-id"})


@dataclass(frozen=True, slots=True)
class Appraisal:
    """`cost`: what the nodes in use cost now, in microdollars an hour; `question`: the problem."""

    cost: int
    question: Problem

    @property
    def digest(self) -> bytes:
        """A digest; an earlier answer to a question with the same digest still holds."""
        return self.question.digest + self.cost.to_bytes(8, "big")


def appraisal(
    snapshot: Snapshot, demand: Mapping[PodClass, int], price: Callable[[Node], int | None]
) -> Appraisal | None:
    """Cost and question for the `movable` pods that run now; None if there is nothing to compare.

    If the price of a node in use is unknown, the cost is unknown too, so the answer is None.
    """
    fit = [node for node in snapshot.nodes if node.ready and not node.leaving]
    if not fit or not demand:
        return None
    prices = {node.name: price(node) for node in snapshot.nodes}
    in_use = [prices[node.name] for node in snapshot.nodes if _moves(snapshot, node.name)]
    if any(each is None for each in in_use):
        return None
    kinds: dict[object, list[Node]] = {}
    for node in fit:
        if prices[node.name]:
            kinds.setdefault(_kind(node, prices[node.name]), []).append(node)
    samples = tuple(nodes[0] for nodes in kinds.values())
    table = NodeTable(samples, version=0)
    classes = tuple(demand)
    columns = snapshot.columns
    return Appraisal(
        cost=sum(each or 0 for each in in_use),
        question=Problem.of(
            demand=np.array([demand[each] for each in classes], dtype=np.int64),
            request=_matrix([each.request for each in classes], columns),
            capacity=_matrix([_room(snapshot, nodes) for nodes in kinds.values()], columns),
            price=np.array([prices[node.name] for node in samples], dtype=np.int64),
            eligible=np.array([filters.of_nodes(each, table).open for each in classes]),
            columns=columns,
        ),
    )


def movable(snapshot: Snapshot, nodes: Iterable[Node]) -> Counter[PodClass]:
    """The pods of these nodes that may move, by all about them that nodes care about."""
    counts: Counter[tuple[resources.Vector, Constraints]] = Counter()
    for node in nodes:
        for pod in snapshot.pods_on(node.name):
            if not pod.resident:
                counts[pod.request, pod.constraints] += 1
    return Counter(
        {
            PodClass(namespace="", request=request, constraints=constraints): count
            for (request, constraints), count in counts.items()
        }
    )


def _moves(snapshot: Snapshot, name: str) -> bool:
    return any(not pod.resident for pod in snapshot.pods_on(name))


def _kind(node: Node, price: int | None) -> object:
    labels = tuple(sorted(item for item in node.labels.items() if item[0] not in _OF_ONE_NODE))
    return labels, node.taints, node.allocatable, price


def _room(snapshot: Snapshot, nodes: list[Node]) -> resources.Vector:
    """The room for movable pods on a node of this kind: the most that any such node has."""
    rooms = (node.allocatable - _resident(snapshot, node.name) for node in nodes)
    most = resources.NOTHING
    for room in rooms:
        most = most | room
    return most


def _resident(snapshot: Snapshot, name: str) -> resources.Vector:
    taken = resources.NOTHING
    for pod in snapshot.pods_on(name):
        if pod.resident:
            taken = taken + pod.request
    return taken


def _matrix(vectors: list[resources.Vector], columns: tuple[str, ...]) -> np.ndarray:
    rows = [[vector.amount(column) for column in columns] for vector in vectors]
    return np.array(rows, dtype=np.int64).reshape(len(vectors), len(columns))
