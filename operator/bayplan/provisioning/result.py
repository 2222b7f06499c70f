"""The result of a simulation: filled nodes, pods without room, costs and the bound."""

import dataclasses

from bayplan.inputs import Skipped
from bayplan.model import resources, wording
from bayplan.model.nodes import INSTANCE_TYPE, Node
from bayplan.model.reasons import Funnel
from bayplan.provisioning import comparison
from bayplan.provisioning.prices import HOURS_A_MONTH


@dataclasses.dataclass(frozen=True, slots=True)
class Filled:
    """A node at the end, and the room that the pods of each workload take on it."""

    node: Node
    new: bool
    source: str  # of the price
    held: tuple[tuple[str, int, resources.Vector], ...]  # title, pods, their requests
    requested: resources.Vector
    closed: bool  # no further pod of any workload on this node would fit
    # DaemonSets whose pod has no room on this node, and what it lacks.
    crowded_out: tuple[tuple[str, resources.Vector], ...] = ()

    @property
    def free(self) -> resources.Vector:
        return self.node.allocatable - self.requested

    @property
    def kind(self) -> str:
        return self.node.labels.get(INSTANCE_TYPE, "unknown type")


@dataclasses.dataclass(frozen=True, slots=True)
class Missing:
    """Pods that found no room, and why."""

    title: str
    count: int
    funnel: Funnel
    what: str = "nodes"  # what was tried: nodes, or the types that could be bought
    hints: tuple[str, ...] = ()  # changes with which one of the pods would fit
    why: str = ""  # the reason in words, if no node was tried

    @property
    def message(self) -> str:
        return self.why or wording.sentence(self.funnel, self.what)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The end state. Costs in microdollars an hour; `bound` holds for the bought nodes."""

    nodes: tuple[Filled, ...]
    missing: tuple[Missing, ...]
    pods: int
    bought: int
    bound: int
    rivals: tuple[comparison.Rival, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cost(self) -> int:
        """The cost of all nodes with a known price."""
        return sum(one.node.price_microdollars or 0 for one in self.nodes)

    @property
    def gap(self) -> float:
        return (self.bought - self.bound) / self.bound if self.bound else 0.0

    @property
    def month(self) -> int:
        return self.cost * HOURS_A_MONTH
