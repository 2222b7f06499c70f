"""Pods that wait while nodes come one at a time, at a server that is slow to take what they say."""

import re
import time
from collections import Counter

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import SLEEPER, make_service
from tests.faults.proxy import Rule, late, of
from tests.faults.world import LABEL, Ground

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

INSTANCES, GUESTS = 60, 40
CPU = "300m"  # six on a node
_NAME = re.compile(r"/pods/([^/]+)/status$")


def test_a_waiting_pod_is_written_twice_until_it_is_bound(ground: Ground) -> None:
    """CREATE and mark, or of another's pod the mark alone: however often the sentence changes.

    Marks take two seconds each, and with every node that comes all sentences change. Bindings do
    not wait behind them. One pod may have a node held for it after a minute, and says so.
    """
    site = ground.site
    with ground.world() as world:
        for node in world.lane.nodes:
            site.kube.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})
        world.proxy.script(Rule(of("PATCH", "pods/status"), late(2)))
        service = make_service("web", world.namespace, replicas=INSTANCES, cpu=CPU)
        site.kube.create(read.services(world.namespace), service)
        site.kube.apply(_guests(world.namespace))
        world.operator()
        pods = read.pods(world.namespace)
        site.kube.until(pods, lambda found: any(map(read.unschedulable, found.values())))
        came: list[str] = []
        ends = time.monotonic() + 150
        while _placed(site.kube.listed(pods)) < INSTANCES + GUESTS and time.monotonic() < ends:
            came += site.nodes("m5.large:us-east-1a=1", **{LABEL: world.lane.name})
        placed = _placed(site.kube.listed(pods))
        marked = Counter(
            found.group(1)
            for call in world.proxy.writes
            if call.method == "PATCH" and (found := _NAME.search(call.path))
        )
        bound = sum(call.kind == "pods/binding" for call in world.proxy.writes)
        for node in came:
            site.kube.delete(f"/api/v1/nodes/{node}")
    print(  # noqa: T201  figures to publish
        f"\nwaiting: {placed} pods, {marked.total()} marks, {bound} bindings, {len(came)} nodes"
    )

    assert INSTANCES + GUESTS == placed
    assert marked.total() <= INSTANCES + GUESTS + 2
    assert bound <= INSTANCES + GUESTS


def _guests(namespace: str) -> dict[str, object]:
    """A ReplicaSet whose pods name Bayplan as their scheduler."""
    labels = {"app": "guest"}
    container = {**SLEEPER, "resources": {"requests": {"cpu": CPU, "memory": "64Mi"}}}
    pod = {"schedulerName": "bayplan", "containers": [container]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": GUESTS, "selector": {"matchLabels": labels}, "template": template}
    metadata = {"name": "guest", "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def _placed(found: Objects) -> int:
    return sum("nodeName" in pod["spec"] for pod in found.values())
