"""Volumes made where their pods will run, on a real API server with Kubernetes' own binder."""

import pytest

from tests.cluster import read
from tests.cluster.provisioner import SELECTED, Provisioner, claims, make_claim, make_mounting
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
