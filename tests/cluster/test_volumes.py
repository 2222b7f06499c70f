"""Volumes made where their pods will run, on a real API server with Kubernetes' own binder."""

from collections.abc import Callable

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_service
from tests.cluster.provisioner import (
    SELECTED,
    Provisioner,
    claims,
    make_claim,
    make_mounting,
    make_volume,
)
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster


def test_a_volume_is_made_for_the_chosen_node(site: Site, namespace: str) -> None:
    """Node first, then the volume, then the binding; who comes back follows its volume's zone."""
    site.nodes("m5.large:us-east-1a=1,m5.large:us-east-1b=1", pool=namespace)
    nodes = {
        one["metadata"]["labels"]["topology.kubernetes.io/zone"]: name
        for name, one in site.kube.listed(f"/api/v1/nodes?labelSelector=pool={namespace}").items()
    }
    kube, pods = site.kube, read.pods(namespace)
    storage = Provisioner(kube, namespace)
    with storage.serving():
        kube.create(claims(namespace), make_claim("data", storage.storage_class))
        kube.create(pods, make_mounting("db", namespace, "data", zone="us-east-1b"))
        first = kube.until(pods, read.running)
        claim = kube.get(f"{claims(namespace)}/data")
        kube.delete(f"{pods}/db", {"gracePeriodSeconds": 0})
        kube.until(pods, lambda found: "db" not in found)
        kube.create(pods, make_mounting("db", namespace, "data"))
        again = kube.until(pods, read.running)

    there = nodes["us-east-1b"]
    assert ({"db": there}, {"db": there}) == (first, again)
    assert [("data", there)] == storage.asked
    assert ("Bound", there) == (
        claim["status"]["phase"],
        claim["metadata"]["annotations"][SELECTED],
    )


def test_a_node_without_storage_is_given_back(site: Site, namespace: str) -> None:
    """Where no volume can be made another node is tried, and the pod runs there."""
    names = site.nodes("m5.large:us-east-1a=1,m5.large:us-east-1b=1", pool=namespace)
    kube, pods = site.kube, read.pods(namespace)
    storage = Provisioner(kube, namespace)
    full, other = names
    kube.kubectl("cordon", other)
    storage.full.add(full)
    with storage.serving():
        kube.create(claims(namespace), make_claim("data", storage.storage_class))
        kube.create(pods, make_mounting("db", namespace, "data"))
        kube.until(pods, lambda found: any(read.unschedulable(one) for one in found.values()))
        kube.kubectl("uncordon", other)
        found = kube.until(pods, read.running)

    assert {"db": other} == found
    assert [("data", full), ("data", other)] == storage.asked


Met = Callable[[Objects], object]
VOLUMES = "/api/v1/persistentvolumes"
STORAGE = "/apis/storage.k8s.io/v1"


def test_one_pod_at_a_time_uses_a_claim(site: Site, namespace: str) -> None:
    """ReadWriteOncePod: more instances wait and are told why; an update lets the old one go."""
    site.nodes("m5.large:us-east-1a=2", pool=namespace)
    kube, pods, services = site.kube, read.pods(namespace), read.services(namespace)
    sole = "ReadWriteOncePod"
    kube.create(VOLUMES, make_volume(f"pv-{namespace}", namespace, "single", mode=sole))
    single = make_claim("single", "manual", volume=f"pv-{namespace}", mode=sole)
    kube.create(claims(namespace), single)
    mounts = [{"name": "data", "persistentVolumeClaim": {"claimName": "single"}}]
    most = 0

    def until(met: Met) -> Objects:
        """The pods once this holds of them; how many had a node at once meanwhile, going or not."""

        def seen(found: Objects) -> Objects | None:
            nonlocal most
            most = max(most, sum("nodeName" in one["spec"] for one in found.values()))
            return found if met(found) else None

        return kube.until(pods, seen)

    service = make_service(
        "db",
        namespace,
        replicas=1,
        updateStrategy={"minimumHealthyPercent": 0},
        pod={"nodeSelector": {"pool": namespace}, "volumes": mounts},
        container={"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        termination="2s",
    )
    kube.create(services, service)
    [first] = until(lambda found: len(read.running(found)) == 1)
    kube.patch(f"{services}/db", {"spec": {"replicas": 2}})
    found = until(lambda found: any(read.unschedulable(one) for one in found.values()))
    [told] = [
        read.condition(one, "PodScheduled")["message"]
        for one in found.values()
        if "nodeName" not in one["spec"]
    ]
    kube.until(
        services,
        lambda found: read.condition(found["db"], "Stalled").get("reason") == "ClaimForOnePod",
    )
    kube.patch(f"{services}/db", {"spec": {"replicas": 1}})
    until(lambda found: list(found) == [first])
    image = {"name": "main", "image": "busybox:1.37"}
    container = service["spec"]["template"]["spec"]["containers"][0]
    kube.patch(
        f"{services}/db",
        {"spec": {"template": {"spec": {"containers": [{**container, **image}]}}}},
    )
    until(lambda found: first not in found and len(read.running(found)) == 1)
    kube.until(services, lambda found: read.holds(found, "db", "Ready"))
    kube.create(pods, make_mounting("stranger", namespace, "single"))
    until(lambda found: read.unschedulable(found["stranger"]))
    kube.patch(f"{services}/db", {"spec": {"replicas": 0}})
    until(lambda found: list(read.running(found)) == ["stranger"])
    kube.delete(f"{VOLUMES}/pv-{namespace}")

    assert f"ReadWriteOncePod claim in use single by pod {first}" in told
    assert 1 == most


def test_volumes_that_are_still_attached_count(site: Site, namespace: str) -> None:
    """The limit of a driver on a node holds what no pod mounts any more, until it is detached."""
    [node] = site.nodes("m5.large:us-east-1a=1", pool=namespace)
    kube, pods, driver = site.kube, read.pods(namespace), f"{namespace}.bayplan.dev"
    limits = {"drivers": [{"name": driver, "nodeID": node, "allocatable": {"count": 1}}]}
    kube.create(f"{STORAGE}/csinodes", {"metadata": {"name": node}, "spec": limits})
    for name, claim in ((f"new-{namespace}", "new"), (f"old-{namespace}", "old")):
        source = {"csi": {"driver": driver, "volumeHandle": name}}
        kube.create(VOLUMES, make_volume(name, namespace, claim, **source))
    attached = {
        "attacher": driver,
        "nodeName": node,
        "source": {"persistentVolumeName": f"old-{namespace}"},
    }
    attachment = {"metadata": {"name": namespace}, "spec": attached}
    kube.create(f"{STORAGE}/volumeattachments", attachment)
    kube.create(claims(namespace), make_claim("new", "manual", volume=f"new-{namespace}"))
    kube.until(claims(namespace), lambda found: found["new"]["status"]["phase"] == "Bound")
    kube.create(pods, make_mounting("db", namespace, "new"))
    full = kube.until(pods, lambda found: found if read.unschedulable(found["db"]) else None)
    kube.delete(f"{STORAGE}/volumeattachments/{namespace}")
    found = kube.until(pods, read.running)

    said = read.condition(full["db"], "PodScheduled")["message"]
    assert f"no more volumes attachable {driver}" in said
    assert {"db": node} == found
