"""A NodePool of one test: what it buys, how that is filled, and what a plan for the same would be.

Everything is read from the API server; amounts are counted by the auditor's own arithmetic.
"""

import datetime as dt
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import yaml

from localcluster import karpenter
from tests.audit import amounts
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_service
from tests.cluster.under_test import ROOT, Site

TYPES = [
    f"{family}.{size}"
    for family in ("c5", "m5", "r5")
    for size in ("large", "xlarge", "2xlarge", "4xlarge")
]
ZONES = ["us-east-1a", "us-east-1b", "us-east-1c"]
_POOLS = "/apis/karpenter.sh/v1/nodepools"
_CLASSES = "/apis/karpenter.kwok.sh/v1alpha1/kwoknodeclasses"
CLAIMS = "/apis/karpenter.sh/v1/nodeclaims"
_NODES = "/api/v1/nodes"
_PRICE = "eks-node-viewer/instance-price"
_STARTUP_SECONDS = 5  # from the purchase to the Node

# name -> request of one instance: unlike jobs, as a company has them
MIX = {
    "crawler": {"cpu": "100m", "memory": "256Mi"},
    "web": {"cpu": "250m", "memory": "512Mi"},
    "api": {"cpu": "500m", "memory": "1Gi"},
    "cache": {"cpu": "200m", "memory": "3Gi"},
    "model": {"cpu": "1", "memory": "2Gi"},
}


@dataclass
class Fleet:
    """The nodes of one moment, and what a new plan for the pods on them would be."""

    nodes: int
    dollars: float
    planned_nodes: int
    planned_dollars: float

    def __str__(self) -> str:
        return (
            f"{self.nodes} nodes, ${self.dollars:.3f}/h; "
            f"plan {self.planned_nodes} nodes, ${self.planned_dollars:.3f}/h; "
            f"{self.nodes / self.planned_nodes:.2f} x in nodes, "
            f"{self.dollars / self.planned_dollars:.2f} x in dollars"
        )


@dataclass
class Timeline:
    """When nodes could be used and pods were bound, to the second, by the API server's times."""

    usable: Mapping[str, int]  # node -> from when on pods could be bound to it
    offered: Mapping[str, Counter[str]]  # node -> allocatable
    pods: list[tuple[str, int, int, Counter[str]]]  # node, created, bound, asked

    def longest_wait(self) -> int:
        """Seconds from a node's readiness (a pod's creation, if later) to a pod's being on it."""
        return max(bound - max(self.usable[node], since) for node, since, bound, _ in self.pods)

    def longest_idle_room(self) -> int:
        """For how many seconds on end any pod waited although some node had room for it."""
        first = min(since for _, since, _, _ in self.pods)
        last = max(bound for _, _, bound, _ in self.pods)
        longest: Counter[str] = Counter()  # kind of pod -> seconds until now
        most = 0
        for now in range(first, last + 1):
            free = {
                node: Counter(self.offered[node]) for node, at in self.usable.items() if at < now
            }
            waiting = {}
            for node, since, bound, asked in self.pods:
                if bound < now and node in free:
                    free[node].subtract(asked)
                elif since < now < bound:
                    waiting[str(sorted(asked.items()))] = asked
            stalled = {
                kind
                for kind, asked in waiting.items()
                if any(all(room[what] >= n for what, n in asked.items()) for room in free.values())
            }
            longest = Counter({kind: longest[kind] + 1 for kind in stalled})
            most = max(most, *longest.values()) if longest else most
        return most


