"""The lease beside a machine full of other work: how long between two renewals, how often lost.

A real API server, an operator with a thousand pods, and as many busy processes as make the load
asked for. Every few seconds a service gets a new template; every minute all of them shrink to a
tenth or grow again, so that there is more to write than may be in flight. An operator that ends is
started again, as its pod would be, and that is told. Everything ends with the bench.

Moments are those that the operator wrote into its Lease (`renewTime`, when a try began), seen on a
watch: how late this process sees them does not matter.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.manifests import make_service
from tests.cluster.under_test import NAMESPACE, OperatorProcess, Site
from tests.scale.e2e import budgets, client, ground

MINUTES, LOAD = 30.0, 20
SERVICES, EACH = 10, 100
_NODES = "m5.2xlarge:us-east-1a=15,m5.2xlarge:us-east-1b=15"
_SPACE, _LEASE = "default", "bayplan"
_LEASES = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
_CHANGE_SECONDS = 5.0
_CHANGES_A_WAVE = 12
_SETTLE_SECONDS = 60.0  # the load average of a minute


@dataclass
class Renewals:
    """What the Lease said, as a watch tells it."""

    server: client.Server
    moments: list[float] = field(default_factory=list)  # epoch seconds, each try that was stored

    async def follow(self, version: str) -> None:
        """Take down every renewal from this version on, until cancelled."""
        while True:
            async for line in self.server.events(_LEASES, version):
                stored = json.loads(line)["object"]
                version = stored["metadata"]["resourceVersion"]
                spec = stored.get("spec", {})
                if stored["metadata"]["name"] == _LEASE and spec.get("holderIdentity"):
                    self._take(datetime.fromisoformat(spec["renewTime"]).timestamp())

    def _take(self, moment: float) -> None:
        if not self.moments or moment != self.moments[-1]:
            self.moments.append(moment)

    def gaps(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.moments)]


@dataclass
class Keeper:
    """Keeps an operator running, and counts how often it has ended by itself."""

    operator: OperatorProcess
    ends: int = 0
    losses: int = 0

    def __enter__(self) -> Self:
        self.operator.start().until_logged(" leading", 60)
        return self

    def __exit__(self, *_: object) -> None:
        self.look()
        self.operator.terminate(60)

    def look(self) -> None:
        """Start it again when it has ended."""
        if self.operator.running:
            return
        self.ends += 1
        log = self.operator.log()
        said = [line for line in log.splitlines() if "lease" in line][-6:]
        print("  ended after", *said, sep="\n    ")
        self.losses = log.count("lease lost")
        self.operator.start()


async def run(minutes: float, load: int) -> dict[str, float]:
    with ground.site(_NODES) as (site, local):
        operator = site.operator(*ground.LEASE, ground.LEASE_RETRY, identity="bench-lease")
        with Keeper(operator) as keeper:
            names = [f"web{number:02}" for number in range(SERVICES)]
            site.kube.apply(*(make_service(name, _SPACE, replicas=EACH) for name in names))
            await asyncio.to_thread(_until_running, site, SERVICES * EACH)
            version = local.request("GET", _LEASES)["metadata"]["resourceVersion"]
            renewals = Renewals(client.Server(local))
            following = asyncio.create_task(renewals.follow(version))
            with ground.busy(load):
                loads, changes = await _churn(local, keeper, names, minutes * 60)
            if following.done():
                following.result()  # why it saw no more
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        gaps = renewals.gaps()
        print("longest gaps:", *(f"{gap:.1f}" for gap in sorted(gaps)[-10:]))
        return {
            "losses": keeper.losses,
            "ends": keeper.ends,
            "renewals": len(renewals.moments),
            "gap_p50_seconds": round(client.percentile(gaps, 0.5), 2),
            "gap_p99_seconds": round(client.percentile(gaps, 0.99), 2),
            "gap_most_seconds": round(max(gaps), 2),
            "load": round(sum(loads) / len(loads), 1),
            "changes": changes,
            "minutes": minutes,
        }


def _until_running(site: Site, count: int) -> None:
    site.kube.until(read.pods(_SPACE), lambda found: len(read.running(found)) >= count, within=300)


async def _churn(
    local: Cluster, keeper: Keeper, names: list[str], seconds: float
) -> tuple[list[float], int]:
    """Change one service's template after the other; the load averages seen, and the changes."""
    loads: list[float] = []
    began = time.monotonic()
    for number in itertools.count(1):
        await asyncio.to_thread(_change, local, names[number % len(names)], number)
        if number % _CHANGES_A_WAVE == 0:
            await asyncio.to_thread(
                _scale, local, names, EACH if number % (2 * _CHANGES_A_WAVE) == 0 else EACH // 10
            )
        await asyncio.to_thread(keeper.look)
        await asyncio.sleep(_CHANGE_SECONDS)
        passed = time.monotonic() - began
        if passed > min(_SETTLE_SECONDS, seconds / 2):
            loads.append(os.getloadavg()[0])
        if passed > seconds:
            return loads, number
    raise AssertionError("unreachable")


def _change(local: Cluster, name: str, number: int) -> None:
    template: Any = {"metadata": {"labels": {"turn": str(number)}}}
    local.request("PATCH", f"{read.services(_SPACE)}/{name}", {"spec": {"template": template}})


def _scale(local: Cluster, names: list[str], replicas: int) -> None:
    for name in names:
        local.request("PATCH", f"{read.services(_SPACE)}/{name}", {"spec": {"replicas": replicas}})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--load", type=int, default=LOAD, help="busy processes beside it")
    asked = parser.parse_args()
    figures = asyncio.run(run(asked.minutes, asked.load))
    failed = budgets.judged("bench-lease", figures)
    print(budgets.last_line("bench-lease", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
