"""Where `placement` lets pods run, end to end: what users write, what pods say, where they land."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

HARD = "requiredDuringSchedulingIgnoredDuringExecution"
ZONES = "m5.xlarge:us-east-1a=2,m5.xlarge:us-east-1b=2,m5.xlarge:us-east-1c=2"


def rule(key: str, operator: str, value: str | None = None) -> dict[str, str]:
    return {"key": key, "operator": operator, **({"value": value} if value else {})}


def settled(replicas: int) -> Callable[[Objects], Objects]:
    """All pods exist, and each has a node or says that it has none."""

    def met(found: Objects) -> Objects:
        told = [one["spec"].get("nodeName") or read.unschedulable(one) for one in found.values()]
        return found if len(told) == replicas and all(told) else {}

    return met


def placed(
    site: Site, namespace: str, replicas: int, *constraints: dict[str, str], **placement: Any
) -> Objects:
    """The pods of a service of this size on this test's own nodes, once all is decided."""
    spec = {"constraints": list(constraints), **placement}
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(
        make_service("web", namespace, replicas=replicas, cpu="200m", placement=spec, pod=pod)
    )
    return site.kube.until(read.pods(namespace), settled(replicas))


def hosts(pods: Objects) -> Counter[str]:
    """Pods by node; those without one under the empty name."""
    return Counter(one["spec"].get("nodeName", "") for one in pods.values())


def by_label(site: Site, pods: Objects, label: str) -> Counter[str]:
    nodes: Mapping[str, Any] = site.kube.listed("/api/v1/nodes")
    return Counter(
        nodes[one["spec"]["nodeName"]]["metadata"]["labels"][label] for one in pods.values()
    )


def test_unique_a_host_and_the_truth_about_the_rest(site: Site, namespace: str) -> None:
    """One pod a host; those beyond say why, and take a new host when it comes."""
    site.nodes("m5.xlarge:us-east-1a=2", pool=namespace)
    pods = placed(site, namespace, 3, rule("hostname", "Unique"))
    [waiting] = [one for one in pods.values() if not one["spec"].get("nodeName")]
    site.kube.until(
        read.services(namespace),
        lambda found: (
            "2 constraint hostname Unique"
            in found["web"].get("status", {}).get("placement", {}).get("message", "")
        ),
    )
    [third] = site.nodes("m5.xlarge:us-east-1a=1", pool=namespace)
    healed = site.kube.until(
        read.pods(namespace), lambda found: third in read.running(found).values() and found
    )

    assert [1, 1, 1] == list(hosts(pods).values())
    assert "constraint hostname Unique" in read.condition(waiting, "PodScheduled")["message"]
    assert waiting["spec"]["affinity"]["podAntiAffinity"][HARD]
    assert [1, 1, 1] == list(hosts(healed).values())


def test_at_most_two_a_host(site: Site, namespace: str) -> None:
    """MaxPer 2: two places a host, each taken once; who waits has a place as well."""
    site.nodes("m5.xlarge:us-east-1a=2", pool=namespace)
    pods = placed(site, namespace, 5, rule("hostname", "MaxPer", "2"))
    places = Counter(
        (one["spec"].get("nodeName", ""), one["metadata"]["labels"]["bayplan.dev/place"])
        for one in pods.values()
    )

    assert [1, 2, 2] == sorted(hosts(pods).values())
    assert {1} == set(places.values())


def test_even_over_zones(site: Site, namespace: str) -> None:
    """GroupBy zone: seven over three zones are 3, 2 and 2."""
    site.nodes(ZONES, pool=namespace)
    pods = placed(site, namespace, 7, rule("zone", "GroupBy"))

    assert [2, 2, 3] == sorted(by_label(site, pods, "topology.kubernetes.io/zone").values())


def test_patterns_of_labels(site: Site, namespace: str) -> None:
    """Like and Unlike match whole values; both hold."""
    site.nodes(f"{ZONES},c5.xlarge:us-east-1a=1", pool=namespace)
    pods = placed(
        site,
        namespace,
        4,
        rule("zone", "Like", ".*-1[ab]"),
        rule("instance-type", "Unlike", "c5.*"),
    )
    zones = by_label(site, pods, "topology.kubernetes.io/zone")

    assert zones.keys() <= {"us-east-1a", "us-east-1b"}
    assert {"m5.xlarge": 4} == by_label(site, pods, "node.kubernetes.io/instance-type")


def test_alone_on_its_nodes(site: Site, namespace: str) -> None:
    """Exclusive: no other workload joins it, and it joins none; its own pods share."""
    site.nodes("m5.xlarge:us-east-1a=2", pool=namespace)
    pods = placed(site, namespace, 2, strategy="Exclusive")
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_service("other", namespace, replicas=2, cpu="200m", pod=pod))
    everyone = site.kube.until(read.pods(namespace), settled(4))
    owners = {
        (one["spec"]["nodeName"], one["metadata"]["labels"]["bayplan.dev/service"])
        for one in everyone.values()
    }

    assert 1 == len(hosts(pods))
    assert 2 == len(owners)
    assert 2 == len({node for node, _ in owners})


def test_a_jobs_runs_follow_its_rules_too(site: Site, namespace: str) -> None:
    """A BatchJob runs where its constraint lets it."""
    site.nodes(ZONES, pool=namespace)
    spec = {"constraints": [rule("zone", "Is", "us-east-1c")]}
    pod = {"nodeSelector": {"pool": namespace}}
    site.kube.apply(make_job("once", namespace, placement=spec, pod=pod, seconds=60))
    pods = site.kube.until(read.pods(namespace), settled(1))

    assert {"us-east-1c": 1} == by_label(site, pods, "topology.kubernetes.io/zone")
