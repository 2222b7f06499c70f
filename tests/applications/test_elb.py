"""A service behind a played AWS load balancer: what its clients see while instances come and go.

Instances are targets by their addresses. Their namespace asks for readiness gates, so that an
instance is ready only when the target group finds it healthy.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from localcluster import image
from tests.applications.elb import INJECT, Balancer, Controller, Delays, TargetGroup, injecting
from tests.applications.machine import marks
from tests.cluster import read
from tests.cluster.kube import Kube, Objects
from tests.cluster.manifests import make_service
from tests.cluster.under_test import OperatorProcess, Site

pytestmark = marks()

PORT = 8080
SHORT = Delays(register=2, deregister=5, check=0.5, delay=4, checks=4)
_NLB = "service.beta.kubernetes.io/aws-load-balancer-"


def balanced(delays: Delays) -> dict[str, Any]:
    """The `service` of the spec."""
    return {
        "type": "LoadBalancer",
        "ports": [{"name": "http", "port": 80, "targetPort": PORT}],
        "annotations": {
            f"{_NLB}type": "external",
            f"{_NLB}nlb-target-type": "ip",
            f"{_NLB}target-group-attributes": (
                f"deregistration_delay.timeout_seconds={delays.delay:g}"
            ),
        },
    }


def web(namespace: str, text: str, *, replicas: int = 3, **more: Any) -> dict[str, Any]:
    """A server of one page that dies at the first signal, as most do."""
    script = (
        f"trap exit TERM; mkdir /w; cd /w; (sleep 1; echo {text} > index.html) & "
        f"httpd -f -p {PORT} & wait"
    )
    container = {
        "image": image.NAME,
        "command": ["sh", "-c", script],
        "ports": [{"containerPort": PORT}],
        "readinessProbe": {
            "httpGet": {"path": "/index.html", "port": PORT},
            "periodSeconds": 1,
            "failureThreshold": 1,
        },
    }
    spec = {"updateStrategy": {"maximumSurgePercent": 100}, "service": balanced(SHORT), **more}
    return make_service("web", namespace, replicas=replicas, container=container, **spec)


@dataclass
class Scene:
    """The service, and who plays AWS."""

    kube: Kube
    namespace: str
    controller: Controller
    group: TargetGroup
    balancer: Balancer

    def apply(self, text: str, **more: Any) -> None:
        self.kube.apply(web(self.namespace, text, **more))

    def message(self, found: Objects) -> str:
        return str(read.condition(found["web"], "Ready").get("message", ""))

    def until_gate_is_told(self) -> str:
        """The message of Ready once it names the gate."""
        return self.kube.until(
            read.services(self.namespace),
            lambda found: self.controller.gate in self.message(found) and self.message(found),
            within=60,
        )

    def settle(self, within: float = 150) -> Objects:
        """Wait until three instances are available and no others are left; returns them."""

        def calm(found: Objects) -> bool:
            progress = read.condition(found["web"], "Progressing").get("reason")
            return read.holds(found, "web", "Ready") and progress == "RolledOut"

        self.kube.until(read.services(self.namespace), calm, within=within)
        pods = read.pods(self.namespace)
        return self.kube.until(pods, lambda found: len(found) == 3 and found, within=within)


@pytest.fixture(scope="module")
def scene(
    site: Site, operator: OperatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Three instances that the target group finds healthy; its controller does not run."""
    del operator
    namespace = site.namespace()
    site.kube.patch(
        f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {INJECT: "enabled"}}}
    )
    group = TargetGroup(PORT, SHORT)
    controller = Controller(site.kube, namespace, "web", group)
    with contextlib.ExitStack() as stack:
        stack.enter_context(injecting(site.kube, tmp_path_factory.mktemp("elb"), controller))
        balancer = stack.enter_context(Balancer(group).running())
        scene = Scene(site.kube, namespace, controller, group, balancer)
        with controller.running():
            scene.apply("one", replicas=0)
            assert controller.knows.wait(60)
            scene.apply("one")
            scene.settle()
        yield scene
        site.kube.kubectl("delete", "longservices", "--all", "-n", namespace, "--timeout=90s")
        site.kube.until(read.pods(namespace), lambda found: not found, within=90)


