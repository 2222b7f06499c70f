"""Turns NodeClaims of Karpenter as the API server stores them into the model's claims."""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from bayplan.api import names
from bayplan.cluster import wire
from bayplan.cluster.wire import Seen, Struct
from bayplan.model.node_claims import NodeClaim
from bayplan.model.node_pools import NODE_POOL
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE

_UNTRIED = "AwaitingReconciliation"  # the reason before Karpenter has looked at the claim


class _Spec(Struct):
    requirements: list[wire.Expression] | None = None


class _Condition(Struct):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None


class _Status(Struct):
    provider_id: str | None = msgspec.field(default=None, name="providerID")
    node_name: str | None = None
    allocatable: Raw = Raw()
    conditions: list[_Condition] | None = None


class _NodeClaim(Struct):
    metadata: wire.Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)


def seen(raw: Raw) -> Seen:
    """Read one NodeClaim."""
    stored = wire.read(raw, _NodeClaim)
    return wire.sight(stored.metadata, _claim(stored), namespaced=False)


def planned(body: Mapping[str, Any], now: int) -> NodeClaim:
    """The claim as it counts while its CREATE is on its way; `now` is in epoch seconds."""
    stored = wire.read(msgspec.json.encode(body), _NodeClaim)
    return dataclasses.replace(_claim(stored), created_at=now, assumed=True)


def _claim(stored: _NodeClaim) -> NodeClaim:
    metadata, status = stored.metadata, stored.status
    labels = wire.texts_once(bytes(metadata.labels))
    conditions = {one.type: one for one in status.conditions or ()}
    wanted = stored.spec.requirements or []
    return NodeClaim(
        name=sys.intern(metadata.name),
        uid=metadata.uid or "",
        pool=labels.get(names.POOL, ""),
        node_pool=labels.get(NODE_POOL, ""),
        types=_values(wanted, INSTANCE_TYPE),
        zones=_values(wanted, ZONE),
        capacity_types=_values(wanted, CAPACITY_TYPE),
        labels=labels,
        created_at=wire.epoch(metadata.creation_timestamp) or 0,
        provider_id=status.provider_id or "",
        node=sys.intern(status.node_name or ""),
        allocatable=wire.vector(bytes(status.allocatable)),
        registered=_holds(conditions, "Registered"),
        initialized=_holds(conditions, "Initialized"),
        deleting=metadata.deletion_timestamp is not None,
        problem=_problem(conditions.get("Launched")),
    )


def _values(wanted: list[wire.Expression], key: str) -> tuple[str, ...]:
    """The values that all `In` requirements of this label accept; empty without one."""
    lists = [one.values or [] for one in wanted if (one.key, one.operator) == (key, "In")]
    if not lists:
        return ()
    first, *others = lists
    return tuple(sys.intern(each) for each in first if all(each in other for other in others))


def _holds(conditions: Mapping[str, _Condition], kind: str) -> bool:
    found = conditions.get(kind)
    return found is not None and found.status == "True"


def _problem(launched: _Condition | None) -> str:
    if launched is None or launched.status == "True" or launched.reason == _UNTRIED:
        return ""
    return launched.message or launched.reason or ""
