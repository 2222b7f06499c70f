"""Where pods go, and what is told of those that find no room, on a real API server."""

from typing import Any

import pytest

from bayplan import units
from tests.cluster import read
from tests.cluster.manifests import make_job, make_service
from tests.cluster.test_longservice import available
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster


def test_no_room_is_told_and_a_new_node_heals(site: Site, namespace: str) -> None:
    """What finds no room exists unplaced and Unschedulable, with the truth; a new node takes it."""
    site.nodes("m5.xlarge:us-east-1a=1", pool="another")
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("big", namespace, replicas=1, cpu="3", pod=pod))
    waiting = site.kube.until(
        read.pods(namespace),
        lambda found: [one for one in found.values() if read.unschedulable(one)],
    )
    told = site.kube.until(
        read.services(namespace),
        lambda found: found["big"].get("status", {}).get("placement") and found["big"],
    )
    site.nodes("m5.xlarge:us-east-1a=1", pool=namespace)
    site.kube.until(read.services(namespace), available(1, "big"))

    assert "nodeName" not in waiting[0]["spec"]
    assert "bayplan" == waiting[0]["spec"]["schedulerName"]
    assert 1 == told["status"]["placement"]["pendingTasks"]
    assert "node selector" in told["status"]["placement"]["message"]
    assert "False" == read.condition(told, "Placed")["status"]


def test_a_foreign_pod_is_bound(site: Site, namespace: str) -> None:
    """Any pod that names this scheduler gets a node."""
    [node] = site.nodes("m5.large:us-east-1c=1", pool=namespace)
    pod = {
        "metadata": {"name": "guest"},
        "spec": {
            "schedulerName": "bayplan",
            "nodeSelector": {"pool": namespace},
            "containers": [{"name": "main", "image": "busybox:1.36"}],
        },
    }
    site.kube.create(read.pods(namespace), pod)
    found = site.kube.until(read.pods(namespace), read.running)

    assert {"guest": node} == found


def test_instances_move_off_a_removed_node(site: Site, namespace: str) -> None:
    """A node that is deleted loses its instances; they start on another."""
    [first] = site.nodes("m5.large:us-east-1a=1", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("web", namespace, replicas=2, pod=pod))
    site.kube.until(read.services(namespace), available(2))
    [second] = site.nodes("m5.large:us-east-1b=1", pool=namespace)
    site.kube.delete(f"/api/v1/nodes/{first}")
    moved = site.kube.until(
        read.pods(namespace),
        lambda found: list(read.running(found).values()) == [second, second] and found.keys(),
        within=90,
    )

    assert moved


def test_a_cordoned_node_is_left_without_a_gap(site: Site, namespace: str) -> None:
    """Cordoning a node starts replacements first; the service never has fewer ready than asked."""
    [first] = site.nodes("m5.large:us-east-1a=1", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("web", namespace, replicas=2, pod=pod))
    site.kube.until(read.services(namespace), available(2))
    [second] = site.nodes("m5.large:us-east-1b=1", pool=namespace)
    counts: list[int] = []
    site.kube.kubectl("cordon", first)
    moved = site.kube.until(
        read.pods(namespace),
        lambda found: (
            counts.append(len(read.running(found)))
            or list(read.running(found).values()) == [second, second]
        ),
        within=60,
    )

    assert moved
    assert 2 <= min(counts)


def test_nothing_is_placed_beyond_allocatable(site: Site, namespace: str) -> None:
    """Sixty pods of unlike sizes on three nodes: requests never exceed what a node has."""
    site.nodes("m5.large:us-east-1a=2,m5.xlarge:us-east-1b=1", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    for index, cpu in enumerate(("150m", "250m", "400m")):
        site.kube.apply(make_service(f"s{index}", namespace, replicas=20, cpu=cpu, pod=pod))
    site.kube.until(read.pods(namespace), lambda found: len(found) == 60)
    placed = site.kube.until(
        read.pods(namespace),
        lambda found: (
            all(one["spec"].get("nodeName") or read.unschedulable(one) for one in found.values())
            and found
        ),
    )
    totals: dict[str, int] = {}
    for one in placed.values():
        if node := one["spec"].get("nodeName"):
            asked = one["spec"]["containers"][0]["resources"]["requests"]["cpu"]
            totals[node] = totals.get(node, 0) + int(asked.removesuffix("m"))

    nodes = site.kube.listed("/api/v1/nodes")
    room = {name: units.cpu_milli(nodes[name]["status"]["allocatable"]["cpu"]) for name in totals}

    assert 3 == len(totals)
    assert [] == [name for name in totals if totals[name] > room[name]]


def test_a_large_run_is_not_passed_by_small_ones_for_ever(site: Site, namespace: str) -> None:
    """After a minute its node is held, and told; a long run stays out, a short one fills the gap.

    The large run starts when the one before it has ended, whoever came in between.
    """
    [node] = site.nodes("m5.large:us-east-1a=1", pool=namespace)
    kube, pods = site.kube, read.pods(namespace)

    def job(name: str, cpu: str, seconds: int) -> dict[str, Any]:
        return make_job(
            name,
            namespace,
            cpu=cpu,
            seconds=seconds,
            expectedDurationSeconds=seconds,
            pod={"nodeSelector": {"pool": namespace}},
        )

    def of(found: Any, name: str) -> Any:
        mine = [one for one in found.values() if one["metadata"]["name"].startswith(f"{name}-")]
        return mine[0] if mine else {"spec": {}, "status": {}}

    kube.apply(job("first", "1", 100))
    kube.until(pods, read.running)
    kube.apply(job("large", "1500m", 5))
    kube.until(
        pods,
        lambda found: of(found, "large")["status"].get("nominatedNodeName") == node,
        within=90,
    )
    kube.apply(job("long", "300m", 600), job("short", "300m", 3))
    between = kube.until(
        pods,
        lambda found: (
            of(found, "short")["spec"].get("nodeName")
            and read.unschedulable(of(found, "long"))
            and found
        ),
    )
    kube.until(pods, lambda found: of(found, "large")["spec"].get("nodeName") == node, within=90)

    assert "nodeName" not in of(between, "large")["spec"]
    assert "nodeName" not in of(between, "long")["spec"]
