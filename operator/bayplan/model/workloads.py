"""Work as the scheduler sees it: classes of tasks that wait, and the plan that places them."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.model import reasons, requirements, resources
from bayplan.model.constraints import PlaceConstraint
from bayplan.model.pods import ANYWHERE, Constraints

TaskKey = tuple[str, str]  # namespace, name of the pod

# On pods of a workload with the strategy Exclusive: nothing of another workload joins them.
EXCLUSIVE = "bayplan.dev/exclusive"


class Strategy(enum.Enum):
    BIN_PACK = "BinPack"
    SPREAD = "Spread"
    EXCLUSIVE = "Exclusive"


NOBODY = requirements.Term(never=True)


@dataclass(frozen=True, slots=True)
class PlacementRules:
    """Where a workload wants its pods beyond what PodSpec says.

    `peers` selects, in the class's own namespace, the pods that count together (same workload and
    revision), `mates` those of the same workload whatever their revision; both by their labels.
    Pods of an Exclusive workload carry the label EXCLUSIVE.
    `instances` is how many pods there will be (0: those that are and those that wait). `gang`: a
    Waiting of this class is placed whole or not at all.
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
    """Tasks alike in all that placing looks at. Hashable; all work is per class.

    `workload` names what counts together in constraints (kind/namespace/name@revision); empty
    for pods that nobody of ours owns. `labels` are the pod's own, for others' selectors. `plain`
    ones are no BatchJob's or LongService's: what they tolerate is theirs to know.
    """

    namespace: str
    request: resources.Vector
    constraints: Constraints = ANYWHERE
    labels: tuple[tuple[str, str], ...] = ()  # sorted
    priority: int = 0
    workload: str = ""
    placement: PlacementRules = FREELY
    plain: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """Tasks of one class that have no node yet, in the order in which they want one.

    `since` is when the oldest began to wait (epoch seconds). `avoid` are nodes that refused one
    of them lately. `lasts`: for how many seconds each of them is expected to run at most; None
    when that is not known of all. `gang` names the run of tasks that are placed all or none; empty
    for others.
    """

    kind: PodClass
    keys: tuple[TaskKey, ...]
    since: int = 0
    avoid: frozenset[str] = frozenset()
    lasts: int | None = None
    gang: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Tasks of one class that found no room, and the truth about why."""

    waiting: Waiting
    keys: tuple[TaskKey, ...]
    funnel: reasons.Funnel


@dataclass(frozen=True, slots=True, eq=False)
class Fault:
    """A defect of ours that one thing met; the others were decided on as if it were not there.

    `what` says in words which. `waiting` is the class that is to be set aside; None where what
    failed is no class (a DaemonSet's room, a hold).
    """

    stage: str
    what: str
    error: Exception
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole decision of a cycle: task -> node name, and what was refused.

    `holds`: task that has waited long -> the node that takes nothing new until the task is there;
    to be given to the next solve, and to be shown as the pod's nominatedNodeName. `look_at`: when
    to solve again though nothing else has happened (epoch seconds), since a hold may begin then.
    `faults` are defects that were met; whole classes among them are also `refused`.
    """

    placements: Mapping[TaskKey, str] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
    holds: Mapping[TaskKey, str] = field(default_factory=dict)
    look_at: int | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class EligibleNodes:
    """Names of nodes: those where a pod of the workload may stay, of them those that take one."""

    stay: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()


NOWHERE = EligibleNodes()