class Shop:
    """A namespace whose pods run on nodes of a NodePool of the same name."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.kube = site.kube
        self.namespace = site.namespace()

    def __enter__(self) -> Self:
        delay = {"nodeRegistrationDelay": f"{_STARTUP_SECONDS}s"}
        kind = _typed("karpenter.kwok.sh/v1alpha1", "KWOKNodeClass")
        named = {"metadata": {"name": self.namespace}}
        self.kube.create(_CLASSES, {**kind, **named, "spec": delay})
        self.kube.create(_POOLS, self._pool())
        self.kube.until(
            _POOLS,
            lambda found: read.condition(found[self.namespace], "Ready").get("status") == "True",
        )
        return self

    def __exit__(self, *_: object) -> None:
        kinds = "longservices,batchjobs"
        self.kube.kubectl("delete", kinds, "--all", "-n", self.namespace)
        self.kube.kubectl("delete", "nodepool", self.namespace, "--wait=false")
        self.kube.until(_NODES, lambda found: not self.mine(found), within=120)

    def _pool(self) -> dict[str, Any]:
        required = {"karpenter.sh/capacity-type": "on-demand", "kubernetes.io/arch": "amd64"}
        group = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass"}
        node = {
            "nodeClassRef": {**group, "name": self.namespace},
            "requirements": [
                {"key": key, "operator": "In", "values": [value]} for key, value in required.items()
            ],
            "expireAfter": "Never",
            # Without a limit, Karpenter leaves a node alone whose budgets allow nothing now.
            "terminationGracePeriod": "300s",
        }
        labels = {"pool": self.namespace, **karpenter.NODE_LABELS}
        disruption = {
            "consolidationPolicy": "WhenEmptyOrUnderutilized",
            "consolidateAfter": "10s",
            "budgets": [{"nodes": "20%"}],
        }
        template = {"metadata": {"labels": labels}, "spec": node}
        return {
            **_typed("karpenter.sh/v1", "NodePool"),
            "metadata": {"name": self.namespace},
            "spec": {"template": template, "disruption": disruption},
        }

    def drift(self) -> None:
        """Change the template of the nodes: every one there is has drifted."""
        labels = {"metadata": {"labels": {"edition": "second"}}}
        self.kube.patch(f"{_POOLS}/{self.namespace}", {"spec": {"template": labels}})

    def services(self, replicas: int, **more: Any) -> list[dict[str, Any]]:
        """The mix, each with so many instances."""
        pod = {"nodeSelector": {"pool": self.namespace}}
        return [
            make_service(name, self.namespace, replicas=replicas, pod=pod, **request, **more)
            for name, request in MIX.items()
        ]

    def until_ready(self, replicas: int, within: float) -> None:
        self.kube.until(
            read.services(self.namespace),
            lambda found: all(_available(found, name, replicas) for name in MIX),
            within=within,
        )

    def mine(self, nodes: Objects) -> Objects:
        return {
            name: node
            for name, node in nodes.items()
            if node["metadata"].get("labels", {}).get("pool") == self.namespace
        }

    def nodes(self) -> Objects:
        return self.mine(self.kube.listed(_NODES))

    def plan(self, bodies: Iterable[Mapping[str, Any]]) -> tuple[int, float]:
        """Nodes and dollars an hour of `bayplan simulate` for these manifests, on this menu."""
        words = ["simulate", "-", "-o", "json"]
        words += [word for name in TYPES for word in ("--instance-type", name)]
        words += [word for zone in ZONES for word in ("--zone", zone)]
        done = subprocess.run(
            [sys.executable, "-c", "from bayplan.cli.main import main; main()", *words],
            input=yaml.safe_dump_all([_anywhere(body) for body in bodies]),
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": str(ROOT / "operator"), "PATH": ""},
        )
        answer = json.loads(done.stdout)
        return answer["nodes"], answer["costMicrodollarsPerHour"] / 10**6

    def fleet(self, plan: tuple[int, float]) -> Fleet:
        return self.fleet_of(self.nodes(), plan)

    def fleet_of(self, nodes: Objects, plan: tuple[int, float]) -> Fleet:
        mine = [node["metadata"]["labels"] for node in self.mine(nodes).values()]
        return Fleet(len(mine), sum(float(labels[_PRICE]) for labels in mine), *plan)

    def timeline(self) -> Timeline:
        """What has happened to the pods that are there, all of which have a node."""
        nodes, claims = self.nodes(), self.kube.listed(CLAIMS)
        registered = {
            claim["status"]["nodeName"]: _since(claim, "Registered")
            for claim in claims.values()
            if "nodeName" in claim.get("status", {})
        }
        pods = self.kube.listed(read.pods(self.namespace)).values()
        return Timeline(
            usable={name: max(_since(nodes[name], "Ready"), registered[name]) for name in nodes},
            offered={name: amounts.offered(node) for name, node in nodes.items()},
            pods=[
                (
                    pod["spec"]["nodeName"],
                    _epoch(pod["metadata"]["creationTimestamp"]),
                    _since(pod, "PodScheduled"),
                    amounts.asked(pod),
                )
                for pod in pods
            ],
        )


def _typed(version: str, kind: str) -> dict[str, str]:
    return {"apiVersion": version, "kind": kind}


def _anywhere(body: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without its pool: the menu of a simulation has no such label."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    copy["spec"]["template"]["spec"].pop("nodeSelector", None)
    return copy


def _available(found: Objects, name: str, replicas: int) -> bool:
    status = found.get(name, {}).get("status", {})
    return status.get("availableReplicas") == replicas and read.holds(found, name, "Ready")


def _since(one: Mapping[str, Any], kind: str) -> int:
    return _epoch(read.condition(one, kind)["lastTransitionTime"])


def _epoch(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp())
