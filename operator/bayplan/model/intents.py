"""What a reconcile function wants and the writer carries out: only data.

A reconcile function returns an `Outcome`: which tasks should exist, which pods should go, what the
status is, when to look again. It decides nothing about nodes; `placement.solve` does that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.model.pods import UNSCHEDULABLE

ResourceKey = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True, slots=True)
class Task:
    """A pod that should exist and does not. Its name is its identity: CREATE commits it once.

    `labels`, `annotations` and `environment` are added to those of the template. `since` is when
    the task became due (epoch seconds); `avoid` are nodes that lost or refused it lately.
    `template` is the template of another revision (as its ControllerRevision keeps it); None means
    the resource's own. `arguments` replace the first container's `args`; None keeps those `args`.
    Tasks of one `gang` are placed all together or not at all. `claims` are pairs (volume, claim)
    that only this pod uses. `hostname` is the pod's name in the network; if empty, the pod's name.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    since: int = 0
    avoid: frozenset[str] = frozenset()
    template: Mapping[str, Any] | None = None
    arguments: tuple[str, ...] | None = None
    gang: str = ""
    claims: tuple[tuple[str, str], ...] = ()
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class DeletePod:
    """A pod should go; `uid` is the precondition, so that no other pod of that name goes instead.

    From the moment of this decision the pod counts as terminating (`deleted_at` set), whatever an
    older event still says about it; a refused delete takes that back. `evict` asks the Eviction
    API instead: somebody else may be emptying the same node, and both share one budget.
    """

    namespace: str
    name: str
    uid: str
    why: str
    grace_seconds: int | None = None
    evict: bool = False


@dataclass(frozen=True, slots=True)
class ReleasePod:
    """The written status accounts for a run pod: its finalizer may be removed."""

    namespace: str
    name: str
    uid: str
    finalizers: tuple[str, ...]  # the finalizers that remain


@dataclass(frozen=True, slots=True)
class AdoptPod:
    """A pod that a former service of this name left behind on purpose becomes this service's."""

    namespace: str
    name: str
    uid: str
    owner: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bind:
    """An existing unplaced pod gets its node."""

    namespace: str
    name: str
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class SelectNode:
    """A claim that waits for its first consumer gets its node: the volume is to be made there.

    `uid` is the uid of the claim, as a precondition.
    """

    namespace: str
    claim: str
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class CreateClaim:
    """A PersistentVolumeClaim of an instance; an existing claim of that name is left as it is."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OwnClaim:
    """A claim goes with its service, or stays: `owner` is merged into its ownerReferences."""

    namespace: str
    name: str
    uid: str
    owner: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DropClaim:
    """Delete a claim of an instance that is no longer wanted, and its data."""

    namespace: str
    name: str
    uid: str


ClaimAct = CreateClaim | OwnClaim | DropClaim


@dataclass(frozen=True, slots=True)
class MarkUnschedulable:
    """An unplaced pod gets the reason in its PodScheduled condition, so that autoscalers buy.

    `held` is the node that takes nothing new until this pod is there; empty without such a node.
    `reason` is Kubernetes' SchedulerError if a defect of ours keeps the pod back: nobody should
    buy a node for that.
    """

    namespace: str
    name: str
    uid: str
    message: str
    held: str = ""
    reason: str = UNSCHEDULABLE


@dataclass(frozen=True, slots=True)
class ApplyObject:
    """A child of a resource (Service, PodDisruptionBudget, ControllerRevision), complete."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteObject:
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """An Event on the resource; `reason` comes from a closed CamelCase list."""

    reason: str
    message: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """A message to one receiver; `on` is one of the words of `notifications[].on`."""

    receiver: str
    on: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LaunchNode:
    """A NodeClaim that should exist, complete. Its name is its identity: CREATE commits it once."""

    pool: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RetireNode:
    """A NodeClaim should go, and its instance with it; `uid` is the precondition.

    `unlaunched`: only if it still has no instance.
    """

    claim: str
    uid: str
    why: str
    unlaunched: bool = False


@dataclass(frozen=True, slots=True)
class TaintNode:
    """A node gets a taint of ours, or loses it (`present` False); `uid` is the precondition."""

    node: str
    uid: str
    key: str
    value: str
    effect: str = "NoSchedule"
    present: bool = True


@dataclass(frozen=True, slots=True)
class CloseNode:
    """A node says that it is to be given back (`plan` in an annotation), or no longer says so.

    `uid` is the precondition; an empty `plan` takes the annotation off.
    """

    node: str
    uid: str
    plan: str


@dataclass(frozen=True, slots=True)
class EvictPod:
    """A pod should move to another node: the Eviction API is asked, which keeps its budgets."""

    namespace: str
    name: str
    uid: str
    why: str


@dataclass(frozen=True, slots=True)
class PriceDeletion:
    """A pod of a ReplicaSet should go first in a scale-down (`cost` below 0), or not (None)."""

    namespace: str
    name: str
    uid: str
    cost: int | None


@dataclass(frozen=True, slots=True)
class RefusedWrite:
    """A write that the API server has refused, with its message; it is tried again without help.

    `verb` is create, apply, own, adopt, delete, release or bind. `template` is the template hash of
    a pod that was to be created.
    """

    verb: str
    kind: str
    name: str
    message: str
    reason: str = ""
    template: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that should be true of one resource, and what is missing for it.

    `status` is the complete wanted status, or None when the stored status is to stay. `probe` asks
    for a dry run of the template. At `wake_at` (epoch seconds) the answer changes by time alone.
    """

    tasks: tuple[Task, ...] = ()
    deletes: tuple[DeletePod, ...] = ()
    releases: tuple[ReleasePod, ...] = ()
    adoptions: tuple[AdoptPod, ...] = ()
    objects: tuple[ApplyObject, ...] = ()
    drops: tuple[DeleteObject, ...] = ()
    claims: tuple[ClaimAct, ...] = ()
    events: tuple[EmitEvent | Notice, ...] = ()
    status: Mapping[str, Any] | None = None
    probe: bool = False
    wake_at: int | None = None
