"""Manifests as users write them, one line per subject, for tests on a real API server."""

from typing import Any

SLEEPER = {"name": "main", "image": "busybox:1.36", "command": ["sleep", "3600"]}


def make_job(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """A BatchJob. `seconds` and `code` say how its run ends on fake nodes; `pod` adds to its spec.

    `start_seconds` say how long the containers take to start there. `cpu` and `memory` are
    quantities. Anything else is a field of the spec.
    """
    return _manifest("BatchJob", name, namespace, spec)


def make_service(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    """A LongService; see `make_job`."""
    return _manifest("LongService", name, namespace, spec)


def _manifest(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    notes = {
        f"sim.bayplan.dev/{note}": str(spec.pop(word)) + unit
        for word, note, unit in (
            ("start_seconds", "start-latency", "s"),
            ("seconds", "duration", "s"),
            ("code", "exit-code", ""),
            ("ready_delay", "ready-delay", ""),
            ("termination", "termination", ""),
        )
        if word in spec
    }
    requests = {"cpu": spec.pop("cpu", "100m"), "memory": spec.pop("memory", "64Mi")}
    container = {**SLEEPER, "resources": {"requests": requests}, **spec.pop("container", {})}
    template = {
        "metadata": {"annotations": notes, "labels": spec.pop("labels", {})},
        "spec": {"containers": [container], **spec.pop("pod", {})},
    }
    return {
        "apiVersion": "bayplan.dev/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "annotations": spec.pop("annotations", {}),
        },
        "spec": {**spec, "template": template},
    }
