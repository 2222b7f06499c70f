"""Why a node refuses a class and why a task waits: the only place with the words of refusals.

A refusal is a value; the same value becomes a status, an Event, a metric's label and a sentence
of `bayplan explain`. The order of `Reason` is the order of the funnel: each node is charged to the
first reason that holds (Mesos' funnel, mesosphere/marathon NoOfferMatchReason). What no node can
mend comes first. A node that is too small even when empty is charged to that before any reason that
may follow from where other pods are.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field


class Reason(enum.Enum):
    """Each member's value is its CamelCase word in the API; `words` is its text in a sentence."""

    BAD_COMPANIONS = "InvalidCompanions"
    VOLUME_MISSING = "VolumeMissing"
    VOLUME_IN_USE = "VolumeInUse"
    DEVICES = "DeviceClaims"
    NOT_READY = "NodeNotReady"
    CORDONED = "NodeCordoned"
    LEAVING = "NodeLeaving"
    COOLING = "NodeCoolingDown"
    TAINT = "Taint"
    SELECTOR = "NodeSelector"
    AFFINITY = "NodeAffinity"
    TOO_BIG = "TooBigForNode"
    VOLUME_ZONE = "VolumeZone"
    VOLUME_NODE = "VolumeSelectedNode"
    VOLUME_BINDING = "VolumeBinding"
    VOLUME_LIMIT = "VolumeLimit"
    DISK_IN_USE = "DiskInUse"
    CONSTRAINT = "Constraint"
    HOST_PORT = "HostPort"
    POD_AFFINITY = "PodAffinity"
    ANTI_AFFINITY = "PodAntiAffinity"
    SPREAD = "TopologySpread"
    HELD = "HeldForAnother"
    RESOURCES = "InsufficientResources"
    COMPANIONS = "NoRoomForCompanions"
    DEFECT = "OperatorDefect"

    @property
    def words(self) -> str:
        return _WORDS[self]

    @property
    def constrains(self) -> bool:
        """Whether it tells where pods may go, and not what a node lacks or what state it is in."""
        return self in _CONSTRAINING


_WORDS = {
    Reason.NOT_READY: "not ready",
    Reason.CORDONED: "cordoned",
    Reason.LEAVING: "leaving",
    Reason.COOLING: "cooling down after a refusal",
    Reason.TAINT: "taint",
    Reason.SELECTOR: "node selector",
    Reason.AFFINITY: "node affinity",
    Reason.CONSTRAINT: "constraint",
    Reason.DEVICES: "resourceClaims, which kube-scheduler alone can allocate",
    Reason.VOLUME_MISSING: "volume claim not ready",
    Reason.VOLUME_IN_USE: "ReadWriteOncePod claim in use",
    Reason.VOLUME_ZONE: "volume in another zone",
    Reason.VOLUME_NODE: "volume being made for another node",
    Reason.VOLUME_BINDING: "volume being made",
    Reason.VOLUME_LIMIT: "no more volumes attachable",
    Reason.DISK_IN_USE: "disk in use there",
    Reason.HOST_PORT: "host port taken",
    Reason.POD_AFFINITY: "pod affinity",
    Reason.ANTI_AFFINITY: "pod anti-affinity",
    Reason.SPREAD: "topology spread",
    Reason.HELD: "held for another task",
    Reason.TOO_BIG: "too small for it even when empty",
    Reason.RESOURCES: "insufficient",
    Reason.COMPANIONS: "without room left for its companions",
    Reason.BAD_COMPANIONS: "annotation bayplan.dev/companions",
    Reason.DEFECT: "not looked at, by a defect of Bayplan (its log has it)",
}


_CONSTRAINING = frozenset(
    {
        Reason.TAINT,
        Reason.SELECTOR,
        Reason.AFFINITY,
        Reason.CONSTRAINT,
        Reason.POD_AFFINITY,
        Reason.ANTI_AFFINITY,
        Reason.SPREAD,
    }
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nodes refuse: reason, detail (such as a taint's key or a resource), how many nodes."""

    reason: Reason
    detail: str = ""
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class Nearest:
    """The node that came closest, and what it lacks (milli-CPU, bytes, counts)."""

    node: str
    lacks: Mapping[str, int] = field(default_factory=dict)
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Funnel:
    """Why a class found no room: the nodes of its refusals add up to `considered`."""

    considered: int
    refusals: tuple[Refusal, ...] = ()
    nearest: Nearest | None = None

    @property
    def ordered(self) -> tuple[Refusal, ...]:
        """The refusals, the true reason first.

        What nodes lack comes before constraints, which say only which nodes are left; of both, what
        most nodes say comes first.
        """
        return tuple(sorted(self.refusals, key=lambda one: (one.reason.constrains, -one.nodes)))

    @property
    def making(self) -> bool:
        """Whether the pod has its node and only waits until a volume has been made there."""
        return any(refusal.reason is Reason.VOLUME_BINDING for refusal in self.refusals)

    @property
    def faulty(self) -> str:
        """What is wrong with the pod itself, so that no node takes it; empty if nothing is."""
        bad = (one.detail for one in self.refusals if one.reason is Reason.BAD_COMPANIONS)
        return next(bad, "")

    @property
    def defect(self) -> bool:
        """Whether the class is set aside because a defect of ours was met while looking at it."""
        return any(refusal.reason is Reason.DEFECT for refusal in self.refusals)


def set_aside(considered: int) -> Funnel:
    """The funnel of a class that met a defect of ours: all nodes refuse it for OperatorDefect."""
    return Funnel(considered, (Refusal(Reason.DEFECT, "", considered),))
