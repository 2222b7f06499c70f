"""What LongServices cost: a large one starts, and one line of a template changes.

Writes are the operator's own count, without the lease and Events. `waiting` is the share of the
time in which its deciding thread used no CPU: it waited for the API server.
"""

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_service
from tests.scale.e2e import budgets, client, ground
from tests.scale.e2e.bench_crs import stored

START, CHANGED = 5_000, 2_000
_SPACE, _WITHIN = "default", 300
_SMALL = {"cpu": "10m", "memory": "16Mi"}
_STRATEGY = {"minimumHealthyPercent": 100, "maximumSurgePercent": 25}


def writes(page: str) -> float:
    """Every write but those of the lease and of Events."""
    name = "bayplan_api_writes_total"
    apart = sum(client.metric(page, name, kind=kind) for kind in ("Lease", "Event"))
    return client.metric(page, name) - apart


class Stretch:
    """Wall time, writes and CPU of the operator from now on."""

    def __init__(self, operator: ground.Operator) -> None:
        self._operator = operator
        self._page = operator.metrics()
        self._cpu = self._deciding()
        self._began = time.monotonic()

    def figures(self, instances: int) -> dict[str, float]:
        wall, cpu = time.monotonic() - self._began, self._deciding() - self._cpu
        return {
            "seconds": round(wall, 1),
            "writes_each": round(
                (writes(self._operator.metrics()) - writes(self._page)) / instances, 3
            ),
            "waiting_percent": round(100 * (1 - cpu / wall), 1),
        }

    def _deciding(self) -> float:
        return ground.cpu_seconds(self._operator.pid) - self._operator.side_seconds()


async def run() -> dict[str, float]:
    """0 to 5,000 instances; then a changed line in the template of a service of 2,000."""
    with (
        ground.site("m5.2xlarge:us-east-1a=180") as (site, local),
        ground.Operator(site) as operator,
    ):
        await asyncio.to_thread(operator.until_leading)
        for name in ("large", "web"):
            await applied(local, name, replicas=0)
            await available(site.kube, name, 0)
        starting = Stretch(operator)
        await scaled(local, "large", START)
        await available(site.kube, "large", START)
        started = starting.figures(START)
        await scaled(local, "web", CHANGED)
        await available(site.kube, "web", CHANGED)
        changing = Stretch(operator)
        line = {"spec": {"template": {"metadata": {"labels": {"line": "changed"}}}}}
        await patched(local, "web", line)
        await available(site.kube, "web", CHANGED)
        changed = changing.figures(CHANGED)
        print(f"load {os.getloadavg()}", flush=True)
        return {
            **{f"start_{name}": value for name, value in started.items()},
            **{f"change_{name}": value for name, value in changed.items()},
        }


async def applied(local: Cluster, name: str, **spec: Any) -> None:
    body = make_service(name, _SPACE, updateStrategy=_STRATEGY, **_SMALL, **spec)
    await stored(local, [body], read.services(_SPACE))


async def scaled(local: Cluster, name: str, replicas: int) -> None:
    await patched(local, name, {"spec": {"replicas": replicas}})


async def patched(local: Cluster, name: str, patch: Mapping[str, Any]) -> None:
    server = client.Server(local)
    path = f"{read.services(_SPACE)}/{name}"
    await server.send([server.rendered("PATCH", path, patch, "merge-patch+json")], 1)


async def available(kube: Any, name: str, count: int) -> None:
    """Wait until the service is Ready for its newest spec with so many instances."""

    def met(found: Objects) -> bool:
        status = found.get(name, {}).get("status", {})
        return read.holds(found, name, "Ready") and status.get("availableReplicas") == count

    await asyncio.to_thread(kube.until, read.services(_SPACE), met, within=_WITHIN)


def main() -> int:
    figures = asyncio.run(run())
    failed = budgets.judged("bench-services", figures)
    print(budgets.last_line("bench-services", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
