"""How an operator leaves a cluster: it stops, its lease ends, run pods are let go, all else goes.

A finalizer taken off while the operator still runs would be put on the next run's pod, hence the
order. Every step may be repeated; what is gone already is no error.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from bayplan.api import kinds, names
from bayplan.cluster import errors, requests, transport
from bayplan.model.intents import ReleasePod

Shown = Callable[[str], None]

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_CHUNK = 500
_TOGETHER = 20  # requests under way
_ROUNDS = 5  # of looking for pods; each after the first finds what came meanwhile
_LOOK_SECONDS = 0.5
_UNTOUCHED_SECONDS = 15  # a lease that names no duration
# Pods of one Deployment end at different times: a standby that still lives takes a free lease up,
# and would put finalizers on new pods. It tries every 2 s.
_FREE_SECONDS = 5


class NotLeft(Exception):  # noqa: N818  an outcome, told to the user in one line
    """It could not be done; the message says what to do."""


class Wire(Protocol):
    async def send(self, request: transport.Request) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Order:
    """What to do: the operator's Deployment and lease, whose pods, and whether resources stay."""

    operator_namespace: str
    operator: str
    namespace: str  # of run pods; empty: all
    seconds: float
    keeps_resources: bool


async def leave(order: Order, context: str | None, shown: Shown) -> Mapping[str, Any]:
    """Carry out the order on a cluster of the kubeconfig; says how many pods were let go."""
    try:
        async with await transport.HttpTransport.connect(
            context=context, connections=_TOGETHER
        ) as wire:
            return await carry_out(order, wire, shown)
    except errors.ClusterError as error:
        raise NotLeft(str(error)) from error


async def carry_out(
    order: Order,
    wire: Wire,
    shown: Shown,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> Mapping[str, Any]:
    shown(f"Stopping {order.operator_namespace}/{order.operator}")
    await _stop(order, wire)
    await _until_free(order, wire, pause, monotonic)
    released = 0
    for _ in range(_ROUNDS):
        found = [one async for one in _held(order, wire)]
        if not found:
            break
        await _release(found, wire, lambda count: shown(f"Letting go of run pods: {count}"))
        released += len(found)
    else:
        raise NotLeft("run pods keep coming: is another operator at work? Stop it and run again")
    if not order.keeps_resources:
        for kind in kinds.KINDS:
            shown(f"Deleting {kind.plural}")
            await _unless_gone(wire, _delete_definition(kind.plural))
    return {"released": released, "resourcesKept": order.keeps_resources}


async def _stop(order: Order, wire: Wire) -> None:
    path = f"/apis/apps/v1/namespaces/{order.operator_namespace}/deployments/{order.operator}/scale"
    body = requests.encode({"spec": {"replicas": 0}})
    await _unless_gone(
        wire,
        transport.Request(
            "PATCH", path, body=body, content_type=transport.MERGE_PATCH, verb="scale"
        ),
    )


async def _until_free(
    order: Order,
    wire: Wire,
    pause: Callable[[float], Awaitable[None]],
    monotonic: Callable[[], float],
) -> None:
    """Until nobody has held the lease for a while, standbys included.

    A holder that has been silent for the lease's whole duration holds it no longer.
    """
    began = seen_at = monotonic()
    free_at: float | None = None
    seen: Mapping[str, Any] = {}
    while True:
        request = requests.get_lease(order.operator_namespace, order.operator, 10)
        try:
            spec = msgspec.json.decode(await wire.send(request)).get("spec") or {}
        except errors.NotFound:
            return
        now = monotonic()
        if spec != seen:
            seen, seen_at = spec, now
        silent = float(spec.get("leaseDurationSeconds") or _UNTOUCHED_SECONDS)
        if spec.get("holderIdentity") and now - seen_at < silent:
            free_at = None
        elif free_at is None:
            free_at = now
        elif now - free_at >= _FREE_SECONDS:
            return
        if free_at is None and now - began >= order.seconds:
            raise NotLeft(
                f"{spec['holderIdentity']!r} still holds the lease"
                f" {order.operator_namespace}/{order.operator} after {order.seconds:.0f} s:"
                " stop that operator and run again"
            )
        await pause(_LOOK_SECONDS)


async def _held(order: Order, wire: Wire) -> AsyncIterator[ReleasePod]:
    """Run pods that have our finalizer."""
    token = ""
    while True:
        request = requests.list_chunk(
            "Pod", order.namespace, limit=_CHUNK, token=token, partial=True
        )
        answer = msgspec.json.decode(await wire.send(request))
        for one in answer.get("items") or ():
            about = one["metadata"]
            finalizers = about.get("finalizers") or ()
            if names.RUN_TRACKING in finalizers:
                kept = tuple(each for each in finalizers if each != names.RUN_TRACKING)
                yield ReleasePod(about["namespace"], about["name"], about["uid"], kept)
        token = (answer.get("metadata") or {}).get("continue") or ""
        if not token:
            return


async def _release(found: list[ReleasePod], wire: Wire, told: Callable[[str], None]) -> None:
    done = 0
    for some in _shares(found, _TOGETHER):
        await asyncio.gather(*(_unless_gone(wire, requests.release_pod(one)) for one in some))
        done += len(some)
        told(f"{done} of {len(found)}")


def _shares(whole: list[ReleasePod], size: int) -> Iterator[list[ReleasePod]]:
    for start in range(0, len(whole), size):
        yield whole[start : start + size]


def _delete_definition(plural: str) -> transport.Request:
    path = f"{_DEFINITIONS}/{plural}.{names.GROUP}"
    return transport.Request("DELETE", path, verb="delete", kind="CustomResourceDefinition")


async def _unless_gone(wire: Wire, request: transport.Request) -> None:
    """What is gone already is what was wanted; a pod of another uid is another's."""
    try:
        await wire.send(request)
    except (errors.NotFound, errors.Conflict):
        return
