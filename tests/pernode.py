"""The small world of `tests.services` for a service with one instance on each node.

Nodes have the label `role`; `wanted` are the roles that the template allows. A node in `full` has
no room. As in the operator's cycle nothing is created for a node without room.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from bayplan.model import intents
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.workloads import EligibleNodes
from bayplan.reconcile.view import View
from tests.builders import make_node
from tests.services import World, accepted, make_service


@dataclass
class NodeWorld(World):
    wanted: frozenset[str] = frozenset({"web"})
    full: set[str] = field(default_factory=set)

    def view(self) -> View:
        stay = {name for name, node in self.nodes.items() if self.is_for(node)}
        takes = {name for name in stay if self._answers(self.nodes[name])}
        homes = EligibleNodes(frozenset(stay), frozenset(takes))
        return replace(super().view(), homes=lambda _hash, _template: homes)

    def is_for(self, node: Node) -> bool:
        return node.labels["role"] in self.wanted

    def label(self, name: str, role: str) -> None:
        self.nodes[name] = make_node(name, labels={"role": role})

    def homes(self) -> set[str]:
        return {name for name, node in self.nodes.items() if self.is_for(node)}

    def hosts(self) -> list[str]:
        """The nodes of standing instances."""
        return sorted(pod.node for pod in self.standing())

    def _answers(self, node: Node) -> bool:
        return node.ready and not node.leaving

    def _open_to(self, pod: Pod) -> list[str]:
        """Where the solver would put it: Unique over nodes, terminating ones still count."""
        taken = {one.node for one in self.pods.values() if not one.terminal and one.key != pod.key}
        return [name for name in self._free() if name not in taken]

    def _free(self) -> list[str]:
        return [
            name
            for name, node in self.nodes.items()
            if self.is_for(node) and self._answers(node) and name not in self.full
        ]

    def _create(self, task: intents.Task) -> None:
        planned = Pod(namespace="default", name=task.name)
        if [name for name in self._open_to(planned) if name not in task.avoid]:
            super()._create(task)


def make_node_world(nodes: int = 3, **spec: Any) -> NodeWorld:
    """A service newly applied and accepted, on `nodes` nodes that are for it."""
    service = make_service(mode="PerNode", **{"replicas": 1, **spec})
    fleet = {f"n{n}": make_node(f"n{n}", labels={"role": "web"}) for n in range(nodes)}
    return NodeWorld(service=service, nodes=fleet, admission=accepted(service))


def running_on_each(nodes: int = 3, **spec: Any) -> NodeWorld:
    """With a healthy instance on each node."""
    world = make_node_world(nodes, **spec)
    world.settle()
    world.now += 1000
    world.act()
    world.writes = 0
    return world
