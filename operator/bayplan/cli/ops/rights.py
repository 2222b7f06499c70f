"""The rights that the operator's account needs; `doctor` checks them.

The chart grants them by `files/rules.yaml`; a test holds both equal. `CLUSTER` has the rights in
the whole cluster, `SERVED` those in served namespaces, `OWN` those in the operator's own namespace,
`POOLS` those that an operator that serves Pools has beside them.
"""

from collections.abc import Iterator, Mapping

from bayplan.api.kinds import KINDS
from bayplan.api.names import GROUP

Granted = Mapping[str, tuple[tuple[str, str], ...]]  # API group -> (resources, verbs)…
Right = tuple[str, str, str]  # API group, resource with its part, verb

_LOOK = "list watch"
_KEEP = "get list watch create patch delete"

_CLUSTER: Granted = {
    "": (("nodes namespaces persistentvolumes persistentvolumeclaims pods", _LOOK),),
    "apps": (("daemonsets", _LOOK),),
    "storage.k8s.io": (("storageclasses csinodes volumeattachments", _LOOK),),
    "scheduling.k8s.io": (("priorityclasses", _LOOK),),
    "apiextensions.k8s.io": (("customresourcedefinitions", "get"),),
}
_SERVED: Granted = {
    GROUP: (
        (" ".join(kind.plural for kind in KINDS), _LOOK),
        (" ".join(f"{kind.plural}/status" for kind in KINDS), "patch"),
        (" ".join(f"{kind.plural}/finalizers" for kind in KINDS), "update"),
    ),
    "": (
        ("pods", "get create patch delete"),
        ("pods/binding pods/eviction", "create"),
        ("pods/status", "patch"),
        ("persistentvolumeclaims", "create patch delete"),
        ("services", _KEEP),
        ("resourcequotas limitranges", _LOOK),
    ),
    "apps": (("controllerrevisions", _KEEP),),
    "policy": (("poddisruptionbudgets", _KEEP),),
    "events.k8s.io": (("events", "create list patch"),),
}
_OWN: Granted = {"coordination.k8s.io": (("leases", "get create patch"),)}
_POOLS: Granted = {
    GROUP: (("pools", _LOOK), ("pools/status", "patch")),
    "karpenter.sh": (
        ("nodepools", _LOOK),
        ("nodeclaims", "get list watch create delete"),
        ("nodepools/finalizers", "update"),
    ),
    "karpenter.k8s.aws": (("ec2nodeclasses", "get"),),
    "eks.amazonaws.com": (("nodeclasses", "get"),),
    "karpenter.kwok.sh": (("kwoknodeclasses", "get"),),
    "": (("nodes", "get patch"),),
}


def _rights(granted: Granted) -> Iterator[Right]:
    for group, rules in granted.items():
        for resources, verbs in rules:
            for resource in resources.split():
                for verb in verbs.split():
                    yield group, resource, verb


CLUSTER = tuple(_rights(_CLUSTER))
SERVED = tuple(_rights(_SERVED))
OWN = tuple(_rights(_OWN))
POOLS = tuple(_rights(_POOLS))
