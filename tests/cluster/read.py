"""Readings of stored objects that several tests share."""

from collections.abc import Mapping
from typing import Any

from tests.cluster.kube import Objects

API = "/apis/bayplan.dev/v1alpha1"

Object = Mapping[str, Any]


def jobs(namespace: str) -> str:
    return f"{API}/namespaces/{namespace}/batchjobs"


def services(namespace: str) -> str:
    return f"{API}/namespaces/{namespace}/longservices"


def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def events(namespace: str) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"


def condition(one: Object | None, kind: str) -> Object:
    """A condition by type; empty when it is not there."""
    found = (one or {}).get("status", {}).get("conditions", [])
    return next((each for each in found if each["type"] == kind), {})


def holds(objects: Objects, name: str, kind: str, status: str = "True") -> bool:
    """Whether an object has this condition in this status, seen for its present generation."""
    one = objects.get(name)
    found = condition(one, kind)
    if one is None or found.get("status") != status:
        return False
    return bool(one["status"].get("observedGeneration") == one["metadata"]["generation"])


def running(objects: Objects) -> dict[str, str]:
    """Pods that run and are ready, name -> node, without those being deleted."""
    return {
        name: pod["spec"]["nodeName"]
        for name, pod in objects.items()
        if "deletionTimestamp" not in pod["metadata"]
        and any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in pod.get("status", {}).get("conditions", [])
        )
    }


def unschedulable(pod: Object) -> bool:
    """Whether a pod says that it found no room, in the way autoscalers look for."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(
        (each["type"], each["status"], each.get("reason"))
        == ("PodScheduled", "False", "Unschedulable")
        for each in conditions
    )
