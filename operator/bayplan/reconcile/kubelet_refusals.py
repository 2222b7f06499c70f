"""The kubelet's words for "not on this node": one list for runs and for instances.

A pod that its node refuses at the door has not failed, and neither has its workload; the next one
goes elsewhere. (pkg/kubelet: lifecycle, preemption, cm, nodeshutdown; scheduler plugins' names.)
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
    """Whether a pod's `status.reason` says that its node, not the pod, is why it ended."""
    return reason in _WORDS or reason.startswith("OutOf")
