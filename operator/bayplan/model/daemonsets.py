"""What a DaemonSet's pods tolerate beyond their template.

The DaemonSet controller adds this to each pod that it makes, and judges by it which nodes get one
(kubernetes/kubernetes, pkg/controller/daemon/util: AddOrUpdateDaemonPodTolerations). Who keeps
room for such pods has to judge alike.
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
# Who needs no network of pods runs before there is one, and may be what sets it up.
_ON_HOST_NETWORK = Toleration(
    "node.kubernetes.io/network-unavailable", "Exists", effect="NoSchedule"
)


def tolerations(own: tuple[Toleration, ...], *, host_network: bool) -> tuple[Toleration, ...]:
    """All that a pod of a DaemonSet tolerates; `own` are those of its template."""
    return (*own, *_EVERYWHERE, *((_ON_HOST_NETWORK,) if host_network else ()))
