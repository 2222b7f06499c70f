"""How fast pods get a node through a real API server: Bayplan beside kube-scheduler.

The same 2,000 pods on the same 200 fake nodes of the same server, in turns: Bayplan has a
LongService scaled from 0 to 2,000; kube-scheduler has plain pods, created by 96 connections as fast
as the server takes them, its own request limits lifted. Only the one whose turn it is runs. A pod
counts as placed when a watch of the bench's own shows its node; the clock starts with the first
request. Ratios of neighbouring turns are what counts: the machine may be busy with other things.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from localcluster import Cluster, processes, programs
from tests.cluster import read
from tests.cluster.manifests import make_service
from tests.cluster.under_test import Site
from tests.scale.e2e import budgets, client, ground

NODES = "m5.2xlarge:us-east-1a=100,m5.2xlarge:us-east-1b=100"
_TURN_SECONDS = 240
_NAMESPACE = "bench"
_PODS = read.pods(_NAMESPACE)
_SERVICE = f"{read.services(_NAMESPACE)}/web"
_CPU, _MEMORY = "250m", "512Mi"


@dataclass(frozen=True)
class Turn:
    """One scheduler's turn: pods a second, and what it cost."""

    rate: float
    costs: ground.Costs
    writes_per_pod: float = 0.0
    rss_mib: int = 0
    writes: str = ""


class Bench:
    def __init__(self, site: Site, local: Cluster, pods: int, *, ahead: bool) -> None:
        self._site, self._local, self._pods, self._ahead = site, local, pods, ahead
        self._server = client.Server(local)

    def prepare(self) -> None:
        self._local.request("POST", "/api/v1/namespaces", {"metadata": {"name": _NAMESPACE}})
        accounts = f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts"
        self._site.kube.until(accounts, lambda found: "default" in found)

    async def bayplan(self) -> Turn:
        """A LongService without instances gets all of them at once."""
        service = make_service("web", _NAMESPACE, replicas=0, cpu=_CPU, memory=_MEMORY)
        with ground.Operator(self._site) as operator:
            await asyncio.to_thread(operator.until_leading)
            self._local.request("POST", read.services(_NAMESPACE), service)
            await asyncio.to_thread(
                self._site.kube.until,
                read.services(_NAMESPACE),
                lambda found: read.holds(found, "web", "Ready"),
            )
            watcher = await self._watched()
            before = operator.metrics()
            self._go_ahead()
            meter = ground.Meter(self._local, {"bayplan": operator.pid})
            began = time.monotonic()
            await self._server.send([self._scaled(self._pods)], connections=1)
            await watcher.until(lambda seen: len(seen.placed) >= self._pods, _TURN_SECONDS)
            costs = meter.costs()
            await asyncio.sleep(2)  # what is still to be written of it counts too
            page = operator.metrics()
            turn = Turn(
                client.rate(list(watcher.placed.values()), began),
                costs,
                (_writes(page) - _writes(before)) / self._pods,
                operator.rss_mib(),
                ", ".join(_written(page)),
            )
            self._local.request("DELETE", _SERVICE)
            await self._server.clear(_PODS, tuple(watcher.there))
            await watcher.until(lambda seen: not seen.there, _TURN_SECONDS)
            await watcher.stop()
        return turn

    async def kube_scheduler(self) -> Turn:
        """Plain pods of the same size."""
        pid = self._start_scheduler()
        create = [
            self._server.rendered("POST", _PODS, self._plain(number))
            for number in range(self._pods)
        ]
        watcher = await self._watched()
        self._go_ahead()
        meter = ground.Meter(self._local, {"kube-scheduler": pid})
        began = time.monotonic()
        await self._server.send(create)
        await watcher.until(lambda seen: len(seen.placed) >= self._pods, _TURN_SECONDS)
        turn = Turn(client.rate(list(watcher.placed.values()), began), meter.costs())
        await asyncio.sleep(2)
        processes.end([pid])
        await self._server.clear(_PODS, tuple(watcher.there))
        await watcher.until(lambda seen: not seen.there, _TURN_SECONDS)
        await watcher.stop()
        return turn

    def _go_ahead(self) -> None:
        """Everything of this turn, whoever's it is, goes before other work of the machine."""
        if self._ahead:
            ground.ahead(self._local)

    def _start_scheduler(self) -> int:
        """kube-scheduler as it comes, without limits of its own and without waiting for a lease."""
        folder = self._local.directory
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {
                "kubeconfig": str(folder / "scheduler.kubeconfig"),
                "qps": 100_000,
                "burst": 100_000,
            },
        }
        file = folder / "scheduler.yaml"
        file.write_text(yaml.safe_dump(configuration))
        program = programs.path("kube-scheduler")
        pid = processes.launch(
            folder, "kube-scheduler", [program, f"--config={file}", "--secure-port=0"]
        )
        # It is ready when it has placed one.
        self._local.request("POST", _PODS, {**self._plain(0), "metadata": {"name": "first"}})
        self._site.kube.until(
            _PODS, lambda found: bool(found.get("first", {}).get("spec", {}).get("nodeName"))
        )
        self._local.request("DELETE", f"{_PODS}/first?gracePeriodSeconds=0")
        self._site.kube.until(_PODS, lambda found: not found)
        return pid

    async def _watched(self) -> client.Watcher:
        version = self._local.request("GET", _PODS)["metadata"]["resourceVersion"]
        return await client.Watcher(self._server, _PODS).start(version)

    def _scaled(self, replicas: int) -> bytes:
        patch = {"spec": {"replicas": replicas}}
        return self._server.rendered("PATCH", _SERVICE, patch, "merge-patch+json")

    @staticmethod
    def _plain(number: int) -> dict[str, Any]:
        template = make_service("web", _NAMESPACE, cpu=_CPU, memory=_MEMORY)["spec"]["template"]
        named = {"name": f"plain-{number:05}", "namespace": _NAMESPACE}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": named, "spec": template["spec"]}


