"""Who deleted a run's pod: on a node that is emptied it is lost, on one that stays cancelled."""

import os

import pytest

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

_KARPENTER = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}


def started(site: Site, namespace: str, attempt: int = 0) -> tuple[str, str]:
    """The running pod of an attempt, and its node."""

    def met(found: Objects) -> tuple[str, str] | None:
        mine = (one for one in read.running(found).items() if one[0].startswith("long-"))
        return next((one for one in mine if one[0].endswith(f"-{attempt}")), None)

    return site.kube.until(read.pods(namespace), met)


def instances(found: Objects) -> set[str]:
    """The nodes on which the service runs."""
    return {node for name, node in read.running(found).items() if name.startswith("web-")}


def lost(site: Site, namespace: str) -> bool:
    """Whether the only run goes on elsewhere: lost to its node, not cancelled."""
    return site.kube.until(
        read.jobs(namespace),
        lambda found: (
            any(
                one.get("disruptions") == 1 and one["attempt"] == 1
                for one in found["long"].get("status", {}).get("active", ())
            )
            and "history" not in found["long"]["status"]
        ),
    )


def two_nodes(site: Site, pool: str) -> dict[str, object]:
    site.nodes("m5.large:us-east-1a=2", pool=pool)
    return {"nodeSelector": {"pool": pool}}


def test_a_drain_without_evictions(site: Site, namespace: str) -> None:
    """`kubectl drain --disable-eviction` deletes as a person does, on a node that it cordoned."""
    pod = two_nodes(site, namespace)
    site.kube.apply(make_job("long", namespace, seconds=3600, pod=pod))
    _, node = started(site, namespace)
    site.kube.kubectl(
        "drain", node, "--disable-eviction", "--force", "--ignore-daemonsets", "--timeout=60s"
    )
    _, elsewhere = started(site, namespace, 1)
    site.kube.kubectl("uncordon", node)

    assert node != elsewhere
    assert lost(site, namespace)


def test_karpenter_at_the_end_of_its_patience(site: Site, namespace: str) -> None:
    """It taints the node and deletes the pod, with a grace of its own."""
    pod = two_nodes(site, namespace)
    site.kube.apply(make_job("long", namespace, seconds=3600, pod=pod))
    name, node = started(site, namespace)
    site.kube.apply(make_service("web", namespace, replicas=1, pod=pod))
    site.kube.until(read.pods(namespace), lambda found: instances(found) == {node})
    site.kube.patch(f"/api/v1/nodes/{node}", {"spec": {"taints": [_KARPENTER]}})
    # An instance that moves shows that the operator has heard of the taint, as it has by then.
    site.kube.until(read.pods(namespace), lambda found: instances(found) - {node})
    site.kube.delete(f"{read.pods(namespace)}/{name}", {"gracePeriodSeconds": 5})
    _, elsewhere = started(site, namespace, 1)

    assert node != elsewhere
    assert lost(site, namespace)


def test_a_person_on_a_node_that_stays(site: Site, namespace: str) -> None:
    """A plain delete there ends the run; it is not tried again."""
    pod = two_nodes(site, namespace)
    site.kube.apply(make_job("long", namespace, seconds=3600, pod=pod))
    name, _ = started(site, namespace)
    site.kube.delete(f"{read.pods(namespace)}/{name}")
    ended = site.kube.until(
        read.jobs(namespace), lambda found: found["long"].get("status", {}).get("history")
    )

    assert [("Cancelled", "Deleted", 1)] == [
        (one["outcome"], one["reason"], one["attempts"]) for one in ended
    ]


@pytest.mark.skipif(
    "BAYPLAN_TEST_KUBECONFIG" in os.environ or "BAYPLAN_TEST_CLUSTER" in os.environ,
    reason="it stops the operator of a cluster of its own",
)
def test_nobody_was_there_to_see_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The operator is down while the node is drained, and starts when the pod has ended."""
    with Cluster.start(node_monitor_grace_seconds=8) as local:
        site = Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("losses")).prepare()
        namespace = site.namespace()
        pod = two_nodes(site, namespace)
        site.kube.apply(make_job("long", namespace, seconds=3600, pod=pod))
        with site.operator():
            name, node = started(site, namespace)
        site.kube.kubectl("cordon", node)
        site.kube.delete(f"{read.pods(namespace)}/{name}")
        with site.operator():
            _, elsewhere = started(site, namespace, 1)

            assert node != elsewhere
            assert lost(site, namespace)
