"""A large backlog on empty nodes waits for the plan of a real solver process, and is placed."""

import pytest

from tests.cluster import read
from tests.cluster.manifests import make_service
from tests.cluster.under_test import OperatorProcess, Site

pytestmark = pytest.mark.cluster


def test_a_large_backlog_is_asked_about_and_placed(
    site: Site, operator: OperatorProcess, namespace: str
) -> None:
    """The log tells of the question; every instance runs, and no pod was said to have no room."""
    site.nodes("c5.2xlarge:us-east-1a=14,m5.2xlarge:us-east-1b=26", pool=namespace)
    pod = {"nodeSelector": {"pool": namespace}}
    service = make_service("web", namespace, replicas=150, cpu="1", memory="3Gi", pod=pod)
    site.kube.apply(service)
    operator.until_logged("backlog tasks=150")
    found = site.kube.until(
        read.pods(namespace),
        lambda found: len(read.running(found)) == 150 and found,
        within=120,
    )

    assert not any(read.unschedulable(one) for one in found.values())
    assert all(one["spec"]["nodeName"] for one in found.values())
