"""A thousand pods wait, and nodes come one at a time: what is written until each has a place.

As beside an autoscaler: the sentence of every waiting pod changes with each node that comes. The
pods are a LongService's, or with `--foreign` a ReplicaSet's that name Bayplan as their scheduler.
Counted are Bayplan's own writes of pods (`bayplan_api_writes_total`). `--late` has the server take
so many seconds for each mark, as one that has no room for them.
"""

import argparse
import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import yaml

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import SLEEPER, make_service
from tests.cluster.under_test import Site
from tests.faults import proxy as proxies
from tests.scale.e2e import budgets, client, ground

PODS = 1_000
SHAPE = "m5.2xlarge:us-east-1a=1"  # has room for 26
CPU = "300m"
NODE_SECONDS = 3.0  # between two nodes
_SPACE = "default"
_WITHIN = 900.0
_WORDS = ("create", "mark", "bind")
REPLICA_SETS = f"/apis/apps/v1/namespaces/{_SPACE}/replicasets"


def foreign(name: str, replicas: int) -> dict[str, Any]:
    """A ReplicaSet whose pods Bayplan places."""
    labels = {"app": name}
    requests = {"cpu": CPU, "memory": "64Mi"}
    container = {**SLEEPER, "resources": {"requests": requests}}
    pod = {"schedulerName": "bayplan", "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name, "namespace": _SPACE},
        "spec": spec,
    }


async def run(pods: int, *, others: bool, every: float, load: int, late: float) -> dict[str, float]:
    with (
        ground.site() as (site, local),
        _door(site, local, late) as options,
        ground.Operator(site, *options) as operator,
        ground.busy(load),
    ):
        await asyncio.to_thread(operator.until_leading)
        before, began = operator.metrics(), time.monotonic()
        made = (
            foreign("web", pods) if others else make_service("web", _SPACE, replicas=pods, cpu=CPU)
        )
        site.kube.apply(made)
        await asyncio.to_thread(until, site, lambda found: told(found) > 0)
        all_told = asyncio.to_thread(until, site, lambda found: told(found) + placed(found) >= pods)
        telling = asyncio.create_task(_moment(all_told))
        await asyncio.to_thread(nodes_come, site, local, pods, every)
        done = time.monotonic() - began
        marked = await telling - began
        after = operator.metrics()
        written = {verb: _gain(before, after, verb=verb, kind="Pod") for verb in _WORDS}
        nodes = len(site.kube.listed("/api/v1/nodes"))
        print(f"written {written}; {nodes} nodes; load {os.getloadavg()}")
        lag = client.bucketed(before, after, "bayplan_loop_lag_seconds", 0.99)
        return {
            "writes_per_pod": round(sum(written.values()) / pods, 3),
            "marks_per_pod": round(written["mark"] / pods, 3),
            "told_seconds": round(marked, 1),
            "placed_seconds": round(done, 1),
            "refused": _gain(before, after, verb="mark", code="409"),
            "lag_p99_ms": round(1000 * lag, 1),
        }


async def _moment(work: Awaitable[object]) -> float:
    """When it was done."""
    await work
    return time.monotonic()


@contextlib.contextmanager
def _door(site: Site, local: Cluster, late: float) -> Iterator[tuple[str, ...]]:
    """The operator's options: by way of a proxy, if marks are to be late."""
    if not late:
        yield ()
        return
    with proxies.Host(proxies.Upstream(local.server, local.ca)) as host:
        door = host.proxy()
        door.script(proxies.Rule(proxies.of("PATCH", "pods/status"), proxies.late(late)))
        config = yaml.safe_load(site.account_kubeconfig().read_text())
        for cluster in config["clusters"]:
            cluster["cluster"] = {"server": door.url}
        path = site.folder / "proxy.kubeconfig"
        path.write_text(yaml.safe_dump(config))
        yield ("--kubeconfig", str(path))


def nodes_come(site: Site, local: Cluster, pods: int, every: float) -> None:
    """One node after the other until so many pods have a place."""
    ends = time.monotonic() + _WITHIN
    while placed(site.kube.listed(read.pods(_SPACE))) < pods:
        assert time.monotonic() < ends, "the pods have no place yet"
        due = time.monotonic() + every
        local.add_kwok_nodes(SHAPE)
        time.sleep(max(due - time.monotonic(), 0))


def until(site: Site, met: Callable[[Objects], bool]) -> None:
    site.kube.until(read.pods(_SPACE), met, within=_WITHIN)


def told(found: Objects) -> int:
    return sum(map(read.unschedulable, found.values()))


def placed(found: Objects) -> int:
    return sum("nodeName" in pod["spec"] for pod in found.values())


def _gain(before: str, after: str, **labels: str) -> float:
    name = "bayplan_api_writes_total"
    return client.metric(after, name, **labels) - client.metric(before, name, **labels)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=PODS)
    parser.add_argument("--foreign", action="store_true", help="a ReplicaSet's")
    parser.add_argument("--every", type=float, default=NODE_SECONDS, help="seconds between nodes")
    parser.add_argument("--load", type=int, default=0, help="busy processes beside it")
    parser.add_argument("--late", type=float, default=0, help="seconds for each mark")
    asked = parser.parse_args()
    how = {"every": asked.every, "load": asked.load, "late": asked.late}
    figures = asyncio.run(run(asked.pods, others=asked.foreign, **how))
    bench = "bench-waiting-foreign" if asked.foreign else "bench-waiting"
    failed = budgets.judged(bench, figures)
    print(budgets.last_line(bench, figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
