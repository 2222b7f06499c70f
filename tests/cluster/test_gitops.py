"""What Argo CD and kstatus say of objects on a real API server, at each turn of their lives."""

from collections.abc import Callable
from typing import Any

import pytest

from tests import gitops
from tests.cluster import read
from tests.cluster.kube import Objects
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster

RETRIES = {"limit": 1, "delaySeconds": 600}
STEPS = {"steps": [{"percent": 50, "manual": True}]}


def judged(
    site: Site, namespace: str, manifest: dict[str, Any], met: Callable[[dict[str, Any]], bool]
) -> tuple[str, str]:
    """(Argo CD's health, kstatus) once an object is so far."""
    site.kube.apply(manifest)
    name = manifest["metadata"]["name"]
    path = {"BatchJob": read.jobs, "LongService": read.services}[manifest["kind"]](namespace)

    def so_far(found: Objects) -> dict[str, Any] | None:
        one = found.get(name)
        return dict(one) if one is not None and met(dict(one)) else None

    one = site.kube.until(path, so_far)
    return gitops.health(one)[0], gitops.kstatus(one)


def has(kind: str, status: str = "True", reason: str = "") -> Callable[[dict[str, Any]], bool]:
    def met(one: dict[str, Any]) -> bool:
        found = read.condition(one, kind)
        return found.get("status") == status and reason in {"", found.get("reason")}

    return met


def test_a_service_at_every_turn(site: Site, namespace: str) -> None:
    """At rest, without room, refused by the server, at a step that waits for somebody."""
    site.nodes("m5.xlarge:us-east-1a=1")
    plain = make_service("web", namespace, updateStrategy=STEPS, replicas=2)
    large = make_service("large", namespace, cpu="400")
    wrong = make_service("wrong", namespace, container={"imagePullPolicy": "Sometimes"})
    newer = make_service("web", namespace, updateStrategy=STEPS, replicas=2, cpu="101m")

    assert ("Healthy", "Current") == judged(site, namespace, plain, has("Ready"))
    assert ("Progressing", "InProgress") == judged(
        site, namespace, large, has("Ready", "False", "NoRoom")
    )
    assert ("Degraded", "Failed") == judged(site, namespace, wrong, has("Stalled"))
    assert ("Suspended", "InProgress") == judged(
        site, namespace, newer, has("Progressing", "Unknown", "StepReached")
    )


def test_a_promotion_by_argo_is_taken(site: Site, namespace: str) -> None:
    """The action's annotation lets the step pass: Healthy again, and nothing left to promote."""
    site.nodes("m5.xlarge:us-east-1a=1")
    judged(
        site,
        namespace,
        make_service("web", namespace, updateStrategy=STEPS, replicas=2),
        has("Ready"),
    )
    newer = make_service("web", namespace, updateStrategy=STEPS, replicas=2, cpu="101m")
    judged(site, namespace, newer, has("Progressing", "Unknown", "StepReached"))
    path = f"{read.services(namespace)}/web"
    one = site.kube.get(path)

    assert gitops.actions(one) == {"restart": True, "promote": True}

    site.kube.patch(path, {"metadata": gitops.acted(one, "promote")["metadata"]})
    found = site.kube.until(
        read.services(namespace),
        lambda all_: all_["web"] if read.holds(all_, "web", "Ready") else None,
    )

    assert gitops.health(found)[0] == "Healthy"
    assert gitops.actions(found) == {"restart": True, "promote": False}


def test_a_job_at_every_turn(site: Site, namespace: str) -> None:
    """Scheduled, suspended, done, failed for good, between two attempts."""
    site.nodes("m5.xlarge:us-east-1a=1")
    nightly = make_job("nightly", namespace, schedule="0 3 * * *")
    asleep = make_job("asleep", namespace, schedule="0 3 * * *", suspend=True)
    once = make_job("once", namespace, seconds=1)
    fails = make_job("fails", namespace, seconds=1, code=3, retryPolicy={"limit": 0})
    retries = make_job("retries", namespace, seconds=1, code=3, retryPolicy=RETRIES)
    refused = make_job("refused", namespace, schedule="* * * JUN-1 *")

    assert ("Healthy", "Current") == judged(site, namespace, nightly, has("Ready"))
    assert ("Suspended", "Current") == judged(
        site, namespace, asleep, has("Ready", reason="Suspended")
    )
    assert ("Healthy", "Current") == judged(site, namespace, once, has("Complete"))
    assert ("Degraded", "Failed") == judged(site, namespace, fails, has("Failed"))
    assert ("Degraded", "Failed") == judged(site, namespace, refused, has("Stalled"))
    assert ("Progressing", "InProgress") == judged(
        site, namespace, retries, has("Ready", "False", "Retrying")
    )


def test_a_pause_by_argo_is_taken(site: Site, namespace: str) -> None:
    """Pause, and resume: annotations that the status takes in."""
    nightly = make_job("nightly", namespace, schedule="0 3 * * *")
    judged(site, namespace, nightly, has("Ready"))
    path = f"{read.jobs(namespace)}/nightly"

    for action, health in (("pause", "Suspended"), ("resume", "Healthy")):
        one = site.kube.get(path)

        assert gitops.actions(one)[action]

        site.kube.patch(path, {"metadata": gitops.acted(one, action)["metadata"]})
        site.kube.until(
            read.jobs(namespace), lambda found, to=health: gitops.health(found["nightly"])[0] == to
        )
