"""Readiness gates of a pod: which of them keep it from being ready though its containers are.

A kubelet calls a pod ready when all of its containers are and every gate is true. Gates are set by
controllers, such as the one of a load balancer, so that no kubelet can say why a gate is not true.
"""

from collections.abc import Mapping

from bayplan.cluster import wire
from bayplan.cluster.podspec import Condition
from bayplan.cluster.wire import Struct


class _Gate(Struct):
    condition_type: str = ""


def unmet(gates: bytes, conditions: Mapping[str, Condition]) -> str:
    """The gates that are not true, in a clause; empty unless they alone keep the pod unready.

    `gates` are the spec's readinessGates as written.
    """
    if not gates or not _is_true(conditions.get("ContainersReady")):
        return ""
    names = [one.condition_type for one in wire.part(gates, list[_Gate]) or ()]
    missing = [name for name in names if not _is_true(conditions.get(name))]
    if not missing:
        return ""
    more = len(missing) - 1
    and_more = f" (and {more} more)" if more else ""
    return f"readiness gate {missing[0]}{and_more} {_state(conditions.get(missing[0]))}"


def _is_true(condition: Condition | None) -> bool:
    return condition is not None and condition.status == "True"


def _state(condition: Condition | None) -> str:
    """What the gate's controller says of it."""
    if condition is None:
        return "is not set: its controller has not written it yet"
    told = ": ".join(filter(None, (condition.reason, condition.message)))
    return f"is {condition.status or 'empty'}" + (f": {told}" if told else "")
