"""One instance on each node, on a real API server: it follows the nodes, and none stands twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.test_cli import bayplan
from tests.cluster.test_longservice import available
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster


def make_agent(namespace: str, **spec: Any) -> dict[str, Any]:
    """A service `agent` on each node of its namespace's pool."""
    pod = {"nodeSelector": {"pool": namespace}}
    return make_service("agent", namespace, **{"mode": "PerNode", "pod": pod, **spec})


def on(found: Objects) -> list[str]:
    """The nodes of pods that stay, by name."""
    stays = [pod for pod in found.values() if "deletionTimestamp" not in pod["metadata"]]
    return sorted(pod["spec"].get("nodeName", "") for pod in stays)


def covered(site: Site, namespace: str, fleet: str) -> list[str]:
    """The nodes of a new fleet, once each has its instance."""
    nodes = site.nodes(fleet, pool=namespace)
    site.kube.apply(make_agent(namespace))
    site.kube.until(read.services(namespace), available(len(nodes), "agent"), within=60)
    return nodes


def test_it_follows_the_nodes(site: Site, namespace: str) -> None:
    """A node joins, one is labelled away, one is deleted; each time the others are left alone."""
    kube, services, pods = site.kube, read.services(namespace), read.pods(namespace)
    nodes = covered(site, namespace, "m5.large:us-east-1a=2,m5.large:us-east-1b=1")
    first = on(kube.listed(pods))
    before = uids(kube, namespace)

    nodes += site.nodes("m5.large:us-east-1c=1", pool=namespace)
    kube.until(services, available(4, "agent"), within=60)
    grown = on(kube.listed(pods))
    kept = before <= uids(kube, namespace)

    kube.patch(f"/api/v1/nodes/{nodes[0]}", {"metadata": {"labels": {"pool": "other"}}})
    kube.until(services, available(3, "agent"), within=60)
    kube.delete(f"/api/v1/nodes/{nodes[1]}")
    kube.until(services, available(2, "agent"), within=60)
    # The pod of a node that is gone is not counted from then on, and goes a moment later.
    kube.until(pods, lambda found: on(found) == sorted(nodes[2:]))

    assert sorted(nodes[:3]) == first
    assert sorted(nodes) == grown
    assert kept


def test_an_update_replaces_each_where_it_stands(site: Site, namespace: str) -> None:
    """One at a time, the old one first, and `bayplan rollout status` counts the nodes."""
    kube, services = site.kube, read.services(namespace)
    nodes = covered(site, namespace, "m5.large:us-east-1a=3")
    before = uids(kube, namespace)
    kube.apply(make_agent(namespace, cpu="150m"))
    kube.until(services, renewed(3), within=90)

    assert sorted(nodes) == on(kube.listed(read.pods(namespace)))
    assert before.isdisjoint(uids(kube, namespace))
    shown = kube.kubectl("get", "longservice", "agent", "-n", namespace, "--no-headers")
    assert ["agent", "3", "3", "3", "Ready"] == shown.stdout.split()[:5]


def test_a_node_without_room_gets_no_pod_that_waits(
    site: Site, namespace: str, tmp_path: Path
) -> None:
    """The status says what is missing there; once there is room the instance comes."""
    kube, services = site.kube, read.services(namespace)
    site.nodes("m5.large:us-east-1a=1,m5.xlarge:us-east-1a=1", pool=namespace)
    large = {"pool": namespace, "node.kubernetes.io/instance-type": "m5.large"}
    filler = make_service("filler", namespace, cpu="1500m", pod={"nodeSelector": large})
    kube.apply(filler)
    kube.until(services, available(1, "filler"), within=60)
    kube.apply(make_agent(namespace, cpu="1"))
    found = kube.until(services, without_room, within=60)
    pods = len(kube.listed(read.pods(namespace)))
    told = bayplan(site, tmp_path, "explain", "agent", "-n", namespace)
    planned = bayplan(site, tmp_path, "plan", "-o", "json")
    top = bayplan(site, tmp_path, "top", "services", "-n", namespace, "-o", "json")
    kube.delete(f"{services}/filler")
    kube.until(services, available(2, "agent"), within=60)

    assert "insufficient cpu" in found["status"]["placement"]["message"]
    assert 2 == pods
    assert all(one in told.stdout for one in ("1 insufficient cpu", "1 constraint hostname Unique"))
    [waits] = [
        one
        for one in json.loads(planned.stdout)["waiting"]
        if one["of"].startswith(f"Pod {namespace}/agent-")  # others of the cluster may wait, too
    ]
    [shown] = [one for one in json.loads(top.stdout)["services"] if one["name"] == "agent"]
    assert "1 insufficient cpu" in waits["message"]
    assert (2, 1) == (shown["wanted"], shown["ready"])


def without_room(found: Objects) -> Any:
    agent = found["agent"]
    waits = agent.get("status", {}).get("placement")
    return agent if waits and agent["status"].get("availableReplicas") == 1 else None


def renewed(count: int) -> Any:
    """A question for `until`: so many instances have the newest template and are available."""

    def met(found: Objects) -> Any:
        agent = found["agent"]
        status = agent.get("status", {})
        seen = status.get("observedGeneration") == agent["metadata"]["generation"]
        counts = {status.get("updatedReplicas"), status.get("availableReplicas")}
        settled = status.get("currentRevision") == status.get("updateRevision")
        return seen and counts == {count} and settled and read.holds(found, "agent", "Ready")

    return met


def uids(kube: Kube, namespace: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in kube.listed(read.pods(namespace)).values()}
