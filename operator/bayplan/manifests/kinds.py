"""Decides the role of an object in a simulation, by its API group and kind.

Other projects use Kubernetes' names for their own kinds (a Service of Knative, a Job of Volcano).
So the kind alone does not say what an object of another group is.
"""

from bayplan import units
from bayplan.api import names
from bayplan.api.kinds import NAMES
from bayplan.cloud import node_pools
from bayplan.inputs import InputError
from bayplan.manifests import published_schema, volumes
from bayplan.manifests.documents import Document, mapping

REPLICATED = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
OURS = frozenset(NAMES)
WORKLOADS = REPLICATED | OURS | {"Job", "CronJob"}
# These objects change what an API server or a node does with pods.
FACTS = frozenset(
    {
        "PriorityClass", "RuntimeClass", "LimitRange", "HorizontalPodAutoscaler",
        *volumes.KINDS,
    }
)  # fmt: skip
POOL = (names.GROUP, names.POOL_KIND)
SCALED = ("keda.sh", "ScaledObject")  # KEDA's autoscaler of a workload
# Kinds that create no pods: of Kubernetes until 1.24, and of other projects.
_RETIRED = frozenset({"PodSecurityPolicy", "PodPreset", "ThirdPartyResource"})
_BESIDE = frozenset(
    {
        ("karpenter.sh", "NodeClaim"),
        ("karpenter.kwok.sh", "KWOKNodeClass"),
    }
)
_OF_KARPENTER = {
    (node_pools.GROUP, node_pools.KIND): "NodePool",
    ("karpenter.k8s.aws", "EC2NodeClass"): "NodeClass",
}


def sort(document: Document) -> str:
    """`workload`, `fact`, `Node`, `DaemonSet`, `Pod`, `Namespace`, `NodePool`, `NodeClass`.

    A LongService with mode PerNode is a `DaemonSet`, and `suspended` with 0 replicas. Empty for an
    object that means nothing here.
    """
    kind = document.kind
    if (document.group, kind) in _OF_KARPENTER:
        return _OF_KARPENTER[document.group or "", kind]
    if (document.group, kind) in {POOL, SCALED}:
        return "fact"
    if own(document):
        spec = mapping(document.body.get("spec"))
        if kind == names.LONGSERVICE and spec.get("mode") == "PerNode":
            return "DaemonSet" if spec.get("replicas") != 0 else "suspended"
        if kind in WORKLOADS:
            return "workload"
        if kind in {"Node", "DaemonSet", "Pod", "Namespace"}:
            return kind
        if kind in FACTS:
            return "fact"
    if not known(document):
        raise InputError(document.called, f"{unknown(document)}; --ignore-unknown skips it")
    return ""


def own(document: Document) -> bool:
    """Whether it is of Kubernetes' or our own groups; an object without apiVersion is."""
    group = document.group
    if document.kind in OURS:
        return group in {None, names.GROUP}
    return group is None or "." not in group or group.endswith(".k8s.io")


def known(document: Document) -> bool:
    """Whether we know that it creates no pods which would be missed."""
    group, kind = document.group, document.kind
    if (group, kind) in _BESIDE:
        return True
    if group is not None and group.endswith(".k8s.io"):
        return True  # kinds of SIGs create no pods: gateways, snapshots, files of kustomize
    return own(document) and (kind in OURS or kind in published_schema.load().known | _RETIRED)


def unknown(document: Document) -> str:
    """`unknown kind 'Service' of serving.knative.dev`."""
    of = f" of {units.shown(document.group)}" if document.group else ""
    return f"unknown kind {units.shown(document.kind)}{of}"


def identity(document: Document) -> tuple[str, str, str]:
    """The key of an object, without its group: a Deployment of an old group is the same one."""
    return document.kind, document.namespace, document.name
