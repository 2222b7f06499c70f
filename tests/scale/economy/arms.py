"""Who places and who buys: kube-scheduler beside Karpenter, and Bayplan through Karpenter.

Each arm has a cluster of its own with the same programs: etcd, API server, controller manager, kwok
and Karpenter's core with its kwok provider. Only the arm's scheduler differs.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal
from unittest.mock import patch

import yaml

from localcluster import Cluster, processes, programs
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.under_test import Site, pool_rights
from tests.groups.aws import ENVIRONMENT, TAG, Aws, make_group, served
from tests.groups.joining import NODES, joining
from tests.scale.e2e import client, ground
from tests.scale.economy import manifests, market
from tests.scale.economy.watching import Watch

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
CONSOLIDATES = "BuyAndConsolidate"
Workload = Literal["kube-scheduler", "replicasets", "longservices", "groups"]
PODS = read.pods(manifests.NAMESPACE)
# Karpenter's disruption while pods come, and as most users have it.
WITHOUT_MOVES: Mapping[str, Any] = {
    "consolidationPolicy": "WhenEmptyOrUnderutilized",
    "consolidateAfter": "Never",
}
AS_IT_COMES: Mapping[str, Any] = {**WITHOUT_MOVES, "consolidateAfter": "0s"}
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


@dataclass(frozen=True, slots=True)
class Paid:
    """A claim that was launched: what its node costs is paid. `node` is "" before it joins."""

    claim: str
    type: str
    node: str


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
    aws: Aws | None = None

    def body(self, kind: market.Kind) -> tuple[str, dict[str, Any]]:
        """The collection and the manifest of a load of this arm's."""
        if self.workload == "longservices":
            return manifests.SERVICES, manifests.service(kind)
        return manifests.REPLICA_SETS, manifests.replica_set(kind, ours=self.operator is not None)

    def scaled(self, kind: market.Kind) -> bytes:
        """The request by which the load of a kind has as many pods as `kind` says."""
        collection, _ = self.body(kind)
        path, change = f"{collection}/{kind.name}", {"spec": {"replicas": kind.pods}}
        return self.server.rendered("PATCH", path, change, "merge-patch+json")

    def nodes_paid(self) -> list[Paid]:
        """What is paid now."""
        found = []
        if self.aws is not None:
            for name, one in self.site.kube.listed(NODES).items():
                found.append(Paid(name, one["metadata"]["labels"][INSTANCE_TYPE], name))
            return found
        for name, one in self.site.kube.listed(manifests.CLAIMS).items():
            kind = one["metadata"]["labels"].get(INSTANCE_TYPE)
            if kind:
                found.append(Paid(name, kind, one.get("status", {}).get("nodeName", "")))
        return found

    def consolidate(self, rules: Mapping[str, Any]) -> None:
        """From now on pods may move: by Karpenter as it comes, or by the Pool under these rules."""
        kube = self.site.kube
        if self.operator is None:
            spec: dict[str, Any] = {"disruption": dict(AS_IT_COMES)}
            kube.patch(f"{manifests.NODE_POOLS}/{manifests.NAME}", {"spec": spec})
            return
        spec = {"mode": CONSOLIDATES, "consolidation": dict(rules)}
        kube.patch(f"{manifests.POOLS}/{manifests.NAME}", {"spec": spec})
        kube.until(manifests.POOLS, _pool_ready)

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
async def arm_of_groups(pool: Mapping[str, Any] = MappingProxyType({})) -> AsyncIterator[Arm]:
    """Bayplan without Karpenter: a group for each type of the market in one zone, in moto's AWS.

    moto's server runs in this process. What other arms count as claims are nodes here.
    """
    with ground.site(**_CLUSTER) as (site, local), served() as aws, _environment(aws):
        for kind in market.prices():
            name, tags = kind.replace(".", "-"), {TAG: manifests.NAME}
            make_group(aws, name, kind, market.ZONES[0], tags=tags, MaxSize=1000)
        site.kube.create("/api/v1/namespaces", {"metadata": {"name": manifests.NAMESPACE}})
        accounts = f"/api/v1/namespaces/{manifests.NAMESPACE}/serviceaccounts"
        site.kube.until(accounts, lambda found: "default" in found)
        server, prices = client.Server(local), market.prices_file(site.folder)
        wanted = manifests.pool_of_groups(pool)
        with joining(site.kube, aws, manifests.NAME), _operator(site, prices, wanted) as operator:
            async with Watch(local, server, PODS) as pods, Watch(local, server, NODES) as nodes:
                yield Arm("groups", local, site, server, pods, nodes, operator, aws)


@contextlib.contextmanager
def _environment(aws: Aws) -> Iterator[None]:
    with patch.dict(os.environ, {**ENVIRONMENT, "AWS_ENDPOINT_URL": aws.url}):
        yield


@contextlib.asynccontextmanager
async def arm(
    workload: Workload,
    disruption: Mapping[str, Any],
    pool: Mapping[str, Any] = MappingProxyType({}),
) -> AsyncIterator[Arm]:
    """An arm, ready for its load.

    `disruption` is that of Karpenter's own NodePool, `pool` what the Pool's spec has beyond that.
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
        with (
            _operator(site, prices, manifests.pool(pool)) if ours else _scheduler(local) as operator
        ):
            async with (
                Watch(local, server, PODS) as pods,
                Watch(local, server, manifests.CLAIMS) as claims,
            ):
                yield Arm(workload, local, site, server, pods, claims, operator)


@contextlib.contextmanager
def _operator(site: Site, prices: Path, pool: Mapping[str, Any]) -> Iterator[ground.Operator]:
    """Bayplan with a Pool that buys."""
    site.kube.apply(*pool_rights())
    with ground.Operator(site, "--pools", f"--prices-file={prices}") as operator:
        operator.until_leading()
        site.kube.create(manifests.POOLS, pool)
        site.kube.until(manifests.POOLS, _pool_ready)
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


def _pool_ready(found: Objects) -> bool:
    """Whether the Pool has its present spec and is ready."""
    return read.holds(found, manifests.NAME, "Ready")


def _node_pool_ready(found: Objects) -> bool:
    return read.condition(found.get(manifests.NAME), "Ready").get("status") == "True"
