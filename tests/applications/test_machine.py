"""The machine's programs run in pods on real nodes: what all tests beside this one count on."""

from tests.applications.machine import marks, on_machine
from tests.cluster import read
from tests.cluster.manifests import make_job
from tests.cluster.under_test import Site
from tests.kubelet.test_operator import finished

pytestmark = marks("spark")


def test_java_runs_in_a_pod(site: Site, namespace: str) -> None:
    """A BatchJob whose container has the machine's Java and its node's address."""
    spec = on_machine(
        {"containers": [{"name": "main", "command": ["java", "-Xmx32m", "-version"]}]}
    )
    job = make_job("java", namespace, memory="128Mi", retryPolicy={"limit": 0})
    [container] = spec.pop("containers")
    job["spec"]["template"]["spec"]["containers"][0] |= container
    job["spec"]["template"]["spec"] |= spec
    site.kube.apply(job)
    run = site.kube.until(read.jobs(namespace), finished("java"), within=60)
    [pod] = site.kube.listed(read.pods(namespace))

    assert "Succeeded" == run["outcome"]
    assert "Runtime Environment" in site.kube.kubectl("logs", pod, "-n", namespace).stdout
