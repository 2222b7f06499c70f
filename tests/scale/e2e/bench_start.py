"""From a cold start to the first decisions, in a cluster of 5,000 nodes and 50,000 pods.

The nodes are objects alone; their 50,000 pods belong to others. 2,000 resources are stored with
their statuses. 100 pods wait for Bayplan when it starts: the clock runs from the start of the
process until the last of them has a node.
"""

import asyncio
import os
import sys
import time
from typing import Any

from bayplan.cloud import catalogue
from localcluster import Cluster, ec2
from tests.cluster import read
from tests.cluster.manifests import make_job, make_service
from tests.scale.e2e import budgets, client, ground
from tests.scale.e2e.bench_crs import QUICK, settled, stored

NODES, PODS, RESOURCES, WAITING = 5_000, 50_000, 2_000, 100
_NAMESPACE, _WAITING = "default", "waiting"
_TYPES = ("m5.2xlarge", "c5.4xlarge", "r5.2xlarge", "m5.4xlarge")
_ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
# Nothing plays these nodes: whoever takes silent ones for lost must not run, and what only counts
# pods need not.
_NOT = ("node-lifecycle", "pod-garbage-collector", "garbage-collector", "disruption", "replicaset")
OPTIONS: dict[str, Any] = {
    "controller_manager_flags": [
        "--controllers=" + ",".join(["*", *(f"-{name}-controller" for name in _NOT)])
    ],
    "apiserver_flags": ["--disable-admission-plugins=TaintNodesByCondition"],
}


def node(number: int) -> dict[str, Any]:
    """A Node that says it is ready and that nobody plays."""
    shape = ec2.Shape(_TYPES[number % len(_TYPES)], _ZONES[number % len(_ZONES)], 1)
    body = ec2.node(shape, number, f"10.{number >> 8}.{number & 255}.1", version="v1.34.2")
    del body["metadata"]["labels"][ground.PLAYED]
    at = "2026-01-01T00:00:00Z"
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready"}
    body["status"]["conditions"] = [{**ready, "lastHeartbeatTime": at, "lastTransitionTime": at}]
    return body


def pod(number: int, nodes: list[str]) -> dict[str, Any]:
    """A pod of somebody's ReplicaSet, with what such pods usually carry."""
    app = f"app-{number % 500:03}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{app}-{number:05}",
            "namespace": _NAMESPACE,
            "labels": {"app": app, "pod-template-hash": f"{number % 500:010x}"},
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": app,
                    "uid": f"00000000-0000-0000-0000-{number % 500:012}",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "nodeName": nodes[number % len(nodes)],
            "containers": [
                {
                    "name": "main",
                    "image": "busybox:1.36",
                    "env": [{"name": f"SETTING_{key}", "value": "x" * 40} for key in range(5)],
                    "resources": {
                        "requests": {"cpu": f"{100 + number % 7 * 50}m", "memory": "256Mi"},
                        "limits": {"memory": "256Mi"},
                    },
                }
            ],
        },
    }


def waiting(number: int) -> dict[str, Any]:
    """A pod that asks for us."""
    requests = {"cpu": "250m", "memory": "256Mi"}
    container = {"name": "main", "image": "busybox:1.36", "resources": {"requests": requests}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"waiting-{number:03}", "namespace": _WAITING},
        "spec": {"schedulerName": "bayplan", "containers": [container]},
    }


async def run() -> dict[str, float]:
    assert set(_TYPES) <= set(catalogue.load())
    with ground.site(**OPTIONS) as (site, local):
        ground.ahead(local)
        local.request("POST", "/api/v1/namespaces", {"metadata": {"name": _WAITING}})
        site.kube.until(
            f"/api/v1/namespaces/{_WAITING}/serviceaccounts", lambda found: "default" in found
        )
        await _resources(site, local)
        await _things(local)
        server = client.Server(local)
        path = read.pods(_WAITING)
        version = local.request("GET", path)["metadata"]["resourceVersion"]
        watcher = await client.Watcher(server, path).start(version)
        await stored(local, [waiting(number) for number in range(WAITING)], path)
        await asyncio.to_thread(ground.until_at_rest, local)
        operator = ground.Operator(site)
        began = time.monotonic()
        with operator:
            meter = ground.Meter(local, {"bayplan": operator.pid})
            await watcher.until(lambda seen: len(seen.placed) >= WAITING, 120)
            seconds = max(watcher.placed.values()) - began
            print(f"CPU seconds until then: {meter.costs().table(1000)}")
            await asyncio.sleep(10)  # collections after the start may still need more
            await watcher.stop()
            print(f"load {os.getloadavg()}")
            print("\n".join(operator.log().splitlines()[:6]))
            return {"seconds": round(seconds, 1), "rss_mib": operator.rss_mib()}


async def _resources(site: Any, local: Cluster) -> None:
    """Half of each kind, told by an operator that ran before; nothing of them is due."""
    jobs = [
        make_job(f"job-{number:04}", _NAMESPACE, schedule="0 0 1 1 *")
        for number in range(RESOURCES // 2)
    ]
    services = [
        make_service(f"service-{number:04}", _NAMESPACE, replicas=0)
        for number in range(RESOURCES // 2)
    ]
    await stored(local, jobs, read.jobs(_NAMESPACE))
    await stored(local, services, read.services(_NAMESPACE))
    with ground.Operator(site, QUICK) as operator:
        await asyncio.to_thread(operator.until_leading)
        await settled(operator, RESOURCES, 300)


async def _things(local: Cluster) -> None:
    bodies = [node(number) for number in range(NODES)]
    names = [body["metadata"]["name"] for body in bodies]
    await stored(local, bodies, "/api/v1/nodes")
    server = client.Server(local)
    path = read.pods(_NAMESPACE)
    await server.send(server.rendered("POST", path, pod(n, names)) for n in range(PODS))


def main() -> int:
    figures = asyncio.run(run())
    failed = budgets.judged("bench-start", figures)
    print(budgets.last_line("bench-start", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
