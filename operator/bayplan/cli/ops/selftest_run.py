"""Creates a BatchJob, follows it until it has run, and deletes it in any case."""

from collections.abc import Mapping
from typing import Any

from bayplan.api import names
from bayplan.cli.client import ApiClient
from bayplan.cli.errors import Negative

_LOOK_SECONDS = 0.5


def job(namespace: str, image: str, token: str) -> dict[str, Any]:
    """A BatchJob with small requests that the level `restricted` admits."""
    contained = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container = {
        "name": "main",
        "image": image,
        "command": ["bayplan", "--version"],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
        "securityContext": contained,
    }
    unprivileged = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {"containers": [container], "securityContext": unprivileged}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.BATCHJOB,
        "metadata": {"name": f"selftest-{token}", "namespace": namespace},
        "spec": {"retryPolicy": {"limit": 0}, "template": {"spec": spec}},
    }


def follow(cluster: ApiClient, body: Mapping[str, Any], seconds: float) -> Mapping[str, float]:
    """Create the job, wait until it is Complete, delete it; returns the seconds to each step."""
    about = body["metadata"]
    cluster.create(names.BATCHJOB, body)
    began = cluster.monotonic()
    steps: dict[str, float] = {}
    try:
        while "complete" not in steps:
            found = cluster.get(names.BATCHJOB, about["name"], about["namespace"])
            status = found.get("status") or {}
            took = cluster.monotonic() - began
            if status:
                steps.setdefault("seen", took)
            if _is(status, "Placed"):
                steps.setdefault("placed", took)
            if _is(status, "Complete"):
                steps["complete"] = took
            elif _is(status, "Failed") or _is(status, "Stalled") or took >= seconds:
                raise Negative(_why(status, took))
            else:
                cluster.pause(_LOOK_SECONDS)
    finally:
        cluster.delete(names.BATCHJOB, about["namespace"], about["name"])
    return steps


def _is(status: Mapping[str, Any], kind: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def _why(status: Mapping[str, Any], took: float) -> str:
    """What the status says; without a status the operator has not seen the job."""
    if not status:
        return (
            f"no operator has seen the BatchJob for {took:.0f} s: is the operator running, does it"
            " lead, and does it serve this namespace?"
        )
    said = [
        f"{one['type']}={one['status']} {one.get('reason', '')}: {one.get('message', '')}".strip()
        for one in status.get("conditions") or ()
    ]
    return f"the BatchJob did not complete within {took:.0f} s: {'; '.join(said)}"
