"""What the scheduler knows of a pod: a frozen value, decoded at the border.

Values that many pods share (requests, constraints, labels) are interned and held by reference, so
that fifty thousand pods of a few templates stay small and group quickly.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.model import requirements, resources
from bayplan.model.companions import Companions
from bayplan.model.nodes import Node, Taint

# On pods: how many seconds they are expected to run once started, as a decimal number.
EXPECTED_SECONDS = "bayplan.dev/expected-seconds"
_LONGEST_NUMBER = 9  # digits; a longer number is no real time


def expected_seconds(annotations: Mapping[str, str]) -> int | None:
    """The number in EXPECTED_SECONDS; None if it is absent or not such a number."""
    text = annotations.get(EXPECTED_SECONDS, "")
    sound = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
    return int(text) if sound else None


class Phase(enum.Enum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Toleration:
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def tolerates(self, taint: Taint) -> bool:
        """Kubernetes' rule: an empty effect matches every effect, an empty key every key."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.key and self.key != taint.key:
            return False
        if self.operator == "Exists":
            return True
        return bool(self.key) and self.value == taint.value


@dataclass(frozen=True, slots=True)
class HostPort:
    port: int
    protocol: str = "TCP"
    ip: str = "0.0.0.0"  # noqa: S104  Kubernetes' word for "every address of the node"

    def collides(self, other: "HostPort") -> bool:
        if self.port != other.port or self.protocol != other.protocol:
            return False
        return self.ip == other.ip or "0.0.0.0" in {self.ip, other.ip}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that a pod's spec names in place, without a claim; with no `kind` it never collides.

    If the disk counts towards attach limits, it counts by `driver` and `handle`.
    """

    kind: str
    name: str
    read_only: bool = False
    monitors: frozenset[str] = frozenset()  # of an rbd image; a shared one: the same image
    driver: str = ""
    handle: str = ""

    def collides(self, other: "Disk") -> bool:
        """Whether a node cannot have both disks: kube-scheduler's rule (VolumeRestrictions)."""
        if not self.kind or (self.kind, self.name) != (other.kind, other.name):
            return False
        if self.kind == "awsElasticBlockStore":
            return True
        if self.read_only and other.read_only:
            return False
        return self.kind != "rbd" or bool(self.monitors & other.monitors)


@dataclass(frozen=True, slots=True)
class PodTerm:
    """A pod affinity term: pods that `selector` matches in `namespaces`, seen per `topology_key`.

    It looks in the named namespaces and in those whose labels `namespace_selector` matches; without
    either, in the pod's own namespace. `weight` is 0 for a required term.
    """

    selector: requirements.Term
    topology_key: str
    namespaces: frozenset[str] = frozenset()
    all_namespaces: bool = False
    weight: int = 0
    namespace_selector: requirements.Term | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """A topologySpreadConstraint; `hard` is DoNotSchedule."""

    topology_key: str
    selector: requirements.Term
    max_skew: int = 1
    min_domains: int = 1
    hard: bool = True
    honour_affinity: bool = True
    honour_taints: bool = False


@dataclass(frozen=True, slots=True)
class Claim:
    """A volume that limits where a pod may run.

    `terms`: node terms of the bound volume (any must match); empty when it may go anywhere.
    `moved`: terms used instead on nodes that say that a CSI driver now serves `plugin`. `zones`:
    labels of that volume with the values that a node with any such label must have.
    `alone`: only one pod at a time may use it, on any node (ReadWriteOncePod).
    `unbound`: it waits for its first consumer; the pod cannot be created with a node. `selected`:
    the node for which its volume is being made, once a node is chosen. `made`: the volume exists
    and will be bound in a moment. `missing`: somebody else has to act before the pod can run
    anywhere; `why` says what is lacking.
    """

    name: str
    uid: str = ""
    terms: tuple[requirements.Term, ...] = ()
    unbound: bool = False
    selected: str = ""
    made: bool = False
    missing: bool = False
    why: str = ""
    driver: str = ""  # CSI driver, for attach limits
    handle: str = ""  # a volume counts once on each node
    deleting: bool = False
    service: str = ""  # the LongService whose instance has it, by its label
    owners: frozenset[str] = frozenset()  # uids
    controller: str = ""  # uid of its controlling owner: the pod for which it was made
    zones: tuple[tuple[str, frozenset[str]], ...] = ()
    plugin: str = ""
    moved: tuple[requirements.Term, ...] = ()
    alone: bool = False

    def only_on(self, node: Node) -> bool:
        """Whether its volume exists on this node alone, as local volumes do."""
        return bool(self.terms) and all(
            term.names_only(node.labels, node.name) for term in self.terms
        )

    def pinned_to(self, node: Node | None) -> bool:
        """Whether its volume is being made for this node and the node can still take the pod.

        If that node goes or is about to go, another node may be chosen: in the end the volume
        itself says where it can be mounted.
        """
        here = self.unbound and node is not None and node.name == self.selected
        return here and node is not None and node.ready and not node.leaving


