"""Objects as the API server words them, in one line each."""

import json
from collections.abc import Mapping
from typing import Any


def pod(name: str = "p1", version: int = 10, **more: Any) -> dict[str, Any]:
    """A pod; `node`, `uid`, `owner` (uid), `deleted`, `phase`, `finalizers` are shorthands."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": "default",
        "uid": more.pop("uid", f"uid-{name}"),
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-23T06:00:00Z",
        "labels": {"app": "web"},
    }
    owner = more.pop("owner", None)
    if owner is not None:
        metadata["ownerReferences"] = [
            {
                "apiVersion": "bayplan.dev/v1alpha1",
                "kind": "LongService",
                "name": "web",
                "uid": owner,
                "controller": True,
            }
        ]
    if more.pop("deleted", False):
        metadata["deletionTimestamp"] = "2026-11-23T06:10:00Z"
    finalizers = more.pop("finalizers", None)
    if finalizers is not None:
        metadata["finalizers"] = finalizers
    node = more.pop("node", "")
    spec = {
        "containers": [{"name": "main", "resources": {"requests": {"cpu": "100m"}}}],
        "schedulerName": "bayplan",
        **({"nodeName": node} if node else {}),
        **more.pop("spec", {}),
    }
    status = {"phase": more.pop("phase", "Running" if node else "Pending")}
    status |= more.pop("status", {})
    assert not more, more
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def service(version: int = 10, generation: int = 1, **status: Any) -> dict[str, Any]:
    """A LongService `web` with this status."""
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": "LongService",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "uid": "uid-web",
            "generation": generation,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-23T06:00:00Z",
        },
        "spec": {"template": {"spec": {"containers": [{"name": "main", "image": "web"}]}}},
        "status": status,
    }


def listed(*items: Mapping[str, Any], version: int = 100, token: str = "") -> bytes:
    """A list, or a chunk of one when `token` continues it."""
    metadata = {"resourceVersion": str(version), **({"continue": token} if token else {})}
    return encoded({"kind": "List", "metadata": metadata, "items": list(items)})


def line(kind: str, body: Mapping[str, Any]) -> bytes:
    """One line of a watch."""
    return encoded({"type": kind, "object": body}) + b"\n"


def bookmark(version: int) -> bytes:
    return line("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": str(version)}})


def status(code: int, reason: str = "", message: str = "", **details: Any) -> dict[str, Any]:
    """A Status object: what the API server says when it refuses."""
    return {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
        "details": details,
    }


def encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body).encode()
