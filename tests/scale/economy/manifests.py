"""The objects of both arms: the NodePool, the Pool, and the same load in three ways."""

from collections.abc import Mapping
from typing import Any

from localcluster import karpenter
from tests.cluster.manifests import SLEEPER, make_service
from tests.scale.economy import market

POOL = "bayplan.dev/pool"  # label and taint
NAMESPACE = "bench"
NAME = "economy"  # of the NodePool, its class and the Pool
REGISTRATION_SECONDS = 5  # from a launch to the Node
NODE_CLASSES = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses"
NODE_POOLS = "/apis/karpenter.sh/v1/nodepools"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
POOLS = "/apis/bayplan.dev/v1alpha1/pools"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets"
SERVICES = f"/apis/bayplan.dev/v1alpha1/namespaces/{NAMESPACE}/longservices"
_NAME_ENDS_IN = 10  # characters of a claim by Bayplan
_QUIET = {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]}
_PLACED = {
    "nodeSelector": {POOL: NAME},
    "tolerations": [{"key": POOL, "operator": "Equal", "value": NAME, "effect": "NoSchedule"}],
}


def is_ours(claim: str) -> bool:
    """Whether a claim of this name was written by Bayplan; Karpenter's names are shorter."""
    return len(claim.removeprefix(f"{NAME}-")) == _NAME_ENDS_IN


def node_class() -> dict[str, Any]:
    return {
        "apiVersion": "karpenter.kwok.sh/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": NAME},
        "spec": {"nodeRegistrationDelay": f"{REGISTRATION_SECONDS}s"},
    }


def node_pool(disruption: Mapping[str, Any], *, ours: bool) -> dict[str, Any]:
    """The NodePool of either arm. `ours` is what Bayplan needs: the label and the taint."""
    required = {
        "karpenter.sh/capacity-type": ["on-demand"],
        "kubernetes.io/arch": ["amd64"],
        "node.kubernetes.io/instance-type": list(market.prices()),
        "topology.kubernetes.io/zone": list(market.ZONES),
    }
    node: dict[str, Any] = {
        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": NAME},
        "requirements": [
            {"key": key, "operator": "In", "values": values} for key, values in required.items()
        ],
        "expireAfter": "Never",
    }
    if ours:
        node["taints"] = [{"key": POOL, "value": NAME, "effect": "NoSchedule"}]
    labels = {**karpenter.NODE_LABELS, **({POOL: NAME} if ours else {})}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": NAME},
        "spec": {
            "disruption": dict(disruption),
            "template": {"metadata": {"labels": labels}, "spec": node},
        },
    }


def quiet_node_pool() -> dict[str, Any]:
    """The NodePool that a Pool buys through."""
    return node_pool(_QUIET, ours=True)


def pool(own: Mapping[str, Any]) -> dict[str, Any]:
    """The Pool; `own` are fields of its spec that are not the defaults."""
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Pool",
        "metadata": {"name": NAME},
        "spec": {"nodePoolRef": {"name": NAME}, "mode": "Buy", **own},
    }


def pool_of_groups(own: Mapping[str, Any]) -> dict[str, Any]:
    """The Pool with Auto Scaling groups in place of the NodePool."""
    spec = {**pool(own)["spec"], "autoScalingGroups": {}}
    del spec["nodePoolRef"]
    return {**pool(own), "spec": spec}


def replica_set(kind: market.Kind, *, ours: bool) -> dict[str, Any]:
    """A ReplicaSet for kube-scheduler; `ours` names Bayplan and the Pool."""
    labels = {"app": kind.name}
    template = {"metadata": {"labels": labels}, "spec": _pod(kind, ours=ours)}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": kind.name, "namespace": NAMESPACE},
        "spec": {
            "replicas": kind.pods,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }


def run(kind: market.Kind, number: int, seconds: float, *, ours: bool) -> dict[str, Any]:
    """A pod that ends by itself so long after its start, and must not be evicted before."""
    notes = {
        "sim.bayplan.dev/duration": f"{seconds:.1f}s",
        "karpenter.sh/do-not-disrupt": "true",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{kind.name}-run-{number}",
            "namespace": NAMESPACE,
            "annotations": notes,
        },
        "spec": {"restartPolicy": "Never", **_pod(kind, ours=ours)},
    }


def _pod(kind: market.Kind, *, ours: bool) -> dict[str, Any]:
    container = {**SLEEPER, "resources": {"requests": dict(kind.requests)}}
    return {
        "containers": [container],
        **({"schedulerName": "bayplan", **_PLACED} if ours else {}),
    }


def service(kind: market.Kind) -> dict[str, Any]:
    placed = {"replicas": kind.pods, "placement": {"pool": NAME}}
    return make_service(kind.name, NAMESPACE, **kind.requests, **placed)
