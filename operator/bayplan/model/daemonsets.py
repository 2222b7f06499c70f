"""What a DaemonSet's pods tolerate beyond their template.

The DaemonSet controller adds these tolerations to each pod that it makes, and uses them to decide
which nodes get a pod (kubernetes/kubernetes, pkg/controller/daemon/util:
AddOrUpdateDaemonPodTolerations). Code that keeps room for such pods has to decide in the same way.
"""

from bayplan.model.pods import Toleration

_EVERYWHERE = tuple(
    Toleration(f"node.kubernetes.io/{key}", "Exists", effect=effect)
    for key, effect in (
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
    )
)
# A pod that needs no pod network runs before there is one, and may be the pod that sets it up.
_ON_HOST_NETWORK = Toleration(
    "node.kubernetes.io/network-unavailable", "Exists", effect="NoSchedule"
)


def tolerations(own: tuple[Toleration, ...], *, host_network: bool) -> tuple[Toleration, ...]:
    """All that a pod of a DaemonSet tolerates; `own` are the tolerations of its template."""
    return (*own, *_EVERYWHERE, *((_ON_HOST_NETWORK,) if host_network else ()))
