"""What the scheduler knows of a node: a frozen value, decoded at the border."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.model import resources

HOSTNAME = "kubernetes.io/hostname"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"
OS, ARCH = "kubernetes.io/os", "kubernetes.io/arch"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
PRICE = "eks-node-viewer/instance-price"  # dollars an hour, as a label or an annotation

# Taints by which Karpenter and the Cluster Autoscaler say that a node is about to go: nothing new
# lands there, and services start replacements at once.
LEAVING_TAINTS = frozenset(
    {
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "ToBeDeletedByClusterAutoscaler",
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "aws-node-termination-handler/rebalance-recommendation",
        "bayplan.dev/draining",
    }
)
# Taints by which the control plane says that it lost contact with the kubelet.
LOST_TAINTS = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
# Whoever deletes a pod on a node with one of these empties the node: it is cordoned, lost, switched
# off or about to be. DeletionCandidateOfClusterAutoscaler is none: such a node may yet stay, and
# Cluster Autoscaler sets ToBeDeletedByClusterAutoscaler before it touches a pod.
EMPTYING_TAINTS = (
    LEAVING_TAINTS
    | LOST_TAINTS
    | frozenset(
        {
            "node.kubernetes.io/unschedulable",
            "node.kubernetes.io/out-of-service",
            "node.cloudprovider.kubernetes.io/shutdown",
            "cloud.google.com/impending-node-termination",
        }
    )
)
# A taint by which a node is marked may come, and be seen, a little after the first deletes.
_LAG_SECONDS = 10
OF_ITSELF = (HOSTNAME, INSTANCE_TYPE, REGION, ZONE, OS, ARCH)  # labels of every node
# The word that a label had before; who sets one of the two sets both.
_FORMER = (
    (OS, "beta.kubernetes.io/os"),
    (ARCH, "beta.kubernetes.io/arch"),
    (INSTANCE_TYPE, "beta.kubernetes.io/instance-type"),
    (ZONE, "failure-domain.beta.kubernetes.io/zone"),
    (REGION, "failure-domain.beta.kubernetes.io/region"),
)


def with_former(labels: Mapping[str, str]) -> dict[str, str]:
    """A node's labels as kubelet, cloud and node controllers keep them, by both words."""
    both = dict(labels)
    for now, before in _FORMER:
        for one, other in ((now, before), (before, now)):
            if one in labels:
                both.setdefault(other, labels[one])
    return both


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str = ""
    effect: str = "NoSchedule"  # NoSchedule, PreferNoSchedule or NoExecute


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `ready` is the Ready condition; `ready_changed_at` (epoch seconds) when it turned.

    `emptying_since` is since when it is being emptied as far as that is written on it, 0 where
    nothing says when; it means nothing while the node is not `emptying`. `allocatable` holds
    milli-CPU, bytes and counts (see `resources`). `price_microdollars` is an hour's price when a
    label, an annotation or the settings tell it.
    """

    name: str
    uid: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False
    deleting: bool = False
    ready: bool = True
    ready_changed_at: int = 0
    emptying_since: int = 0
    allocatable: resources.Vector = resources.NOTHING
    created_at: int = 0
    price_microdollars: int | None = None
    resource_version: str = ""

    @property
    def leaving(self) -> bool:
        """Whether somebody has said that this node is to be emptied: cordoned, tainted, deleted."""
        return (
            self.unschedulable
            or self.deleting
            or any(taint.key in LEAVING_TAINTS for taint in self.taints)
        )

    @property
    def emptying(self) -> bool:
        """Whether pods go from here because of the node: it is leaving, lost or switched off."""
        return (
            self.leaving
            or not self.ready
            or any(taint.key in EMPTYING_TAINTS for taint in self.taints)
        )

    def took(self, asked_at: int) -> bool:
        """Whether a pod that was asked to go then (epoch seconds) went because of the node."""
        return self.emptying and self.emptying_since <= asked_at + _LAG_SECONDS
