"""Removes the operator: stops it, waits for its lease, releases run pods, deletes the definitions.

The order matters: while the operator runs, it puts its finalizer on the pod of the next run. Every
step may be repeated; an object that is gone already is not an error.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bayplan.api import kinds, names
from bayplan.cli.client import MERGE, ApiClient
from bayplan.cli.errors import Changed, NoCluster, NotThere
from bayplan.model.intents import ReleasePod

Shown = Callable[[str], None]

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_SHARE = 20  # pods that are released between two reports of progress
_ROUNDS = 5  # of looking for pods; each later round finds the pods that came meanwhile
_LOOK_SECONDS = 0.5
_UNTOUCHED_SECONDS = 15  # a lease that names no duration
# Pods of a Deployment end at different times: a standby that still runs tries every 2 s to take a
# free lease, and would then put finalizers on new pods.
_FREE_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Order:
    """What to do: the operator's Deployment and lease, whose pods, and whether resources stay."""

    operator_namespace: str
    operator: str
    namespace: str  # of run pods; empty: all
    seconds: float
    keeps_resources: bool


def carry_out(order: Order, cluster: ApiClient, shown: Shown) -> Mapping[str, Any]:
    """Carry out the order; returns how many pods were released. `NoCluster` says what to do."""
    shown(f"Stopping {order.operator_namespace}/{order.operator}")
    _stop(order, cluster)
    _wait_until_free(order, cluster)
    released = 0
    for _ in range(_ROUNDS):
        found = _held(order, cluster)
        if not found:
            break
        _release(found, cluster, lambda count: shown(f"Releasing run pods: {count}"))
        released += len(found)
    else:
        raise NoCluster(
            "new run pods keep coming: if another operator runs, stop it, then run this again"
        )
    if not order.keeps_resources:
        for kind in kinds.DEFINED:
            shown(f"Deleting {kind.plural}")
            _delete_definition(kind.plural, cluster)
    return {"released": released, "resourcesKept": order.keeps_resources}


def _stop(order: Order, cluster: ApiClient) -> None:
    path = f"/apis/apps/v1/namespaces/{order.operator_namespace}/deployments/{order.operator}/scale"
    with _unless_gone():
        cluster.ask("PATCH", path, (), {"spec": {"replicas": 0}}, MERGE, verb="scale")


def _wait_until_free(order: Order, cluster: ApiClient) -> None:
    """Wait until no replica has held the lease for a while.

    A holder that has been silent for the lease's whole duration does not hold it any more.
    """
    began = seen_at = cluster.monotonic()
    free_at: float | None = None
    seen: Mapping[str, Any] = {}
    while True:
        lease = cluster.find("Lease", order.operator, order.operator_namespace)
        if lease is None:
            return
        spec = lease.get("spec") or {}
        now = cluster.monotonic()
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
            raise NoCluster(
                f"{spec['holderIdentity']!r} still holds the lease"
                f" {order.operator_namespace}/{order.operator} after {order.seconds:.0f} s:"
                " stop that operator, then run this again"
            )
        cluster.pause(_LOOK_SECONDS)


def _held(order: Order, cluster: ApiClient) -> list[ReleasePod]:
    """Run pods that have our finalizer."""
    found = []
    for one in cluster.listed("Pod", order.namespace, partial=True):
        about = one["metadata"]
        finalizers = about.get("finalizers") or ()
        if names.RUN_TRACKING in finalizers:
            kept = tuple(each for each in finalizers if each != names.RUN_TRACKING)
            found.append(ReleasePod(about["namespace"], about["name"], about["uid"], kept))
    return found


def _release(found: list[ReleasePod], cluster: ApiClient, told: Callable[[str], None]) -> None:
    for start in range(0, len(found), _SHARE):
        some = found[start : start + _SHARE]
        for error in cluster.release(some):
            with _unless_gone():
                if error is not None:
                    raise error
        told(f"{start + len(some)} of {len(found)}")


def _delete_definition(plural: str, cluster: ApiClient) -> None:
    path = f"{_DEFINITIONS}/{plural}.{names.GROUP}"
    with _unless_gone():
        cluster.ask("DELETE", path, verb="delete", kind="CustomResourceDefinition")


@contextmanager
def _unless_gone() -> Iterator[None]:
    """Ignores objects that are gone already, and pods that were replaced (another uid)."""
    try:
        yield
    except (NotThere, Changed):
        return