def _writes(page: str) -> float:
    """Every write but the lease's."""
    return client.metric(page, "bayplan_api_writes_total") - client.metric(
        page, "bayplan_api_writes_total", kind="Lease"
    )


def _written(page: str) -> Iterator[str]:
    for line in page.splitlines():
        if line.startswith("bayplan_api_writes_total{"):
            labels, _, count = line.removeprefix("bayplan_api_writes_total").rpartition(" ")
            code, kind, verb = (part.split('"')[1] for part in labels.split(","))
            yield f"{verb} {kind} {code} {float(count):.0f}"


async def run(rounds: int, pods: int, *, ahead: bool) -> dict[str, float]:
    """All turns; the figures of the budget."""
    ratios, ours = [], []
    with ground.site(NODES) as (site, local):
        bench = Bench(site, local, pods, ahead=ahead)
        bench.prepare()
        for number in range(1, rounds + 1):
            turn = await bench.bayplan()
            other = await bench.kube_scheduler()
            ratios.append(turn.rate / other.rate)
            ours.append(turn)
            load = os.getloadavg()[0]
            print(
                f"round {number}: bayplan {turn.rate:.0f} pods/s, kube-scheduler"
                f" {other.rate:.0f} pods/s, ratio {ratios[-1]:.2f}, load {load:.1f}"
            )
            print(f"  CPU ms a pod, bayplan's turn: {turn.costs.table(pods)}")
            print(f"  CPU ms a pod, kube-scheduler's turn: {other.costs.table(pods)}")
            print(f"  writes of bayplan: {turn.writes}", flush=True)
    return {
        "ratio": round(statistics.median(ratios), 2),
        "writes_per_pod": round(max(turn.writes_per_pod for turn in ours), 3),
        "rss_mib": max(turn.rss_mib for turn in ours),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pods", type=int, default=2000)
    parser.add_argument("--ahead", action="store_true", help="before other work of this machine")
    asked = parser.parse_args()
    figures = asyncio.run(run(asked.rounds, asked.pods, ahead=asked.ahead))
    failed = budgets.judged("bench-e2e", figures)
    print(budgets.last_line("bench-e2e", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
