"""Services on real kubelets: a killed kubelet, a container that leaks, an instance that is sick."""

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from localcluster import Cluster, image, kubelets
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.test_longservice import available
from tests.cluster.under_test import REAL_LEASE, OperatorProcess, Site, definitions

pytestmark = [
    pytest.mark.kubelet,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(kubelets.missing()),
        reason=f"needs root and {kubelets.missing() or 'nothing else'}",
    ),
]

PROBED = {
    "readinessProbe": {
        "httpGet": {"path": "/index.html", "port": 8080},
        "periodSeconds": 1,
        "timeoutSeconds": 5,  # a busy machine answers late
        "failureThreshold": 1,
    }
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two real nodes; a silent one is noticed after 8 s."""
    with Cluster.start(
        kubelets=2, node_monitor_grace_seconds=8, definitions=definitions()
    ) as local:
        yield Site(Kube(local.kubeconfig), local, tmp_path_factory.mktemp("site")).prepare()


@pytest.fixture(scope="module")
def operator(site: Site) -> Iterator[OperatorProcess]:
    with site.operator(*REAL_LEASE) as running:
        yield running
        assert running.running, f"the operator ended by itself:\n{running.log()[-4000:]}"


@pytest.fixture
def namespace(site: Site, operator: OperatorProcess) -> Iterator[str]:
    """A namespace whose pods have left the nodes when the test is over."""
    name = site.namespace()
    yield name
    site.kube.kubectl("delete", "longservices", "--all", "-n", name, "--timeout=60s")
    site.kube.until(read.pods(name), lambda found: not found, within=60)


def server(start: str, **more: Any) -> dict[str, Any]:
    """A container that serves /index.html once `start` has written it."""
    script = f"trap exit TERM; mkdir /w; cd /w; ({start}) & httpd -f -p 8080 & wait"
    return {"image": image.NAME, "command": ["sh", "-c", script], **PROBED, **more}


def test_a_killed_kubelet_is_replaced_in_its_time(site: Site, namespace: str) -> None:
    """A replacement starts `replaceAfterSeconds` after the node fell silent, give or take 5 s."""
    assert site.local is not None
    more = {"replicas": 2, "unreachable": {"replaceAfterSeconds": 15}}
    site.kube.apply(
        make_service("web", namespace, container=server("echo up > index.html"), **more)
    )
    site.kube.until(read.services(namespace), available(2), within=60)
    before = site.kube.listed(read.pods(namespace))
    lost = next(pod["spec"]["nodeName"] for pod in before.values())
    site.local.stop_kubelet(lost)
    try:
        node = site.kube.until(
            "/api/v1/nodes",
            lambda found: read.condition(found[lost], "Ready")["status"] != "True" and found[lost],
            within=60,
        )
        replaced = site.kube.until(
            read.pods(namespace),
            lambda found: found.keys() - before.keys() and found,
            within=60,
        )
    finally:
        site.local.start_kubelet(lost)
        site.kube.until(
            "/api/v1/nodes",
            lambda found: read.condition(found[lost], "Ready")["status"] == "True",
            within=60,
        )
    silent = moment(read.condition(node, "Ready")["lastTransitionTime"])
    started = [
        moment(pod["metadata"]["creationTimestamp"]) - silent
        for name, pod in replaced.items()
        if name not in before
    ]

    assert all(10 <= seconds <= 20 for seconds in started), started


def test_a_leaking_container_disturbs_nobody(site: Site, namespace: str) -> None:
    """It is killed at its own limit and told so; a neighbour on its node is ready all the time."""
    quiet = server("echo up > index.html")
    site.kube.apply(make_service("quiet", namespace, replicas=1, container=quiet))
    site.kube.until(read.services(namespace), available(1, "quiet"), within=60)
    [(name, neighbour)] = site.kube.listed(read.pods(namespace)).items()
    leak = "x=a; while :; do x=$x$x; done"
    leaking = {"image": image.NAME, "command": ["sh", "-c", leak]}
    here = {"nodeSelector": {"kubernetes.io/hostname": neighbour["spec"]["nodeName"]}}
    site.kube.apply(
        make_service("leaky", namespace, replicas=1, container=leaking, memory="32Mi", pod=here)
    )
    unready: list[Mapping[str, Any]] = []

    def killed_twice(found: Objects) -> bool:
        if name not in read.running(found):
            unready.append(found.get(name, {}))
        leaky = [one for pod, one in found.items() if pod.startswith("leaky-")]
        return any(restarts(one) >= 2 for one in leaky)

    site.kube.until(read.pods(namespace), killed_twice, within=120)
    told = site.kube.until(
        read.services(namespace),
        lambda found: found["leaky"].get("status", {}).get("lastFailure"),
    )
    after = site.kube.listed(read.pods(namespace))[name]

    assert [] == unready
    assert 0 == restarts(after)
    assert ("OOMKilled", 137) == (told["reason"], told["exitCode"])


def test_a_sick_instance_is_replaced_first(site: Site, namespace: str) -> None:
    """It goes only when its replacement is ready; the other instance is never touched."""
    sick_after = {"replaceAfterSeconds": 5}
    body = make_service(
        "web", namespace, replicas=2, container=server("echo up > index.html"), unhealthy=sick_after
    )
    site.kube.apply(body)
    site.kube.until(read.services(namespace), available(2), within=60)
    sick, other = sorted(site.kube.listed(read.pods(namespace)))
    site.kube.kubectl("exec", sick, "-n", namespace, "--", "rm", "/w/index.html")
    early: list[dict[str, str]] = []

    def replaced(found: Objects) -> bool:
        ready = read.running(found)
        there = sick in found and "deletionTimestamp" not in found[sick]["metadata"]
        if not there and len(ready) < 2:
            early.append(ready)
        return sick not in found and len(ready) == 2

    site.kube.until(read.pods(namespace), replaced, within=90)

    assert [] == early
    assert other in read.running(site.kube.listed(read.pods(namespace)))


def restarts(pod: Mapping[str, Any]) -> int:
    return sum(one["restartCount"] for one in pod["status"].get("containerStatuses", ()))


def moment(text: str) -> float:
    return dt.datetime.fromisoformat(text).timestamp()