@pytest.fixture
def balancer(scene: Scene) -> Iterator[Balancer]:
    """The balancer under load, with nothing counted yet; the service is left with its template."""
    scene.balancer.answers.clear()
    scene.balancer.lost.clear()
    with scene.balancer.load():
        yield scene.balancer


def gates(pods: Objects) -> set[str]:
    return {
        gate["conditionType"]
        for pod in pods.values()
        for gate in pod["spec"].get("readinessGates", ())
    }


def test_an_update_loses_no_request(scene: Scene, balancer: Balancer) -> None:
    """It waits for the target group, also while the controller is away, and none is missed."""
    before = scene.kube.listed(read.pods(scene.namespace))
    with scene.controller.running():
        scene.apply("two")
        told = scene.until_gate_is_told()
    waiting = scene.kube.listed(read.pods(scene.namespace))
    with scene.controller.running():
        after = scene.settle()

    assert {scene.controller.gate} == gates(before) == gates(after)
    assert "registration is in progress" in told or "not set" in told or "checks" in told
    assert before.keys() <= waiting.keys()
    assert not any("deletionTimestamp" in waiting[name]["metadata"] for name in before)
    assert not before.keys() & after.keys()
    assert [] == balancer.lost
    assert (scene.group.fewest or 0) >= 3
    assert min(balancer.answers["one"], balancer.answers["two"]) > 50


def test_a_drain_loses_no_request(scene: Scene, balancer: Balancer) -> None:
    """All instances leave their node; evictions wait until others are healthy targets."""
    pods = scene.kube.listed(read.pods(scene.namespace))
    node = next(iter(pods.values()))["spec"]["nodeName"]
    with scene.controller.running():
        try:
            scene.kube.kubectl("drain", node, "--ignore-daemonsets", "--timeout=110s")
            after = scene.settle()
        finally:
            scene.kube.kubectl("uncordon", node)

    assert node not in {pod["spec"]["nodeName"] for pod in after.values()}
    assert [] == balancer.lost
    assert (scene.group.fewest or 0) >= 2
    assert sum(balancer.answers.values()) > 100


@pytest.mark.weekly
def test_targets_that_never_become_healthy(scene: Scene, balancer: Balancer) -> None:
    """No older instance goes; the update is given up, and what is told names the gate."""
    before = scene.kube.listed(read.pods(scene.namespace))
    patient = {"maximumSurgePercent": 100, "progressDeadlineSeconds": 20}
    scene.group.sick = True
    with scene.controller.running():
        scene.apply("bad", updateStrategy=patient)
        told = scene.kube.until(
            read.services(scene.namespace),
            lambda found: (
                "Target.FailedHealthChecks" in scene.message(found) and scene.message(found)
            ),
            within=60,
        )
        [bad] = scene.kube.until(
            read.services(scene.namespace),
            lambda found: found["web"]["status"].get("badRevisions"),
            within=90,
        )
        scene.kube.until(
            read.pods(scene.namespace), lambda found: found.keys() == before.keys(), within=90
        )
        scene.group.sick = False

    assert f"readiness gate {scene.controller.gate} is False: Target.FailedHealthChecks" in told
    assert scene.controller.gate in bad["message"]
    assert [] == balancer.lost
    assert (scene.group.fewest or 0) >= 3
    assert 0 == balancer.answers["bad"]


@pytest.mark.weekly
def test_without_draining_requests_are_lost(scene: Scene, balancer: Balancer) -> None:
    """`drainSeconds: 0`: the same update loses some; so these tests can see."""
    hasty = {**balanced(SHORT), "drainSeconds": 0}
    with scene.controller.running():
        scene.apply("three", service=hasty)
        scene.settle()
        scene.apply("four", service=hasty)
        scene.settle()

    assert balancer.lost
