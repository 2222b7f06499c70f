"""What a template does not say: the API server's figures first, ours where there are none."""

from typing import Any

import pytest

from tests.cluster import read
from tests.cluster.manifests import SLEEPER, make_job, make_service
from tests.cluster.test_longservice import available
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

GI = 2**30


def plain(name: str, namespace: str, **pod: Any) -> dict[str, Any]:
    """A service of one instance whose containers state nothing."""
    made = make_service(name, namespace, replicas=1)
    made["spec"]["template"]["spec"] = {"containers": [SLEEPER], **pod}
    return made


def stored(site: Site, namespace: str, name: str = "web") -> tuple[dict[str, Any], dict[str, str]]:
    """The pod's spec and the status' requests, once the instance is available."""
    found = site.kube.until(read.services(namespace), available(1, name), within=60)
    pods = site.kube.listed(read.pods(namespace))
    (pod,) = [one for one in pods.values() if one["metadata"]["name"].startswith(f"{name}-")]
    return pod["spec"], found["status"]["effectiveRequests"]["requests"]


def limit(site: Site, namespace: str, *limits: dict[str, Any]) -> None:
    site.kube.create(
        f"/api/v1/namespaces/{namespace}/limitranges",
        {"metadata": {"name": "limits"}, "spec": {"limits": list(limits)}},
    )


def test_what_a_pod_as_a_whole_asks_for(site: Site, namespace: str) -> None:
    """Its containers get no figure of ours, and it counts as it is written."""
    site.nodes("m5.2xlarge:us-east-1a=1")
    whole = {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"memory": "2Gi"}}
    two = [SLEEPER, {**SLEEPER, "name": "b"}]
    site.kube.apply(plain("web", namespace, resources=whole, containers=two))
    spec, told = stored(site, namespace)

    assert whole == spec["resources"]
    assert [{}, {}] == [one["resources"] for one in spec["containers"]]
    assert ("2", "2Gi") == (told["cpu"], told["memory"])


@pytest.mark.parametrize(
    ("range_", "requests", "limits"),
    [
        (
            {
                "type": "Container",
                "min": {"memory": "256Mi"},
                "defaultRequest": {"memory": "512Mi"},
                "default": {"memory": "1Gi"},
            },
            {"cpu": "100m", "memory": "512Mi"},
            {"memory": "1Gi"},
        ),
        (
            {"type": "Container", "min": {"memory": "256Mi"}},
            {"cpu": "100m", "memory": "256Mi"},
            {"memory": "256Mi"},
        ),
        (
            {"type": "Container", "max": {"cpu": "50m", "memory": "64Mi"}},
            {"cpu": "50m", "memory": "64Mi"},
            {"cpu": "50m", "memory": "64Mi"},
        ),
        (
            {"type": "Pod", "min": {"memory": "256Mi", "cpu": "300m"}},
            {"cpu": "300m", "memory": "256Mi"},
            {"memory": "256Mi"},
        ),
        (
            {"type": "Pod", "max": {"memory": "100Mi"}},
            {"cpu": "100m", "memory": "100Mi"},
            {"memory": "100Mi"},
        ),
    ],
)
def test_what_a_namespace_fills_in(
    site: Site,
    namespace: str,
    range_: dict[str, Any],
    requests: dict[str, str],
    limits: dict[str, str],
) -> None:
    """Its figures are taken, and ours are none that it refuses."""
    site.nodes("m5.large:us-east-1a=1")
    limit(site, namespace, range_)
    site.kube.apply(plain("web", namespace))
    spec, told = stored(site, namespace)
    (container,) = spec["containers"]

    assert {"requests": requests, "limits": limits} == container["resources"]
    assert requests == told


def test_runs_get_the_same(site: Site, namespace: str) -> None:
    site.nodes("m5.large:us-east-1a=1")
    limit(site, namespace, {"type": "Container", "min": {"memory": "256Mi"}})
    made = make_job("once", namespace, seconds=1)
    del made["spec"]["template"]["spec"]["containers"][0]["resources"]
    site.kube.apply(made)
    jobs = site.kube.until(
        read.jobs(namespace),
        lambda found: read.holds(found, "once", "Complete") and found,
        within=60,
    )

    assert "256Mi" == jobs["once"]["status"]["effectiveRequests"]["requests"]["memory"]
