"""Who places and who buys: kube-scheduler beside Karpenter, and Bayplan through Karpenter.

Each arm has a cluster of its own with the same programs: etcd, API server, controller manager, kwok
and Karpenter's core with its kwok provider. Only the arm's scheduler differs.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from localcluster import Cluster, processes, programs
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.under_test import Site, pool_rights
from tests.scale.e2e import client, ground
from tests.scale.economy import manifests, market
from tests.scale.economy.watching import Watch

Workload = Literal["kube-scheduler", "replicasets", "longservices"]
PODS = read.pods(manifests.NAMESPACE)
_SCHEDULER = "kube-scheduler"
# Nodes that Karpenter buys have no lease, so nobody may wait for one.
_CLUSTER: Mapping[str, Any] = {
    "node_monitor_grace_seconds": 36_000,
    "controller_manager_flags": ["--node-monitor-period=5s"],
}
_UNLIMITED = {"qps": 100_000, "burst": 100_000}
_MOST_ALLOCATED = {
    "type": "MostAllocated",
    "resources": [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}],
}


@dataclass(frozen=True)
class Arm:
    """A cluster with its scheduler and its Karpenter, without load."""

    workload: Workload
    local: Cluster
    site: Site
    server: client.Server
    pods: Watch
    claims: Watch
    operator: ground.Operator | None

    def body(self, kind: market.Kind) -> tuple[str, dict[str, Any]]:
        """The collection and the manifest of a load of this arm's."""
        if self.workload == "longservices":
            return manifests.SERVICES, manifests.service(kind)
        return manifests.REPLICA_SETS, manifests.replica_set(kind, ours=self.operator is not None)

    def nodes_paid(self) -> dict[str, str]:
        """The type of each claim that was launched, by the claim's name: what is paid now."""
        claims = self.site.kube.listed(manifests.CLAIMS)
        label = "node.kubernetes.io/instance-type"
        types = {name: one["metadata"]["labels"].get(label) for name, one in claims.items()}
        return {name: kind for name, kind in types.items() if kind}

    def keep_logs(self, folder: Path) -> None:
        """Copy what the programs said, and the Pool as it is, to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("karpenter", _SCHEDULER):
            log = self.local.directory / "logs" / f"{name}.log"
            if log.exists():
                (folder / log.name).write_bytes(log.read_bytes())
        if self.operator is not None:
            (folder / "bayplan.log").write_text(self.operator.log())
            (folder / "metrics.txt").write_text(self.operator.metrics())
            pools = self.site.kube.get(manifests.POOLS)["items"]
            (folder / "pools.yaml").write_text(yaml.safe_dump(pools))


@contextlib.asynccontextmanager
async def arm(
    workload: Workload, disruption: Mapping[str, Any], empty_seconds: int | None = None
) -> AsyncIterator[Arm]:
    """An arm, ready for its load.

    `disruption` is that of Karpenter's own NodePool, `empty_seconds` that of the Pool.
    """
    with ground.site(**_CLUSTER) as (site, local):
        prices = market.prices_file(site.folder)
        await asyncio.to_thread(local.start_karpenter, list(market.prices()), market.ZONES, prices)
        ours = workload != "kube-scheduler"
        offered = (
            manifests.quiet_node_pool() if ours else manifests.node_pool(disruption, ours=False)
        )
        site.kube.create("/api/v1/namespaces", {"metadata": {"name": manifests.NAMESPACE}})
        site.kube.create(manifests.NODE_CLASSES, manifests.node_class())
        site.kube.create(manifests.NODE_POOLS, offered)
        accounts = f"/api/v1/namespaces/{manifests.NAMESPACE}/serviceaccounts"
        site.kube.until(accounts, lambda found: "default" in found)
        site.kube.until(manifests.NODE_POOLS, _node_pool_ready)
        server = client.Server(local)
        with _operator(site, prices, empty_seconds) if ours else _scheduler(local) as operator:
            async with (
                Watch(local, server, PODS) as pods,
                Watch(local, server, manifests.CLAIMS) as claims,
            ):
                yield Arm(workload, local, site, server, pods, claims, operator)


@contextlib.contextmanager
def _operator(site: Site, prices: Path, empty_seconds: int | None) -> Iterator[ground.Operator]:
    """Bayplan with a Pool that buys."""
    site.kube.apply(*pool_rights())
    with ground.Operator(site, "--pools", f"--prices-file={prices}") as operator:
        operator.until_leading()
        site.kube.create(manifests.POOLS, manifests.pool(empty_seconds))
        site.kube.until(manifests.POOLS, lambda found: read.holds(found, manifests.NAME, "Ready"))
        yield operator


@contextlib.contextmanager
def _scheduler(local: Cluster) -> Iterator[None]:
    """kube-scheduler that packs: MostAllocated, else as it comes."""
    fit = {"name": "NodeResourcesFit", "args": {"scoringStrategy": _MOST_ALLOCATED}}
    configuration = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {
            "kubeconfig": str(local.directory / "scheduler.kubeconfig"),
            **_UNLIMITED,
        },
        "profiles": [{"schedulerName": "default-scheduler", "pluginConfig": [fit]}],
    }
    file = local.directory / "scheduler.yaml"
    file.write_text(yaml.safe_dump(configuration))
    words: list[str | Path] = [programs.path(_SCHEDULER), f"--config={file}", "--secure-port=0"]
    pid = processes.launch(local.directory, _SCHEDULER, words)
    yield
    assert not processes.has_ended(pid), "kube-scheduler ended by itself"


def _node_pool_ready(found: Objects) -> bool:
    return read.condition(found.get(manifests.NAME), "Ready").get("status") == "True"
