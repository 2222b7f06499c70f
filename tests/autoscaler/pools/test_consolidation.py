"""A Pool that consolidates on the real core of Karpenter, and an operator that dies on the way.

Half of a LongService leaves, and half of a ReplicaSet, so that each node keeps pods of it. The
operator ends with each sort of write twice: once nobody hears the answer, once it does.
"""

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.autoscaler.pools.ground import LABEL, NODES, POOLS, Customer, Ground, PoolUnderTest
from tests.autoscaler.shop import CLAIMS
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import SLEEPER, make_service
from tests.faults.proxy import Call

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

BEFORE, AFTER = 6, 3
EACH = {"cpu": "550m", "memory": "256Mi"}  # three of these on an m5.large
AT_ONCE = {
    "minimumNodeAgeSeconds": 0,
    "minimumStaySeconds": 5,
    "moveMicrodollars": 0,
    "horizonSeconds": 86_400,
    "maximumDraining": "100%",
}
SORTS = {"order", "close", "taint", "evict", "give back"}


def sort(call: Call) -> str:
    """What a write is for; empty for what does not matter here."""
    match call.method, call.path:
        case "POST", path if path.startswith(CLAIMS):
            return "order"
        case "DELETE", path if path.startswith(CLAIMS):
            return "give back"
        case "POST", path if path.endswith("/eviction"):
            return "evict"
        case "PATCH", path if path.startswith(NODES) and b"bayplan.dev/draining" in call.body:
            return "taint"
        case "PATCH", path if path.startswith(NODES) and b"bayplan.dev/closing" in call.body:
            return "close"
    return ""


def ready(pods: Objects, app: str) -> int:
    """How many pods of an owner are ready and stay."""
    return sum(
        read.condition(pod, "Ready").get("status") == "True"
        for pod in pods.values()
        if pod["metadata"].get("ownerReferences", [{}])[0].get("name") == app
        and not pod["metadata"].get("deletionTimestamp")
    )


def replica_set(pool: PoolUnderTest, replicas: int) -> dict[str, Any]:
    """Pods of somebody else, placed by Bayplan on the nodes of the Pool."""
    labels = {"app": "api"}
    spec = {
        "schedulerName": "bayplan",
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": {LABEL: pool.name},
        "tolerations": [{"key": LABEL, "value": pool.name, "effect": "NoSchedule"}],
        "containers": [{**SLEEPER, "resources": {"requests": EACH}}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "api", "namespace": pool.namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def keep_apart(pool: PoolUnderTest) -> None:
    """Have the ReplicaSet keep pods on as many nodes as it can: a person's deletion costs."""
    pods = pool.kube.listed(read.pods(pool.namespace))
    seen = Counter[str]()
    for name, pod in sorted(pods.items()):
        if pod["metadata"]["ownerReferences"][0]["name"] == "api":
            node = pod["spec"]["nodeName"]
            cost = {"controller.kubernetes.io/pod-deletion-cost": str(100 - seen[node])}
            seen[node] += 1
            pool.kube.patch(
                f"{read.pods(pool.namespace)}/{name}", {"metadata": {"annotations": cost}}
            )


def budget(pool: PoolUnderTest) -> dict[str, Any]:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "api", "namespace": pool.namespace},
        "spec": {"minAvailable": AFTER - 1, "selector": {"matchLabels": {"app": "api"}}},
    }


@contextlib.contextmanager
def watched(pool: PoolUnderTest, least: Mapping[str, int]) -> Iterator[list[str]]:
    """What was seen below its least meanwhile."""
    over, below = threading.Event(), list[str]()

    def look() -> None:
        while not over.wait(0.3):
            pods = pool.kube.listed(read.pods(pool.namespace))
            below.extend(
                f"{app}: {found} of {wanted}"
                for app, wanted in least.items()
                if (found := ready(pods, app)) < wanted
            )

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield below
    finally:
        over.set()
        watcher.join(30)


def marked(pool: PoolUnderTest) -> list[str]:
    """The nodes of the Pool that close, are emptied, or go."""
    return [
        name
        for name, node in pool.mine(pool.kube.listed(NODES)).items()
        if "bayplan.dev/closing" in node["metadata"].get("annotations", {})
        or node["metadata"].get("deletionTimestamp")
        or any(one["key"] == "bayplan.dev/draining" for one in node["spec"].get("taints", ()))
    ]


def test_killed_after_every_sort_of_write(
    ground: Ground, customer: Customer, tmp_path: Path
) -> None:
    """C1, C7: nothing falls below its minimum, nothing is lost, and the nodes go all the same."""
    prices, struck = tmp_path / "prices.csv", Counter[str]()
    prices.write_text("m5.large,0.096\n")
    with ground.pool(
        words=("--prices-file", str(prices)),
        mode="BuyAndConsolidate",
        retirement={"emptySeconds": 3},
        buying={"fallback": {"to": "None"}},
        consolidation=AT_ONCE,
    ) as pool:
        web = make_service(
            "web", pool.namespace, replicas=BEFORE, placement={"pool": pool.name}, **EACH
        )
        pool.kube.apply(web, replica_set(pool, BEFORE), budget(pool))
        pool.proxy.script(pool.dies_by(sort, struck))
        pool.keep()
        pods = read.pods(pool.namespace)
        pool.kube.until(
            pods,
            lambda found: ready(found, "web") == ready(found, "api") == BEFORE,
            within=300,
        )
        bought = len(pool.claims())

        with watched(pool, {"web": AFTER, "api": AFTER - 1}) as below:
            keep_apart(pool)
            pool.kube.apply({**web, "spec": {**web["spec"], "replicas": AFTER}})
            pool.kube.apply(replica_set(pool, AFTER))
            pool.until_claims(lambda found: len(found) == 2 and not marked(pool), within=500)
        found = pool.kube.listed(pods)
        print(  # noqa: T201  a figure for who runs this with -s
            f"{bought} nodes became 2 in {len(pool.children)} lives, which ended with {struck}",
            file=sys.stderr,
        )

        assert [] == below
        assert (AFTER, AFTER) == (ready(found, "web"), ready(found, "api"))
        assert SORTS == struck.keys()
        sent, ended = pool.calls("POST", CLAIMS), pool.calls("DELETE", CLAIMS)
        assert len({one.path for one in ended}) + 2 == len(sent)
        pool.kube.until(POOLS, lambda known: _settled(known[pool.name]), within=60)
    assert not customer.failed


def _settled(pool: Mapping[str, Any]) -> bool:
    told = read.condition(pool, "Consolidating")
    return told.get("reason") == "Settled"
