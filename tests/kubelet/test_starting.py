"""Containers that a real kubelet cannot start: what it says, and what becomes of the run."""

import contextlib
import os
from copy import deepcopy
from typing import Any

import pytest

from localcluster import image, kubelets
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import Site
from tests.kubelet.test_operator import (  # noqa: F401  fixtures
    bayplan,
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
SECRET_ENVIRONMENT = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "nosuch", "key": "x"}}}]
# They are renewed every few seconds: an occasion to look again.
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
PROBE = {
    "exec": {"command": ["cat", "/nosuch"]},
    "periodSeconds": 1,
    "timeoutSeconds": 10,  # a probe that takes too long fails with other words
    "failureThreshold": 900,
}
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


def mounted(**source: Any) -> dict[str, Any]:
    """A pod that mounts this volume."""
    return {
        "container": shell("sleep 60 & wait", volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        "pod": {"volumes": [{"name": "v", **source}]},
    }


# How a container fails to start: what the pod has, the reason, and words of the kubelet.
TEN_WAYS: dict[str, tuple[dict[str, Any], str, str]] = {
    **HINDERED,
    "never": (
        {"container": {"image": ABSENT, "imagePullPolicy": "Never"}},
        "ErrImageNeverPull",
        "is not present with pull policy of Never",
    ),
    "secret": (
        {"container": shell("true", env=SECRET_ENVIRONMENT)},
        "CreateContainerConfigError",
        'secret "nosuch" not found',
    ),
    "root": (
        {"container": shell("true", securityContext={"runAsNonRoot": True})},
        "CreateContainerConfigError",
        "image will run as root",
    ),
    "keys": (mounted(secret={"secretName": "nosuch"}), "FailedMount", 'secret "nosuch" not found'),
    "config": (
        mounted(configMap={"name": "nosuch"}),
        "FailedMount",
        'configmap "nosuch" not found',
    ),
    "path": (
        mounted(hostPath={"path": "/nosuch/x", "type": "Directory"}),
        "FailedMount",
        "/nosuch/x is not a directory",
    ),
}


def stopped(name: str) -> Any:
    """A question for `until`: the condition Ready once a kubelet's words are in it."""

    def met(found: Objects) -> Any:
        ready = read.condition(found.get(name), "Ready")
        return ready if "cannot start" in ready.get("message", "") else None

    return met


def hindered(name: str, reason: str, words: str) -> Any:
    """A question for `until`: the condition Ready gives this reason, in the kubelet's words."""

    def met(found: Objects) -> bool:
        ready = read.condition(found.get(name), "Ready")
        return ready.get("reason") == reason and words in ready["message"]

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


def test_ten_ways_are_told_where_people_look(site: Site, namespace: str) -> None:  # noqa: F811
    """In `kubectl get` and `describe`, in `bayplan explain` with exit code 1, and in an Event."""
    small = {"cpu": "10m", "memory": "16Mi"}
    site.kube.apply(
        *(
            make_job(how, namespace, **small, **deepcopy(spec))
            for how, (spec, _, _) in TEN_WAYS.items()
        )
    )
    for how, (_, reason, words) in TEN_WAYS.items():
        silent: list[str] = []
        site.kube.until(read.jobs(namespace), hindered(how, reason, words), within=60)

        def told(_: Objects, how: str = how, silent: list[str] = silent) -> bool:
            """A container that is tried again runs for a moment: then it is looked once more."""
            silent[:] = untold(site, namespace, how)
            return not silent

        with contextlib.suppress(AssertionError):
            site.kube.until(LEASES, told, within=60)

        assert [] == silent, how


def untold(on: Site, within: str, how: str) -> list[str]:
    """The places that do not tell why the job cannot start, with what they say instead."""
    _, reason, words = TEN_WAYS[how]
    ready = read.condition(on.kube.get(f"{read.jobs(within)}/{how}"), "Ready")
    row = on.kube.kubectl("get", "batchjob", how, "-n", within).stdout
    page = on.kube.kubectl("describe", "batchjob", how, "-n", within).stdout
    events = page.partition("Events:")[2]
    account = bayplan(on, "explain", f"job/{how}", "-n", within)
    right = {
        f"Ready: {ready}": (ready.get("status"), ready.get("reason")) == ("False", reason)
        and words in ready["message"],
        f"get: {row}": reason in row,
        f"describe: {page}": words in page,
        f"events: {events}": "CannotStart" in events and words in events,
        f"explain: {account}": account.returncode == 1 and words in account.stdout,
    }
    return [place for place, one in right.items() if not one]


def test_a_probe_that_fails_is_told(site: Site, namespace: str) -> None:  # noqa: F811
    """Of an instance that runs and does not become ready."""
    probed = shell("sleep 600 & wait", readinessProbe=PROBE)
    site.kube.apply(make_service("unready", namespace, replicas=1, container=probed))

    def met(found: Objects) -> Any:
        ready = read.condition(found.get("unready"), "Ready")
        return ready if "Readiness probe failed" in ready.get("message", "") else None

    ready = site.kube.until(read.services(namespace), met, within=60)
    account = bayplan(site, "explain", "service/unready", "-n", namespace)

    assert "InstancesUnready" == ready["reason"]
    assert (1, True) == (account.returncode, "Readiness probe failed" in account.stdout)


def test_a_run_that_a_probe_ended_is_told(site: Site, namespace: str) -> None:  # noqa: F811
    """It was ready, so its status says exit code 137 alone; the kubelet's Event has the reason."""
    probe = {"exec": {"command": ["cat", "/nosuch"]}, "periodSeconds": 1, "failureThreshold": 2}
    probed = shell("sleep 600", livenessProbe=probe)
    ending = {"terminationGracePeriodSeconds": 1}
    job = make_job("probed", namespace, container=probed, pod=ending, retryPolicy={"limit": 0})
    site.kube.apply(job)

    def met(found: Objects) -> Any:
        last = read.condition(found.get("probed"), "LastRunSucceeded")
        return last if last.get("status") == "False" else None

    last = site.kube.until(read.jobs(namespace), met, within=90)
    words = "Liveness probe failed"
    page = site.kube.kubectl("describe", "batchjob", "probed", "-n", namespace).stdout
    account = bayplan(site, "explain", "job/probed", "-n", namespace)

    assert words in last["message"]
    assert words in page.partition("Events:")[2]
    assert (1, True) == (account.returncode, words in account.stdout)
    got = site.kube.kubectl("get", "batchjob", "probed", "-n", namespace, "-o", "yaml").stdout
    assert words in got


def test_a_pod_without_room_is_told(site: Site, namespace: str) -> None:  # noqa: F811
    """`kubectl describe pod` has an Event, as from kube-scheduler."""
    site.kube.apply(make_job("big", namespace, cpu="99", container=shell("true")))
    path = f"/api/v1/namespaces/{namespace}/events"
    site.kube.until(path, lambda found: _failed_scheduling(found) or None, within=30)
    [pod] = site.kube.listed(read.pods(namespace))
    page = site.kube.kubectl("describe", "pod", pod, "-n", namespace).stdout

    assert "FailedScheduling" in page.partition("Events:")[2]
    assert "0/2 nodes" in page.partition("Events:")[2]


def _failed_scheduling(found: Objects) -> list[str]:
    return [name for name, one in found.items() if one["reason"] == "FailedScheduling"]


def test_a_blocked_cron_is_told_and_goes_on(site: Site, namespace: str) -> None:  # noqa: F811
    """Within 30 s; when its ServiceAccount comes, runs go on within 15 s."""
    account = {"serviceAccountName": "later"}
    cron = {"schedule": "* * * * *", "container": shell("true"), "pod": account}
    site.kube.apply(make_job("nightly", namespace, **cron))

    def refused(found: Objects) -> Any:
        ready = read.condition(found.get("nightly"), "Ready")
        return ready if ready.get("reason") == "TemplateRefused" else None

    def missed(found: Objects) -> Any:
        statistics = found.get("nightly", {}).get("status", {}).get("statistics", {})
        return statistics.get("missed") or None

    def told(found: Objects) -> bool:
        said = [f"{one['reason']} {one.get('note', '')}" for one in found.values()]
        return all(any(part in one for one in said) for part in ("TemplateRefused", "(Blocked)"))

    ready = site.kube.until(read.jobs(namespace), refused, within=30)
    site.kube.until(read.jobs(namespace), missed, within=150)
    site.kube.until(read.events(namespace), told)  # a moment after the status
    page = site.kube.kubectl("describe", "batchjob", "nightly", "-n", namespace).stdout
    site.kube.kubectl("create", "serviceaccount", "later", "-n", namespace)
    site.kube.until(
        read.jobs(namespace),
        lambda found: read.condition(found.get("nightly"), "Ready").get("status") == "True" or None,
        within=15,
    )

    assert 'serviceaccount "later" not found' in ready["message"]
    assert "TemplateRefused" in page.partition("Events:")[2]
    assert "(Blocked)" in page.partition("Events:")[2]
