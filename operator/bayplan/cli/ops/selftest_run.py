"""A BatchJob made only to be seen running: created, followed, deleted whatever happens."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import msgspec

from bayplan.api import names
from bayplan.cluster import errors, requests, transport

_LOOK_SECONDS = 0.5


class FailedError(Exception):
    """The job did not run; the message says what its status says."""


class RefusedError(Exception):
    """The cluster did not answer, or refused; the message is its own."""


class Wire(Protocol):
    async def send(self, request: transport.Request) -> bytes: ...


async def run(
    namespace: str, image: str, seconds: float, context: str | None
) -> Mapping[str, float]:
    """Seconds from the CREATE to each step, on a cluster of the kubeconfig."""
    try:
        async with await transport.HttpTransport.connect(context=context, connections=1) as wire:
            return await follow(wire, job(namespace, image, secrets.token_hex(3)), seconds)
    except errors.ClusterError as error:
        raise RefusedError(str(error)) from error


def job(namespace: str, image: str, token: str) -> dict[str, Any]:
    """It asks for little and fits into the level `restricted`."""
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


async def follow(
    wire: Wire,
    body: Mapping[str, Any],
    seconds: float,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Mapping[str, float]:
    """Create it, look until it is Complete, delete it."""
    about = body["metadata"]
    where = requests.path(names.BATCHJOB, about["namespace"])
    await wire.send(
        transport.Request(
            "POST", where, body=requests.encode(body), verb="create", kind=names.BATCHJOB
        )
    )
    began = monotonic()
    steps: dict[str, float] = {}
    status: Mapping[str, Any] = {}
    try:
        while "complete" not in steps:
            request = requests.get(names.BATCHJOB, about["namespace"], about["name"])
            status = msgspec.json.decode(await wire.send(request)).get("status") or {}
            took = monotonic() - began
            if status:
                steps.setdefault("seen", took)
            if _is(status, "Placed"):
                steps.setdefault("placed", took)
            if _is(status, "Complete"):
                steps["complete"] = took
            elif _is(status, "Failed") or _is(status, "Stalled") or took >= seconds:
                raise FailedError(_why(status, took))
            else:
                await pause(_LOOK_SECONDS)
    finally:
        await wire.send(
            transport.Request(
                "DELETE", f"{where}/{about['name']}", verb="delete", kind=names.BATCHJOB
            )
        )
    return steps


def _is(status: Mapping[str, Any], kind: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(one["type"] == kind and one["status"] == "True" for one in conditions)


def _why(status: Mapping[str, Any], took: float) -> str:
    """What the status says; without any status nobody has looked at the job."""
    if not status:
        return (
            f"nobody has looked at the BatchJob for {took:.0f} s: is the operator running, does it"
            " lead, and does it serve this namespace?"
        )
    said = [
        f"{one['type']}={one['status']} {one.get('reason', '')}: {one.get('message', '')}".strip()
        for one in status.get("conditions") or ()
    ]
    return f"the BatchJob did not complete within {took:.0f} s: {'; '.join(said)}"
