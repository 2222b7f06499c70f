"""What the API server added to a template holds after a restart of the operator, too."""

from collections.abc import Iterator
from typing import Any

import pytest

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.test_longservice import available
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

PORT = {"container": {"ports": [{"containerPort": 8080}]}}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without any operator."""
    with Cluster.start() as local:
        yield Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("own")).prepare()


def placed(site: Site, namespace: str) -> list[str]:
    """The nodes of all pods, one entry a pod."""
    pods = site.kube.listed(read.pods(namespace)).values()
    return sorted(pod["spec"].get("nodeName", "") for pod in pods)


def grown(site: Site, namespace: str, first: int, then: int, **spec: Any) -> list[str]:
    """Where the pods are of a service that was scaled under an operator that is newly started."""
    services = read.services(namespace)
    with site.operator() as operator:
        site.kube.apply(make_service("web", namespace, replicas=first, **spec))
        site.kube.until(services, available(first), within=60)
        operator.terminate()
    with site.operator():
        site.kube.patch(f"{services}/web", {"spec": {"replicas": then}})
        site.kube.until(services, available(then), within=60)
    return placed(site, namespace)


def test_ports_on_the_nodes_network(own: Site) -> None:
    """No node gets two pods of one port, however much room it has."""
    namespace = own.namespace()
    nodes = own.nodes("m5.xlarge:us-east-1a=4", pool=namespace)
    pod = {"hostNetwork": True, "nodeSelector": {"pool": namespace}}

    assert sorted(nodes) == grown(own, namespace, 2, 4, pod=pod, **PORT)


def test_what_a_runtime_class_says(own: Site) -> None:
    """Its node selector and overhead stand nowhere in the template."""
    namespace = own.namespace()
    own.nodes("m5.xlarge:us-east-1a=2")
    nodes = own.nodes("m5.large:us-east-1a=2", pool=namespace)
    own.kube.create(
        "/apis/node.k8s.io/v1/runtimeclasses",
        {
            "metadata": {"name": namespace},
            "handler": "runc",
            "overhead": {"podFixed": {"cpu": "900m", "memory": "64Mi"}},
            "scheduling": {"nodeSelector": {"pool": namespace}},
        },
    )
    found = grown(own, namespace, 1, 2, pod={"runtimeClassName": namespace})

    assert set(found) <= set(nodes)
    assert 2 == len(found)


def test_what_a_former_revision_was_given(own: Site) -> None:
    """An instance of the old template is made again after a restart in the midst of an update."""
    namespace = own.namespace()
    services = read.services(namespace)
    own.nodes("m5.xlarge:us-east-1a=2")
    nodes = own.nodes("m5.large:us-east-1a=1", pool=namespace)
    own.kube.create(
        "/apis/node.k8s.io/v1/runtimeclasses",
        {
            "metadata": {"name": f"{namespace}-old"},
            "handler": "runc",
            "scheduling": {"nodeSelector": {"pool": namespace}},
        },
    )
    with own.operator() as operator:
        pod = {"runtimeClassName": f"{namespace}-old"}
        own.kube.apply(make_service("web", namespace, replicas=1, pod=pod))
        own.kube.until(services, available(1), within=60)
        operator.terminate()
    template = {
        "metadata": {"annotations": {"sim.bayplan.dev/ready": "false"}},
        "spec": {"runtimeClassName": None},
    }
    own.kube.patch(f"{services}/web", {"spec": {"replicas": 3, "template": template}})

    def restored(found: Objects) -> bool:
        return 3 == len(read.running(found))

    with own.operator():
        pods = own.kube.until(
            read.pods(namespace), lambda found: restored(found) and found, within=100
        )
    old = {pods[name]["spec"]["nodeName"] for name in read.running(pods)}

    assert set(nodes) == old
