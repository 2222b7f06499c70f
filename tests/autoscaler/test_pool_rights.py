"""A node is bought and given back under the rights and the policy of the chart, and no others.

Karpenter core itself launches it. The API server's audit log says which rights were used.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from localcluster import Cluster, karpenter
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_job
from tests.cluster.test_rights import PARTS, Right, used
from tests.cluster.under_test import ACCOUNT, NAMESPACE, Site
from tests.helm import render

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

POOL = "bayplan.dev/pool"
NAME = "batch"
NODES = "/api/v1/nodes"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
POOLS = "/apis/bayplan.dev/v1alpha1/pools"
TYPES, ZONES = ["m5.large", "m5.xlarge"], ["us-east-1a"]
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
_BLOCKING = "asked by the admission of owner references that block deletion, where that is on"
_PROVIDER = "the class of another provider"
RARE: Mapping[Right, str] = {
    ("karpenter.sh", "nodepools/finalizers", "update"): _BLOCKING,
    ("karpenter.sh", "nodeclaims", "get"): "after a conflict, to see what is there",
    ("karpenter.k8s.aws", "ec2nodeclasses", "get"): _PROVIDER,
    ("eks.amazonaws.com", "nodeclasses", "get"): _PROVIDER,
}


@dataclass(frozen=True)
class Life:
    """What the operator did: its calls, and what was seen of nodes and jobs meanwhile."""

    calls: list[dict[str, Any]]
    bought: Objects
    jobs: Objects
    pool: Mapping[str, Any]


def node_class() -> dict[str, Any]:
    return {
        "apiVersion": "karpenter.kwok.sh/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": NAME},
        "spec": {"nodeRegistrationDelay": "2s"},
    }


def node_pool() -> dict[str, Any]:
    """A NodePool that Karpenter leaves to the Pool of its name."""
    required = {
        "karpenter.sh/capacity-type": ["on-demand"],
        "kubernetes.io/arch": ["amd64"],
        "topology.kubernetes.io/zone": ZONES,
        "node.kubernetes.io/instance-type": TYPES,
    }
    spec = {
        "nodeClassRef": {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": NAME},
        "requirements": [
            {"key": key, "operator": "In", "values": values} for key, values in required.items()
        ],
        "taints": [{"key": POOL, "value": NAME, "effect": "NoSchedule"}],
        "expireAfter": "Never",
    }
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": NAME},
        "spec": {
            "disruption": {"consolidateAfter": "Never", "budgets": [{"nodes": "0"}]},
            "template": {
                "metadata": {"labels": {POOL: NAME, **karpenter.NODE_LABELS}},
                "spec": spec,
            },
        },
    }


def pool() -> dict[str, Any]:
    """A Pool that buys, and that is the default."""
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "Pool",
        "metadata": {"name": NAME},
        "spec": {
            "nodePoolRef": {"name": NAME},
            "mode": "Buy",
            "default": True,
            "limits": {"nodes": 2, "dollarsPerHour": 1},
            "retirement": {"emptySeconds": 1},
        },
    }


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Two jobs get a node, one by the Pool's name and one by default; then the nodes go again."""
    slow: dict[str, Any] = {
        "node_monitor_grace_seconds": 36_000,
        "controller_manager_flags": ["--node-monitor-period=5s"],
    }
    with Cluster.start(audit=True, **slow) as local:
        local.start_karpenter(TYPES, ZONES)
        kube = Kube(local.kubeconfig)
        site = Site(kube, local, tmp_path_factory.mktemp("pools")).prepare()
        made = render({"pool": {"enabled": True}})
        kube.apply(*(one for one in made if one["metadata"]["name"] == "bayplan-pools"))
        kube.apply(node_class(), node_pool(), pool())
        space = site.namespace()
        with site.operator("--pools=true"):
            kube.until(POOLS, lambda found: read.holds(found, NAME, "Ready"), within=60)
            kube.apply(make_job("asks", space, seconds=5, placement={"pool": NAME}))
            kube.apply(make_job("tolerates", space, seconds=5))
            kube.until(
                read.jobs(space),
                lambda found: all(
                    read.holds(found, name, "Complete") for name in ("asks", "tolerates")
                ),
                within=120,
            )
            bought, jobs = kube.listed(NODES), kube.listed(read.jobs(space))
            kube.until(CLAIMS, lambda found: not found, within=120)
            kube.until(NODES, lambda found: not found, within=60)
        calls = [one for one in local.audit_events() if one["user"]["username"] == USER]
        yield Life(calls, bought, jobs, kube.get(f"{POOLS}/{NAME}"))


def test_nodes_come_and_go(life: Life) -> None:
    """No node was there before; each that came bears the label, and all are given back."""
    assert life.bought
    assert {NAME} == {one["metadata"]["labels"][POOL] for one in life.bought.values()}
    assert {"Succeeded"} == {
        run["outcome"] for one in life.jobs.values() for run in one["status"]["history"]
    }
    assert {"True"} == {
        one["status"] for one in life.pool["status"]["conditions"] if one["type"] == "Ready"
    }


def test_nothing_is_missing(life: Life) -> None:
    """No call is forbidden, neither by the rights nor by the policy."""
    forbidden = [each for each in life.calls if each.get("responseStatus", {}).get("code") == 403]

    assert [] == [
        (each["verb"], each["requestURI"], each["responseStatus"].get("message"))
        for each in forbidden
    ]


def test_nothing_is_too_much(life: Life) -> None:
    """Each right of `pool.enabled` is used, or it is rare and says why."""
    granted = {
        (group, resource, verb)
        for rule in PARTS["pools"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert set() == granted - used(life.calls) - RARE.keys()
    assert RARE.keys() <= granted
