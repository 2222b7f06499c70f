"""Containers that a real kubelet cannot start: what it says, and what becomes of the run."""

import os
from typing import Any

import pytest

from localcluster import image, kubelets
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import Site
from tests.kubelet.test_operator import (  # noqa: F401  fixtures
    finished,
    namespace,
    operator,
    shell,
    site,
)

pytestmark = [
    pytest.mark.kubelet,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(kubelets.missing()),
        reason=f"needs root and {kubelets.missing() or 'nothing else'}",
    ),
]

ABSENT = "bayplan.local/nosuch:9"
ENVIRONMENT = [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "nosuch", "key": "x"}}}]
VOLUME = {
    "volumes": [{"name": "keys", "secret": {"secretName": "nosuch"}}],
    "nodeSelector": {"kubernetes.io/hostname": "kubelet-1"},
}
SIDECAR = {
    "name": "side",
    "restartPolicy": "Always",
    "startupProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 900},
    **shell("exit 3"),
}
HINDERED: dict[str, tuple[dict[str, Any], str, str]] = {
    "image": ({"container": {"image": ABSENT}}, "ImagePullBackOff", "container main: "),
    "name": ({"container": {"image": "BAD"}}, "InvalidImageName", "container main: "),
    "map": (
        {"container": shell("true", env=ENVIRONMENT)},
        "CreateContainerConfigError",
        'configmap "nosuch" not found',
    ),
    "side": (
        {"container": shell("true"), "pod": {"initContainers": [SIDECAR]}},
        "CrashLoopBackOff",
        "container side: exit code 3",
    ),
}


def stopped(name: str) -> Any:
    """A question for `until`: the condition Ready once a kubelet's words are in it."""

    def met(found: Objects) -> Any:
        ready = read.condition(found.get(name), "Ready")
        return ready if "cannot start" in ready.get("message", "") else None

    return met


@pytest.mark.parametrize("how", HINDERED)
def test_the_kubelets_words(site: Site, namespace: str, how: str) -> None:  # noqa: F811
    """Ready is False with its reason and its sentence."""
    spec, reason, words = HINDERED[how]
    site.kube.apply(make_job(how, namespace, **spec))
    ready = site.kube.until(read.jobs(namespace), stopped(how), within=60)

    assert ("False", reason) == (ready["status"], ready["reason"])
    assert words in ready["message"]


def test_a_mended_template_is_taken_up(site: Site, namespace: str) -> None:  # noqa: F811
    """At no cost to the retries, and within seconds."""
    bad = make_job("pull", namespace, container={"image": ABSENT}, retryPolicy={"limit": 0})
    site.kube.apply(bad)
    site.kube.until(read.jobs(namespace), stopped("pull"), within=60)
    site.kube.apply(make_job("pull", namespace, container=shell("true"), retryPolicy={"limit": 0}))
    run = site.kube.until(read.jobs(namespace), finished("pull"), within=60)
    job = site.kube.get(f"{read.jobs(namespace)}/pull")

    assert ("Succeeded", 2) == (run["outcome"], run["attempts"])
    assert 0 == job["status"]["statistics"]["lost"]
    assert "True" == read.condition(job, "Ready")["status"]


def test_what_never_starts_ends_in_time(site: Site, namespace: str) -> None:  # noqa: F811
    """A Secret that is not there keeps the volume away: the kubelet says nothing at all."""
    mounted = shell("true", volumeMounts=[{"name": "keys", "mountPath": "/keys"}])
    once = {"retryPolicy": {"limit": 0}, "startTimeoutSeconds": 10}
    site.kube.apply(make_job("keys", namespace, container=mounted, pod=VOLUME, **once))
    run = site.kube.until(read.jobs(namespace), finished("keys"), within=90)

    assert ("Failed", "StartTimeout") == (run["outcome"], run["reason"])
    assert "startTime" not in run


def test_a_program_that_is_not_there(site: Site, namespace: str) -> None:  # noqa: F811
    """The kubelet calls its start 1970; ours is none, and its words are kept."""
    absent = {"image": image.NAME, "command": ["/nosuch"]}
    site.kube.apply(make_job("absent", namespace, container=absent, retryPolicy={"limit": 0}))
    run = site.kube.until(read.jobs(namespace), finished("absent"), within=60)

    assert ("Failed", "StartError") == (run["outcome"], run["reason"])
    assert "/nosuch" in run["detail"]
    assert "startTime" not in run


def test_a_service_tells_the_kubelets_words_too(site: Site, namespace: str) -> None:  # noqa: F811
    """In Ready, as in a job."""
    site.kube.apply(make_service("web", namespace, replicas=1, container={"image": ABSENT}))

    def met(found: Objects) -> Any:
        ready = read.condition(found.get("web"), "Ready")
        return ready if ready.get("reason") == "InstancesFailing" else None

    ready = site.kube.until(read.services(namespace), met, within=60)

    assert "container main: " in ready["message"]
