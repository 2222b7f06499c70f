"""Consolidation of a Pool moves a real HTTP server off its node while requests come all the time.

Two real nodes play nodes of a Pool: they have claims that say that Karpenter made them, and nobody
acts on these. A service that fills the first node goes, so that one node is enough for the rest.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import Cluster, image
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.test_longservice import available
from tests.cluster.test_pool_wire import install, make_pool
from tests.cluster.under_test import Site, definitions
from tests.helm import render
from tests.kubelet.test_draining import PORT, SERVER, Balancer, pytestmark  # noqa: F401

POOL, POOLS = "bayplan.dev/pool", "/apis/bayplan.dev/v1alpha1/pools"
NODES, CLAIMS = "/api/v1/nodes", "/apis/karpenter.sh/v1/nodeclaims"
TAINT = {"key": POOL, "value": "batch", "effect": "NoSchedule"}
FILLER = {"image": image.NAME, "command": ["sh", "-c", "trap exit TERM; sleep 600 & wait"]}
WITHIN = {"placement": {"pool": "batch"}}
AT_ONCE = {
    "minimumNodeAgeSeconds": 0,
    "minimumStaySeconds": 0,
    "moveMicrodollars": 0,
    "horizonSeconds": 86_400,
}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Two real nodes of one Pool that consolidates at once, and the operator."""
    with Cluster.start(kubelets=2, definitions=definitions()) as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path).prepare()
        install(site.kube)
        made = render({"pool": {"enabled": True}})
        site.kube.apply(*(one for one in made if one["metadata"]["name"] == "bayplan-pools"))
        for node in site.kube.listed(NODES):
            join(site.kube, node)
        pool = make_pool()
        rules = {"mode": "BuyAndConsolidate", "consolidation": AT_ONCE}
        site.kube.apply({**pool, "spec": {**pool["spec"], **rules}})
        prices = tmp_path / "prices.csv"
        prices.write_text("m5.large,0.096\n")
        with site.operator("--pools=true", "--prices-file", str(prices)):
            site.kube.until(POOLS, lambda found: read.holds(found, "batch", "Ready"), within=60)
            yield site


def join(kube: Kube, node: str) -> None:
    """The node is one of the Pool `batch`, with a claim of Karpenter's that is carried out."""
    marks = {"labels": {POOL: "batch", "karpenter.sh/nodepool": "of-batch"}}
    kube.patch(f"{NODES}/{node}", {"metadata": marks, "spec": {"taints": [TAINT]}})
    stored = kube.get(f"{NODES}/{node}")
    reference = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "plain"}
    claim = {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodeClaim",
        "metadata": {"name": f"batch-{node}", **marks},
        "spec": {"nodeClassRef": reference, "requirements": []},
    }
    kube.create(CLAIMS, claim)
    done = [
        {"type": one, "status": "True", "reason": one, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for one in ("Launched", "Registered", "Initialized")
    ]
    status = {
        "nodeName": node,
        "providerID": stored["spec"]["providerID"],
        "allocatable": stored["status"]["allocatable"],
        "conditions": done,
    }
    kube.patch(f"{CLAIMS}/batch-{node}/status", {"status": status})


def places(slices: Objects) -> set[str]:
    """The nodes of the ready endpoints."""
    return {
        endpoint["nodeName"]
        for one in slices.values()
        for endpoint in one.get("endpoints") or ()
        if endpoint["conditions"].get("ready")
    }


def moves(pools: Objects) -> int:
    """How many pods were moved, as the Pool says."""
    told = pools["batch"]["status"].get("moves", {})
    return int(told.get("lastHour", 0))


def test_a_service_that_is_moved_loses_no_request(site: Site) -> None:
    """It is moved by the plan of the Pool, make before break, and then its node is given back."""
    namespace = site.namespace()
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    filler: dict[str, Any] = {"cpu": "1500m", "container": FILLER, **WITHIN}
    site.kube.apply(make_service("filler", namespace, replicas=1, **filler))
    site.kube.until(read.services(namespace), available(1, "filler"), within=90)
    ports = {"ports": [{"name": "http", "port": PORT}]}
    web = make_service(
        "web", namespace, cpu="150m", replicas=4, service=ports, container=SERVER, **WITHIN
    )
    site.kube.apply(web)
    balancer = Balancer()
    first = site.kube.until(
        slices, lambda found: len(balancer.learn(found)) == 4 and found, within=90
    )
    assert len(places(first)) == 2, "they are on both nodes"
    requests = threading.Thread(target=balancer.run)
    requests.start()
    try:
        site.kube.kubectl("delete", "longservice", "filler", "-n", namespace)

        def moved(found: Objects) -> bool:
            return len(balancer.learn(found)) == 4 and len(places(found)) == 1

        site.kube.until(slices, moved, within=180)
        site.kube.until(CLAIMS, lambda found: len(found) == 1, within=90)
        site.kube.until(POOLS, lambda found: moves(found) > 0)
    finally:
        balancer.stop.set()
        requests.join()

    assert [] == balancer.lost
    assert balancer.good > 100