@dataclass(frozen=True, slots=True)
class Constraints:
    """Where a pod may run. Hashable: pods with equal constraints form classes."""

    selector: tuple[tuple[str, str], ...] = ()  # nodeSelector, sorted
    affinity: tuple[requirements.Term, ...] | None = None  # required node affinity: any term
    preferred: tuple[tuple[int, requirements.Term], ...] = ()  # (weight, term)
    tolerations: tuple[Toleration, ...] = ()
    host_ports: tuple[HostPort, ...] = ()
    pod_affinity: tuple[PodTerm, ...] = ()
    pod_anti_affinity: tuple[PodTerm, ...] = ()
    spread: tuple[Spread, ...] = ()
    claims: tuple[str, ...] = ()  # names of PersistentVolumeClaims
    own: tuple[str, ...] = ()  # names in `claims` that Kubernetes makes for this pod alone …
    uid: str = ""  # … and the pod's uid, by which these claims are known; empty for other pods
    disks: tuple[Disk, ...] = ()
    late: bool = False  # something is made for the stored pod: it cannot be created with a node
    devices: bool = False  # resourceClaims: only kube-scheduler allocates them


ANYWHERE = Constraints()
# Kinds of owners whose pods end by themselves; a Pod owns the executors of its Spark application.
_RUN_OWNERS = frozenset({"BatchJob", "Job", "Pod"})


