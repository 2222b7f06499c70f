"""The part of the cluster that a reconcile function gets to see: data only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import run_names
from bayplan.model import reasons
from bayplan.model.admission import Admission
from bayplan.model.children import Child
from bayplan.model.departures import ANY_DEPARTURE, Departures
from bayplan.model.intents import RefusedWrite
from bayplan.model.nodes import Node
from bayplan.model.pods import Claim
from bayplan.model.workloads import NOWHERE, EligibleNodes

Mark = tuple[int, str, str]  # when it ended, its namespace, its name
EligibleNodesOf = Callable[
    [str, Mapping[str, Any] | None], EligibleNodes
]  # hash of a template, its body


@dataclass(frozen=True, slots=True)
class Success:
    """A run that counts as a success for a job's children; `ended_at` in epoch seconds."""

    run: str
    ended_at: int
    made_up_for: int | None = None  # the slot of the run that a person asked to repeat

    @property
    def slot(self) -> int | None:
        return self.made_up_for if self.made_up_for is not None else run_names.slot_of(self.run)


@dataclass(frozen=True, slots=True)
class ParentSummary:
    """A parent as its stored status describes it; `successes` has the newest first.

    `once`: it runs when it is created and never again by itself.
    """

    successes: tuple[Success, ...] = ()
    once: bool = False
    suspended: bool = False
    failed: bool = False  # its last run that counts has failed


@dataclass(frozen=True, slots=True)
class Parents:
    """The parents that exist, by name. `cycle` is the path from the job back to itself."""

    known: Mapping[str, ParentSummary] = field(default_factory=dict)
    cycle: tuple[str, ...] = ()


ALONE = Parents()


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`ready` by service name, without absent services. `cycle` is a path back to the service."""

    ready: Mapping[str, bool] = field(default_factory=dict)
    cycle: tuple[str, ...] = ()


FREE = Dependencies()


@dataclass(frozen=True, slots=True)
class NoRoom:
    """What the last solve said about the tasks of a resource that found no room."""

    pending: int
    since: int
    funnel: reasons.Funnel


@dataclass(frozen=True, slots=True)
class View:
    """What a reconcile function may see of the cluster, beside the resource and its pods.

    `admission` is None until the current template was dry-run; `placement` is None when every
    task has room. `nodes` holds every node by name; a pod whose node is not in it has lost its
    node. `children` are stored objects owned by the resource, by (kind, name). `foreign` are the
    (kind, name) of Services and PodDisruptionBudgets in the namespace that have the resource's
    name and another owner or none. `parents` is what is known of a BatchJob's parents,
    `dependencies` of the services that a LongService waits for. `fullness` gives how full a node
    is of pods that will stay, in thousandths of the resource that the node has least left of.
    `receivers` are the places where notices can go. Finished pods of runs up to `last_to_go` are
    too many in the cluster. `claims` are the claims of the namespace by name, for a service that
    has claims; `claim_of` finds a claim of the namespace that a template names. `homes` gives for
    a template (its hash; its body where it is not the resource's own) the nodes on which a
    service with one instance per node has its instances. `timed`: a protection from autoscalers
    may name its time. `refusals` are refused writes for the resource, except pods of its own
    template: `admission` describes those. `departures` says which instances of a LongService leave
    first, as planned for the nodes that a Pool gives back.
    """

    nodes: Mapping[str, Node]
    admission: Admission | None = None
    placement: NoRoom | None = None
    children: Mapping[tuple[str, str], Child] = field(default_factory=dict)
    namespace_deleting: bool = False
    foreign: frozenset[tuple[str, str]] = frozenset()
    parents: Parents = ALONE
    dependencies: Dependencies = FREE
    fullness: Callable[[str], int] = lambda _: 0
    receivers: frozenset[str] = frozenset()
    last_to_go: Mark | None = None
    timed: bool = True
    claims: Mapping[str, Claim] = field(default_factory=dict)
    claim_of: Callable[[str], Claim | None] = lambda _: None
    homes: EligibleNodesOf = lambda _hash, _template: NOWHERE
    refusals: tuple[RefusedWrite, ...] = ()
    departures: Departures = ANY_DEPARTURE
