"""Turns nodes as the API server stores them into the model's nodes."""

import dataclasses
import functools
import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Raw

from bayplan.api.names import DO_NOT_DISRUPT, POOL
from bayplan.cluster import emptying, wire
from bayplan.cluster.wire import Seen, Struct
from bayplan.model.claim_names import made_by_us
from bayplan.model.nodes import CLOSING, KEEP, PRICE, Node, Taint


class _NodeSpec(Struct):
    unschedulable: bool | None = None
    taints: list[emptying.Taint] | None = None
    provider_id: str | None = msgspec.field(default=None, name="providerID")


class _NodeCondition(Struct):
    type: str = ""
    status: str = ""
    last_transition_time: str | None = None


class _NodeStatus(Struct):
    allocatable: Raw = Raw()
    conditions: list[_NodeCondition] | None = None


class _Node(Struct):
    metadata: wire.Metadata
    spec: _NodeSpec = msgspec.field(default_factory=_NodeSpec)
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


def node(raw: bytes | Raw) -> Node:
    """Read one node. Without a Ready condition it is not ready: its kubelet has not reported."""
    stored = wire.read(raw, _Node)
    metadata = stored.metadata
    conditions = {one.type: one for one in stored.status.conditions or ()}
    ready = conditions.get("Ready")
    labels = wire.texts(bytes(metadata.labels))
    ready_changed_at = wire.epoch(ready.last_transition_time) or 0 if ready is not None else 0
    found = Node(
        name=sys.intern(metadata.name),
        uid=metadata.uid or "",
        labels=labels,
        taints=_taints(
            tuple((one.key, one.value or "", one.effect or "") for one in stored.spec.taints or ())
        ),
        unschedulable=bool(stored.spec.unschedulable),
        deleting=metadata.deletion_timestamp is not None,
        ready=ready is not None and ready.status == "True",
        ready_changed_at=ready_changed_at,
        allocatable=wire.vector(bytes(stored.status.allocatable)),
        created_at=wire.epoch(metadata.creation_timestamp) or 0,
        price_microdollars=_price(labels, metadata.annotations),
        provider_id=stored.spec.provider_id or "",
        closing=_annotated(CLOSING, metadata.annotations),
        kept=_kept(labels, metadata),
        resource_version=metadata.resource_version or "",
    )
    if not found.emptying:
        return found
    since = emptying.since(raw, found, stored.spec.taints, metadata.deletion_timestamp)
    return dataclasses.replace(found, emptying_since=since)


@functools.lru_cache(maxsize=1024)
def _taints(found: tuple[tuple[str, str, str], ...]) -> tuple[Taint, ...]:
    return tuple(Taint(*one) for one in found)


def _price(labels: Mapping[str, str], annotations: Raw) -> int | None:
    """An hour's price in millionths of a dollar. Anybody who may label the node can set it."""
    text = labels[PRICE] if PRICE in labels else _annotated(PRICE, annotations)
    if not text:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        return None
    if not price.is_finite() or price < 0 or price.adjusted() > 6:  # noqa: PLR2004  $10M an hour
        return None
    return int((price * 1_000_000).to_integral_value())


def _kept(labels: Mapping[str, str], metadata: wire.Metadata) -> str:
    """The annotation by which somebody wants the node to stay."""
    if _annotated(KEEP, metadata.annotations) not in {"", "false"}:
        return KEEP
    protection = _annotated(DO_NOT_DISRUPT, metadata.annotations)
    if protection in {"", "false"} or (protection == "true" and _ours(labels, metadata)):
        return ""
    return DO_NOT_DISRUPT


def _ours(labels: Mapping[str, str], metadata: wire.Metadata) -> bool:
    """Whether the node was ordered by Bayplan, whose claims have `do-not-disrupt: "true"`.

    Karpenter copies that from a claim to its node, and makes the claim an owner of the node.
    """
    pool = labels.get(POOL)
    claims = [one.name for one in metadata.owner_references or () if one.kind == "NodeClaim"]
    return pool is not None and (not claims or any(made_by_us(name, pool) for name in claims))


def _annotated(key: str, annotations: Raw) -> str:
    """The value of an annotation; empty without it."""
    text = bytes(annotations)
    return wire.texts(text).get(key, "") if key.encode() in text else ""


def seen(raw: Raw) -> Seen:
    found = node(raw)
    version = wire.version_of(found.resource_version)
    return Seen("", found.name, found.uid, version, found)