# A tuple is searched by identity; a set would call the enum's hash, which is a Python function.
_OVER = (Phase.SUCCEEDED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Owner:
    """The controller in a pod's ownerReferences, or the pod that it belongs to."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Ending:
    """How a pod's containers ended or are doing: the container in the worst state decides.

    `exit_code` and `reason` come from the terminated container that failed (else from the last
    one); times are epoch seconds.
    """

    exit_code: int | None = None
    reason: str = ""
    message: str = ""
    started_at: int | None = None
    finished_at: int | None = None
    restarts: int = 0
    waiting: str = ""  # CrashLoopBackOff, ImagePullBackOff, ErrImageNeverPull …
    said: str = ""  # the kubelet's message beside `waiting`
    unexplained: bool = False  # ended by a signal, perhaps after a probe: an Event alone says so
    lacking: bool = False  # one main container has started, another never has
    prepared: bool = False  # an init container or a sidecar has started
    preparing: bool = False  # an init container is at work
    prepared_at: int | None = None  # when the last init container that succeeded ended

    @property
    def began(self) -> bool:
        """Whether any container is known to have started."""
        return self.prepared or self.started_at is not None

    @property
    def complete(self) -> bool:
        """Whether all main containers are known to have started."""
        return self.started_at is not None and not self.lacking


FRESH = Ending()
CLOCKS_DIFFER_SECONDS = 60  # between the clocks of the operator, the API server and a node
UNSCHEDULABLE = "Unschedulable"  # autoscalers buy nodes for pods with this reason
WAITING_FOR_NODE = "WaitingForNode"  # a node is bought for the pod: no autoscaler need do so
DEFECTIVE = "SchedulerError"  # Kubernetes' reason if a defect of the scheduler keeps a pod back


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. `node` is empty while it is unplaced; times are epoch seconds."""

    namespace: str
    name: str
    uid: str = ""
    node: str = ""
    nominated: str = ""
    scheduler: str = ""
    request: resources.Vector = resources.ONE_POD
    constraints: Constraints = ANYWHERE
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)  # ours, and the deletion cost
    priority: int = 0
    owner: Owner | None = None
    finalizers: tuple[str, ...] = ()
    created_at: int = 0
    deleted_at: int | None = None  # deletionTimestamp: when its grace ends
    grace_seconds: int | None = None  # deletionGracePeriodSeconds
    uprooted: bool = False  # remembered, not stored: its node, or we, made it go
    delete_assumed: bool = False  # we decided `deleted_at`; the server has not said so yet
    placed_at: int | None = None  # when PodScheduled became true
    phase: Phase = Phase.PENDING
    reason: str = ""  # status.reason: Evicted, OutOfcpu, NodeAffinity, NodeLost …
    message: str = ""
    ready: bool = False
    ready_since: int | None = None  # when `ready` last turned, either way
    unmet_gates: str = ""  # which readiness gates alone keep it from being ready, and their state
    scheduled_reason: str = ""  # reason of PodScheduled=False: Unschedulable, SchedulingGated …
    scheduled_message: str = ""  # and its sentence
    disrupted: str = ""  # reason of DisruptionTarget=True
    gated: bool = False
    stays: str = ""  # the annotation or the volume for which it should not be moved; empty if none
    stays_until: int | None = None  # when that ends (epoch seconds); None: as long as the pod lives
    ending: Ending = FRESH
    companions: Companions | None = None  # room that is held for pods which it will make
    resource_version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def terminal(self) -> bool:
        """Whether its containers have ended for good: the pod holds no room any more."""
        return self.phase in _OVER

    @property
    def terminating(self) -> bool:
        return self.deleted_at is not None

    def overdue_at(self, patience_seconds: int) -> int | None:
        """When the deletion has taken too long (epoch seconds); None if the server knows of none.

        A delete that we only decided may still be on its way: the pod still runs.
        """
        if self.deleted_at is None or self.delete_assumed:
            return None
        return self.deleted_at + patience_seconds

    @property
    def asked_at(self) -> int:
        """When the pod was asked to go (epoch seconds); 0 if nobody has asked it."""
        return 0 if self.deleted_at is None else self.deleted_at - (self.grace_seconds or 0)

    @property
    def resident(self) -> bool:
        """Whether it belongs to its node (DaemonSet, static pod) and does not make it used."""
        return self.owner is not None and self.owner.kind in {"DaemonSet", "Node"}

    def barred(self, now: int) -> str:
        """The annotation or the volume for which it should not be moved now; empty if none."""
        ended = self.stays_until is not None and self.stays_until <= now
        return "" if ended else self.stays

    @property
    def passing(self) -> bool:
        """Whether the pod will leave its node by itself: a run, or a pod that is being deleted."""
        return self.is_run or self.terminating

    @property
    def is_run(self) -> bool:
        """Whether it ends by itself when its work is done."""
        return self.owner is not None and self.owner.kind in _RUN_OWNERS

    @property
    def lasts(self) -> int | None:
        """How many seconds a run is expected to run; None if the pod does not end by itself."""
        return expected_seconds(self.annotations) if self.passing else None

    @property
    def ends_at(self) -> int | None:
        """When it is expected to leave its node (epoch seconds); None if nobody can tell."""
        if self.deleted_at is not None:
            return self.deleted_at
        lasts = self.lasts
        if lasts is None:
            return None
        started_at = self.ending.started_at
        return (self.created_at if started_at is None else started_at) + lasts

    def ended_at(self, now: int) -> int:
        """When a pod that is over ended, as well as that is known (epoch seconds).

        That is the last `finishedAt`; for a pod that its kubelet refused or evicted, it is the
        first start, else the creation. The creation is a time of the API server's clock, the others
        are times of the node's clock. A time before the creation, or in the future, shows that a
        clock is wrong: then the pod ended as long after its creation as its containers ran. If
        that is in the future too, the node's clock was set while they ran, and the creation counts.

        A later call finds the same or a later end, so that code that waits for a time after an end
        does not wait for ever. Code that records an end once may take the moment in which it sees
        the end instead (`attempt_outcome`).
        """
        started, finished = self.ending.started_at, self.ending.finished_at
        told = started if finished is None else finished
        if told is None or self.created_at <= told <= now:
            return self.created_at if told is None else told
        ran = 0 if started is None else max(told - started, 0)
        guess = self.created_at + ran
        if told > now:
            guess = min(guess, told)
        return guess if guess <= now + CLOCKS_DIFFER_SECONDS else self.created_at

    def says(self, sentence: str, held: str, word: str = UNSCHEDULABLE) -> bool:
        """Whether the pod already says that it waits, why, and which node is held for it."""
        return (
            self.scheduled_reason == word
            and self.scheduled_message == sentence
            and self.nominated == held
        )

    @property
    def assumed(self) -> bool:
        """Whether the pod is only counted on: its CREATE has not been seen yet."""
        return not self.uid
