"""The kubelet's words for "not on this node": one list for runs and for instances.

When a node refuses a pod before it starts, neither the pod nor its workload has failed; the next
pod goes to another node. (pkg/kubelet: lifecycle, preemption, cm, nodeshutdown; scheduler plugins'
names.)
"""

_WORDS = frozenset(
    {
        "AdmissionFailed",
        "InvalidNodeInfo",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "NodeShutdown",
        "NodeUnschedulable",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "Preempting",
        "SMTAlignmentError",
        "Shutdown",
        "TaintToleration",
        "Terminated",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
    }
)


def is_refusal(reason: str) -> bool:
    """Whether a pod's `status.reason` says that it ended because of its node, not of itself."""
    return reason in _WORDS or reason.startswith("OutOf")
