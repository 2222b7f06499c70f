"""What a reconcile function wants and the writer carries out: data only.

A reconcile function returns an `Outcome`: which tasks should exist, which pods should go, what the
status is, when to look again. It decides nothing about nodes; that is `placement.solve`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.model.pods import UNSCHEDULABLE

ResourceKey = tuple[str, str, str]  # kind, namespace, name


@dataclass(frozen=True, slots=True)
class Task:
    """A pod that should exist and does not. Its name is its identity: CREATE commits it once.

    `labels`, `annotations` and `environment` are added to the template's. `since` is when it
    became due (epoch seconds); `avoid` are nodes that lost or refused it lately. `template` is
    another revision's (as its ControllerRevision keeps it); None means the resource's own.
    `arguments` take the place of the first container's `args`; None keeps those. Tasks of one
    `gang` are placed all or none. `claims` are (volume, claim) that the pod has for itself,
    `hostname` its own name in the network; empty: the pod's.
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
    """A pod should go; `uid` is the precondition, so that a namesake never goes instead.

    From the moment it is decided the pod counts as terminating (`deleted_at` set), whatever an
    older event still says of it; a refused delete takes that back. With `evict` the Eviction API
    is asked: somebody else may be emptying the same node, and the budget is one for both.
    """

    namespace: str
    name: str
    uid: str
    why: str
    grace_seconds: int | None = None
    evict: bool = False


@dataclass(frozen=True, slots=True)
class ReleasePod:
    """A run pod is accounted for in the written status: its finalizer may be removed."""

    namespace: str
    name: str
    uid: str
    finalizers: tuple[str, ...]  # what remains


@dataclass(frozen=True, slots=True)
class AdoptPod:
    """A pod of a former service of this name, left behind on purpose, becomes this service's."""

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
    """A claim that waits for its first consumer learns where that will be: make the volume there.

    `uid` is the claim's, as a precondition.
    """

    namespace: str
    claim: str
    uid: str
    node: str


@dataclass(frozen=True, slots=True)
class CreateClaim:
    """A PersistentVolumeClaim of an instance; one of that name that exists is left as it is."""

    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OwnClaim:
    """A claim is to go with its service, or is to stay: `owner` is merged into its references."""

    namespace: str
    name: str
    uid: str
    owner: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DropClaim:
    """A claim of an instance that is no longer wanted, and with it the data."""

    namespace: str
    name: str
    uid: str


ClaimAct = CreateClaim | OwnClaim | DropClaim


@dataclass(frozen=True, slots=True)
class MarkUnschedulable:
    """An unplaced pod says why in its PodScheduled condition, so that autoscalers buy.

    `held` is the node that takes nothing new until this pod is there; empty for none. `reason` is
    Kubernetes' SchedulerError where a defect of ours keeps it: nobody should buy a node for that.
    """

    namespace: str
    name: str
    uid: str
    message: str
    held: str = ""
    reason: str = UNSCHEDULABLE


@dataclass(frozen=True, slots=True)
class ApplyObject:
    """A child of a resource (Service, PodDisruptionBudget, ControllerRevision), whole."""

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
    """What one receiver is told; `on` is one of the words of `notifications[].on`."""

    receiver: str
    on: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RefusedWrite:
    """A write that the API server has refused, in its words; it is tried again by itself.

    `verb` is create, apply, own, adopt, delete, release or bind. `template` is the hash of the
    template of a pod that was to be created.
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

    `status` is the whole wanted status, or None when the stored one is to stay. `probe` asks for
    a dry run of the template. `wake_at` (epoch seconds) is when time alone changes the answer.
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
