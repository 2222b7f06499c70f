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

DRAINING = "bayplan.dev/draining"  # the taint of a node that is to be emptied
# The values of that taint where a Pool has set it, not a person: the node's pods move to other
# nodes, or it has been empty for long enough.
MOVING, RETIRING = "moving", "retiring"
POOL_DRAINS = frozenset({MOVING, RETIRING})
CLOSING = "bayplan.dev/closing"  # the annotation of a node that is to be given back
KEEP = "bayplan.dev/keep"  # "true": a person wants the node to stay

# Taints with which Karpenter and the Cluster Autoscaler say that a node is about to go: nothing new
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
        DRAINING,
    }
)
# Taints with which the control plane says that it lost contact with the kubelet.
LOST_TAINTS = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
# A pod that is deleted on a node with one of these taints goes because of the node, which is
# cordoned, lost, switched off or about to go. DeletionCandidateOfClusterAutoscaler is not in the
# set: such a node may stay, and Cluster Autoscaler sets ToBeDeletedByClusterAutoscaler before it
# touches a pod.
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
# The taint that marks a node may come, and be seen, a little after the first deletes.
_LAG_SECONDS = 10
OF_ITSELF = (HOSTNAME, INSTANCE_TYPE, REGION, ZONE, OS, ARCH)  # labels of every node
# The former names of labels; whoever sets one name also sets the other.
FORMER = (
    (OS, "beta.kubernetes.io/os"),
    (ARCH, "beta.kubernetes.io/arch"),
    (INSTANCE_TYPE, "beta.kubernetes.io/instance-type"),
    (ZONE, "failure-domain.beta.kubernetes.io/zone"),
    (REGION, "failure-domain.beta.kubernetes.io/region"),
)


def with_former(labels: Mapping[str, str]) -> dict[str, str]:
    """A node's labels under both names, as kubelet, cloud and node controllers keep them."""
    both = dict(labels)
    for now, before in FORMER:
        for one, other in ((now, before), (before, now)):
            if one in labels:
                both.setdefault(other, labels[one])
    return both


@dataclass(frozen=True, slots=True)
class Taint:
    key: str
    value: str = ""
    effect: str = "NoSchedule"  # NoSchedule, PreferNoSchedule or NoExecute

    @property
    def of_pool(self) -> bool:
        """Whether a Pool has set it in order to give its node back."""
        return self.key == DRAINING and self.value in POOL_DRAINS


@dataclass(frozen=True, slots=True)
class Node:
    """One node. `ready` is its Ready condition; `ready_changed_at` (epoch seconds) when it turned.

    `emptying_since` is when the emptying of the node began, as far as the node object shows it, and
    0 if nothing shows it; it means nothing while the node is not `emptying`. `allocatable` holds
    milli-CPU, bytes and counts (see `resources`). `price_microdollars` is the price of an hour if
    a label, an annotation or the settings give it. `provider_id` names the instance.
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
    provider_id: str = ""
    resource_version: str = ""
    closing: str = ""  # the annotation CLOSING
    kept: str = ""  # the annotation by which somebody wants the node to stay; empty without any

    @property
    def leaving(self) -> bool:
        """Whether the node is marked to be emptied: cordoned, tainted or deleted."""
        return (
            self.unschedulable
            or self.deleting
            or any(taint.key in LEAVING_TAINTS for taint in self.taints)
        )

    @property
    def given_back(self) -> bool:
        """Whether a Pool has tainted the node in order to give it back."""
        return any(taint.of_pool for taint in self.taints)

    @property
    def drains(self) -> frozenset[str]:
        """The values of its taints DRAINING: who empties it, and how; empty if nobody does."""
        return frozenset(taint.value for taint in self.taints if taint.key == DRAINING)

    @property
    def emptying(self) -> bool:
        """Whether pods leave because of the node: it is leaving, lost or switched off."""
        return (
            self.leaving
            or not self.ready
            or any(taint.key in EMPTYING_TAINTS for taint in self.taints)
        )

    def took(self, asked_at: int) -> bool:
        """Whether a pod asked to go at that time (epoch seconds) goes because of the node."""
        return self.emptying and self.emptying_since <= asked_at + _LAG_SECONDS
