"""Pods as rows: where they are, what they ask for, and what keeps them from running."""

from collections.abc import Mapping
from typing import Any

from bayplan.model.resources import Vector
from bayplan.model.untyped import mapping, sequence

Body = Mapping[str, Any]


def row(body: Body, request: Vector | None) -> dict[str, Any]:
    """A pod; `request` is what it asks for, None if that cannot be read."""
    about, spec, status = body["metadata"], mapping(body.get("spec")), mapping(body.get("status"))
    containers = [mapping(one) for one in sequence(spec.get("containers"))]
    told = [mapping(one) for one in sequence(status.get("containerStatuses"))]
    owner = next((mapping(one) for one in sequence(about.get("ownerReferences"))), {})
    return {
        "namespace": about.get("namespace", ""),
        "name": about["name"],
        "owner": f"{owner.get('kind')} {owner.get('name')}" if owner else "",
        "node": str(spec.get("nodeName") or ""),
        "state": state(body),
        "ready": sum(one.get("ready") is True for one in told),
        "containers": len(containers),
        "restarts": sum(int(one.get("restartCount") or 0) for one in told),
        "cpuMilli": request.get("cpu", 0) if request is not None else None,
        "memoryBytes": request.get("memory", 0) if request is not None else None,
        "createdAt": str(about.get("creationTimestamp") or ""),
    }


def state(body: Body) -> str:
    """The word that `kubectl get pods` has under STATUS."""
    status = mapping(body.get("status"))
    phase = str(status.get("reason") or status.get("phase") or "Unknown")
    if mapping(body.get("metadata")).get("deletionTimestamp"):
        return "Terminating"
    for one in map(mapping, sequence(status.get("initContainerStatuses"))):
        ended = mapping(mapping(one.get("state")).get("terminated"))
        if one.get("started") is True or (ended and not ended.get("exitCode")):
            continue
        reason = _reason(one)
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return "Init"
    reasons = [_reason(mapping(one)) for one in sequence(status.get("containerStatuses"))]
    running = any(
        mapping(mapping(one).get("state")).get("running")
        for one in sequence(status.get("containerStatuses"))
    )
    found = next((one for one in reversed(reasons) if one), phase)
    return phase if found == "Completed" and running else found


def _reason(container: Mapping[str, Any]) -> str:
    """Why a container does not run: it waits, or has ended; empty if it runs."""
    now = mapping(container.get("state"))
    waits, ended = mapping(now.get("waiting")), mapping(now.get("terminated"))
    if waits:
        return str(waits.get("reason") or "Waiting")
    if not ended:
        return ""
    return str(ended.get("reason") or f"ExitCode:{ended.get('exitCode')}")
