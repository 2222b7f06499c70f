"""The input of a simulation: pods to place, existing nodes and pods, and what was left out."""

import dataclasses
from collections.abc import Iterable, Mapping

from bayplan import units
from bayplan.cloud import attachable
from bayplan.cloud.node_pools import NodeClass, NodePool
from bayplan.inputs import InputError, Skipped
from bayplan.model import snapshot, state
from bayplan.model.nodes import INSTANCE_TYPE, Node
from bayplan.model.pods import Pod
from bayplan.model.workloads import FREELY, PlacementRules


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """Pods of a workload that have no node yet. `title` is like `Deployment default/web`."""

    title: str
    name: str
    count: int
    pod: Pod
    rules: PlacementRules = FREELY


@dataclasses.dataclass(frozen=True, slots=True)
class Refused:
    """Pods that the API server would refuse, and why."""

    title: str
    count: int
    why: str


@dataclasses.dataclass(slots=True)
class Inventory:
    """Everything that was read from the input."""

    demands: list[Demand] = dataclasses.field(default_factory=list)
    nodes: list[Node] = dataclasses.field(default_factory=list)
    running: list[Pod] = dataclasses.field(default_factory=list)
    titles: dict[tuple[str, str], str] = dataclasses.field(default_factory=dict)  # of what runs
    # Also LongServices with mode PerNode: each new node gets an instance.
    daemonsets: list[snapshot.DaemonSet] = dataclasses.field(default_factory=list)
    refused: list[Refused] = dataclasses.field(default_factory=list)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    volume_limits: Mapping[str, int] = dataclasses.field(default_factory=dict)  # node -> volumes
    # Holds only claims and what nodes attach.
    volumes: state.State = dataclasses.field(default_factory=state.State)
    namespaces: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)  # labels
    node_pools: list[NodePool] = dataclasses.field(default_factory=list)
    node_classes: dict[tuple[str, str], NodeClass] = dataclasses.field(default_factory=dict)

    @property
    def attaches(self) -> bool:
        """Whether any pod has volumes that nodes must attach."""
        pods = (*self.running, *(demand.pod for demand in self.demands))
        return any(pod.request.amount(attachable.ATTACHABLE) for pod in pods)

    def stays_with_node(self, pod: Pod) -> bool:
        """Whether the pod belongs to its node: of a DaemonSet, static, or one on each node."""
        owned = pod.owner is not None and any(pod.owner.uid == one.uid for one in self.daemonsets)
        return pod.resident or owned

    def attached_at_most(self, node: Node) -> int:
        """How many EBS volumes a node attaches, by its CSINode, else by its instance type."""
        if node.name in self.volume_limits:
            return self.volume_limits[node.name]
        return attachable.attachable(node.labels.get(INSTANCE_TYPE, ""))


def without_nodes(found: Inventory, names: Iterable[str]) -> None:
    """Take nodes away; their pods wait for another, but for those that belong to the node."""
    gone = set(names)
    unknown = sorted(gone - {node.name for node in found.nodes})
    if unknown:
        raise InputError("--remove-node", f"no node is called {units.shown(unknown[0])}")
    found.nodes = [node for node in found.nodes if node.name not in gone]
    leaving = [pod for pod in found.running if pod.node in gone]
    found.running = [pod for pod in found.running if pod.node not in gone]
    for pod in leaving:
        if not found.stays_with_node(pod):
            waiting = dataclasses.replace(pod, node="")
            found.demands.append(Demand(found.titles[pod.key], pod.name, 1, waiting))
