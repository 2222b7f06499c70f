"""Work as the scheduler sees it: classes of tasks that wait, and the plan that places them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.model import pod as pods_
from bayplan.model import reason, resources

TaskKey = tuple[str, str]  # namespace, name of the pod


@dataclass(frozen=True, slots=True)
class PodClass:
    """Tasks alike in all that placing looks at. Hashable; all work is per class.

    `workload` names what counts together in constraints (kind/namespace/name@revision); empty
    for pods that nobody of ours owns. `labels` are the pod's own, for others' selectors.
    """

    namespace: str
    request: resources.Vector
    constraints: pods_.Constraints = pods_.ANYWHERE
    labels: tuple[tuple[str, str], ...] = ()  # sorted
    priority: int = 0
    workload: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Tasks of one class that have no node yet, in the order in which they want one.

    `since` is when the oldest began to wait (epoch seconds). `avoid` are nodes that refused one
    of them lately.
    """

    kind: PodClass
    keys: tuple[TaskKey, ...]
    since: int = 0
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refused:
    """Tasks of one class that found no room, and the truth about why."""

    waiting: Waiting
    keys: tuple[TaskKey, ...]
    funnel: reason.Funnel


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole decision of a cycle: task -> node name, and what was refused."""

    placements: Mapping[TaskKey, str] = field(default_factory=dict)
    refused: tuple[Refused, ...] = ()
