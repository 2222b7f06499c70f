"""What DaemonSets' pods tolerate, against the DaemonSet controller's own table."""

import pytest

from bayplan.model.daemonsets import tolerations
from bayplan.model.nodes import Taint
from bayplan.model.pods import Toleration

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
# kubernetes/kubernetes, pkg/controller/daemon/util/daemonset_util.go
ORIGINAL = {
    "not-ready": "NoExecute",
    "unreachable": "NoExecute",
    "disk-pressure": "NoSchedule",
    "memory-pressure": "NoSchedule",
    "pid-pressure": "NoSchedule",
    "unschedulable": "NoSchedule",
}
ON_HOST_NETWORK = {"network-unavailable": "NoSchedule"}


def tolerated(*, host_network: bool) -> dict[str, str]:
    """Of the taints that Kubernetes sets: which, and of which effect."""
    found = tolerations((), host_network=host_network)
    keys = [*ORIGINAL, *ON_HOST_NETWORK, "out-of-service"]
    taints = [Taint(f"node.kubernetes.io/{key}", "", effect) for key in keys for effect in EFFECTS]
    return {
        taint.key.removeprefix("node.kubernetes.io/"): taint.effect
        for taint in taints
        if any(one.tolerates(taint) for one in found)
    }


@pytest.mark.parametrize(
    ("host_network", "expected"), [(False, ORIGINAL), (True, ORIGINAL | ON_HOST_NETWORK)]
)
def test_as_the_controller_has_it(host_network: bool, expected: dict[str, str]) -> None:
    """Each taint with one effect alone; a missing network only where the pod uses the node's."""
    assert expected == tolerated(host_network=host_network)


def test_the_templates_own_are_kept() -> None:
    """They come first, as they are."""
    own = (Toleration("gpu", "Equal", "yes"), Toleration("", "Exists"))

    assert own == tolerations(own, host_network=False)[:2]
