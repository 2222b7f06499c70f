"""How an operator leaves a cluster: it stops, its lease ends, run pods are let go, all else goes.

A finalizer taken off while the operator still runs would be put on the next run's pod, hence the
order. Every step may be repeated; what is gone already is no error.
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
_SHARE = 20  # pods that are let go before it is told how many
_ROUNDS = 5  # of looking for pods; each after the first finds what came meanwhile
_LOOK_SECONDS = 0.5
_UNTOUCHED_SECONDS = 15  # a lease that names no duration
# Pods of one Deployment end at different times: a standby that still lives takes a free lease up,
# and would put finalizers on new pods. It tries every 2 s.
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
    """Carry out the order; says how many pods were let go. `NoCluster` says what to do instead."""
    shown(f"Stopping {order.operator_namespace}/{order.operator}")
    _stop(order, cluster)
    _wait_until_free(order, cluster)
    released = 0
    for _ in range(_ROUNDS):
        found = _held(order, cluster)
        if not found:
            break
        _release(found, cluster, lambda count: shown(f"Letting go of run pods: {count}"))
        released += len(found)
    else:
        raise NoCluster("run pods keep coming: is another operator at work? Stop it and run again")
    if not order.keeps_resources:
        for kind in kinds.KINDS:
            shown(f"Deleting {kind.plural}")
            _delete_definition(kind.plural, cluster)
    return {"released": released, "resourcesKept": order.keeps_resources}


def _stop(order: Order, cluster: ApiClient) -> None:
    path = f"/apis/apps/v1/namespaces/{order.operator_namespace}/deployments/{order.operator}/scale"
    with _unless_gone():
        cluster.ask("PATCH", path, (), {"spec": {"replicas": 0}}, MERGE, verb="scale")


def _wait_until_free(order: Order, cluster: ApiClient) -> None:
    """Until nobody has held the lease for a while, standbys included.

    A holder that has been silent for the lease's whole duration holds it no longer.
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
                " stop that operator and run again"
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
    """What is gone already is what was wanted; a pod of another uid is another's."""
    try:
        yield
    except (NotThere, Changed):
        return
