"""Work as the scheduler sees it: classes of waiting tasks, and the plan that places them."""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bayplan.model import reasons, requirements, resources
from bayplan.model.companions import Companions
from bayplan.model.constraints import PlaceConstraint
from bayplan.model.pods import ANYWHERE, Constraints

TaskKey = tuple[str, str]  # namespace, name of the pod

# On pods of a workload with the strategy Exclusive: no pod of another workload joins them.
EXCLUSIVE = "bayplan.dev/exclusive"
_HIGHEST = (1 << 31) - 1  # priority


class Strategy(enum.Enum):
    BIN_PACK = "BinPack"
    SPREAD = "Spread"
    EXCLUSIVE = "Exclusive"


NOBODY = requirements.Term(never=True)


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """Where a workload wants its pods, beyond what PodSpec says.

    `peers` selects, in the class's own namespace, the pods that count together (same workload and
    revision); `mates` selects the pods of the same workload in any revision. Both use labels.
    Pods of an Exclusive workload carry the label EXCLUSIVE.
    `instances` is how many pods there will be (0: the existing plus the waiting pods). `gang`: a
    Waiting of this class is placed completely or not at all.
    """

    constraints: tuple[PlaceConstraint, ...] = ()
    strategy: Strategy = Strategy.BIN_PACK
    gang: bool = False
    peers: requirements.Term = NOBODY
    mates: requirements.Term = NOBODY
    instances: int = 0


FREELY = PlacementRules()


@dataclass(frozen=True, slots=True)
class PodClass:
    """Tasks that are alike in all that placing looks at. Hashable; all work is per class.

    `workload` names what counts together in constraints (kind/namespace/name@revision); it is empty
    for pods without an owner of ours. `labels` are the pod's own, for the selectors of other pods.
    `plain` pods belong to no BatchJob or LongService: their own tolerations decide. A task with
    `companions` is placed only where room for them is left on the nodes, and that room is held.
    """

    namespace: str
    request: resources.Vector
    constraints: Constraints = ANYWHERE
    labels: tuple[tuple[str, str], ...] = ()  # sorted
    priority: int = 0
    workload: str = ""
    placement: PlacementRules = FREELY
    plain: bool = False
    companions: Companions | None = None


def of_companions(
    leader: TaskKey, constraints: Constraints, priority: int, companions: Companions
) -> PodClass:
    """The class of the pods for which a pod has room held; its own constraints say where."""
    selector, affinity = constraints.selector, constraints.affinity
    if companions.selector is not None:
        selector, affinity = companions.selector, None
    return PodClass(
        namespace=leader[0],
        request=companions.request,
        constraints=Constraints(selector, affinity, tolerations=constraints.tolerations),
        priority=priority,
        workload="/".join(("Pod", *leader)),
        plain=True,
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """Tasks of one class that have no node yet, in the order in which they want one.

    `since` is when the oldest task began to wait (epoch seconds). `avoid` are nodes that refused
    one of the tasks lately. `lasts` is how many seconds each task is expected to run at most; None
    if that is not known for all of them. `gang` names the run whose tasks are placed all together
    or not at all; it is empty for other tasks.
    """

    kind: PodClass
    keys: tuple[TaskKey, ...]
    since: int = 0
    avoid: frozenset[str] = frozenset()
    lasts: int | None = None
    gang: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Tasks of one class that found no room, and the full reason."""

    waiting: Waiting
    keys: tuple[TaskKey, ...]
    funnel: reasons.Funnel


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A defect of ours that one object met; the others were decided on as if it did not exist.

    `what` names that object. `waiting` is the class to set aside; None if the object that failed
    is not a class (a DaemonSet's room, a hold).
    """

    stage: str
    what: str
    error: Exception
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole decision of a cycle: task -> node name, and what was refused.

    `holds`: task that has waited long -> the node that takes nothing new until the task is there.
    Give it to the next solve, and show it as the pod's nominatedNodeName. `look_at`: when to solve
    again (epoch seconds) even if nothing else has happened, because a hold may begin then.
    `faults` are defects that were met; whole classes with a defect are also in `refused`. `rooms`:
    pod -> node -> for how many of its companions room is held there; give it to the next solve too.
    """

    placements: Mapping[TaskKey, str] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    holds: Mapping[TaskKey, str] = field(default_factory=dict)
    look_at: int | None = None
    faults: tuple[Fault, ...] = ()
    rooms: Mapping[TaskKey, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Backlog:
    """Which nodes a backlog should use, as the optimiser found it. A wish: filters still decide.

    `shares`: class -> node -> how many of its tasks are to land there, before anything else lands.
    An empty node in `nodes` is opened before other empty nodes. Names that no node has are ignored.
    `held`: as `shares`, and the room is kept also while no task of the class waits. `closing` are
    nodes that get a task only if no other node can take it.
    """

    nodes: frozenset[str] = frozenset()
    shares: Mapping[PodClass, Mapping[str, int]] = field(default_factory=dict)
    held: Mapping[PodClass, Mapping[str, int]] = field(default_factory=dict)
    closing: frozenset[str] = frozenset()

    def __or__(self, other: "Backlog") -> "Backlog":
        """Both; the other's shares count where both plan a class on a node. `held` adds up."""
        if other is NO_BACKLOG or self is NO_BACKLOG:
            return self if other is NO_BACKLOG else other
        shares = {
            kind: {**self.shares.get(kind, {}), **other.shares.get(kind, {})}
            for kind in _either(self.shares, other.shares)
        }
        held = {
            kind: Counter(self.held.get(kind, {})) + Counter(other.held.get(kind, {}))
            for kind in _either(self.held, other.held)
        }
        return Backlog(self.nodes | other.nodes, shares, held, self.closing | other.closing)

    def taken(self) -> "Backlog":
        """The same, but the held room is for nobody who waits, whatever its class and priority."""
        held: dict[PodClass, Counter[str]] = {}
        for kind, there in self.held.items():
            other = replace(kind, workload=f"~{kind.workload}", priority=_HIGHEST)
            held.setdefault(other, Counter()).update(there)
        return replace(self, held=held)


NO_BACKLOG = Backlog()


def _either(one: Mapping[PodClass, object], other: Mapping[PodClass, object]) -> Iterable[PodClass]:
    """The classes of both, each once, always in the same order."""
    return {**one, **other}


@dataclass(frozen=True, slots=True)
class EligibleNodes:
    """Names of nodes: a pod may remain on those in `stay`, and start on those in `open`."""

    stay: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()


NOWHERE = EligibleNodes()
