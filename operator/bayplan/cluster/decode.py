"""Bytes to model objects, kind by kind; lists and watch events to sights of objects.

Nothing outside this package knows how Kubernetes spells things. A Struct lives for one call: it
becomes a frozen model object at once. One unreadable object never fails a list: it is left out,
counted and told.
"""

import dataclasses
import functools
import logging
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from msgspec import Raw

from bayplan import logs, units
from bayplan.api import kinds, names
from bayplan.cluster import emptying, pods, podspec, volumes, wire
from bayplan.cluster.pods import pod_from_dict
from bayplan.cluster.volumes import Attachment, CsiNode, Storage, Volume, VolumeClaim
from bayplan.cluster.wire import DecodeError, Seen, Struct
from bayplan.model import daemonsets, limits, snapshot
from bayplan.model.children import Child
from bayplan.model.nodes import PRICE, Node, Taint
from bayplan.model.pods import Constraints, Owner

__all__ = [
    "KINDS",
    "Attachment",
    "Chunk",
    "CsiNode",
    "DecodeError",
    "Kind",
    "Seen",
    "Storage",
    "Volume",
    "VolumeClaim",
    "chunk",
    "event",
    "pod",
    "pod_from_dict",
]


pod = pods.pod


# ---- nodes ------------------------------------------------------------------------------------


class _NodeSpec(Struct):
    unschedulable: bool | None = None
    taints: list[emptying.Taint] | None = None


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
    """Read one node. Without a Ready condition it is not ready: its kubelet has not spoken yet."""
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
    """An hour's price in millionths of a dollar. Whoever may label the node sets it."""
    text = labels.get(PRICE)
    if text is None and PRICE.encode() in bytes(annotations):
        text = wire.texts(bytes(annotations)).get(PRICE)
    if text is None:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        return None
    if not price.is_finite() or price < 0 or price.adjusted() > 6:  # noqa: PLR2004  $10M an hour
        return None
    return int((price * 1_000_000).to_integral_value())


def _node(raw: Raw) -> Seen:
    found = node(raw)
    version = wire.version_of(found.resource_version)
    return Seen("", found.name, found.uid, version, found)


# ---- DaemonSets -------------------------------------------------------------------------------


class _Template(Struct):
    metadata: wire.Metadata = msgspec.field(default_factory=wire.Metadata)
    spec: podspec.PodSpec = msgspec.field(default_factory=podspec.PodSpec)


class _DaemonSetSpec(Struct):
    template: _Template = msgspec.field(default_factory=_Template)


class _DaemonSet(Struct):
    metadata: wire.Metadata
    spec: _DaemonSetSpec = msgspec.field(default_factory=_DaemonSetSpec)


def _daemonset(raw: Raw) -> Seen:
    """The room that its pods will take, with the tolerations that its controller adds."""
    stored = wire.read(raw, _DaemonSet)
    spec = stored.spec.template.spec
    constraints = podspec.constraints(spec, bytes(stored.spec.template.metadata.labels))
    return wire.sight(
        stored.metadata,
        snapshot.DaemonSet(
            namespace=stored.metadata.namespace or "default",
            name=stored.metadata.name,
            uid=stored.metadata.uid or "",
            request=podspec.request(spec),
            constraints=_tolerating(constraints, host_network=bool(spec.host_network)),
        ),
    )


@functools.lru_cache(maxsize=1024)
def _tolerating(constraints: Constraints, *, host_network: bool) -> Constraints:
    # Not dataclasses.replace: the fields a daemon has no use for stay behind.
    return Constraints(
        selector=constraints.selector,
        affinity=constraints.affinity,
        tolerations=daemonsets.tolerations(constraints.tolerations, host_network=host_network),
        host_ports=constraints.host_ports,
    )


# ---- what a resource owns ---------------------------------------------------------------------


_SERVICE, _DIGEST = names.SERVICE.encode(), names.DIGEST.encode()


class _Revision(Struct):
    metadata: wire.Metadata
    revision: int = 0
    data: dict[str, Any] | None = None


def _child(kind: str, raw: Raw) -> Seen:
    """A child of one of our resources, or what a service left behind; None for all others."""
    meta = wire.read(raw, wire.Meta).metadata
    controller = wire.controller(meta.owner_references)
    service = _left_by(meta) if controller is None else ""
    if not service and (controller is None or controller.kind not in kinds.BY_NAME):
        return wire.sight(meta, None)
    revision, data = 0, dict[str, Any]()
    if kind == "ControllerRevision":
        stored = wire.read(raw, _Revision)
        revision, data = stored.revision, stored.data or {}
    child = Child(
        kind=kind,
        name=meta.name,
        uid=meta.uid or "",
        digest=wire.texts(bytes(meta.annotations)).get(names.DIGEST, ""),
        revision=revision,
        body=data,
        orphaned=controller is None,
    )
    return wire.sight(meta, Owned(controller, child, meta.deletion_timestamp is not None, service))


def _left_by(meta: wire.Metadata) -> str:
    """The service (as a label's value) that made an object which has no controller any more."""
    if _SERVICE not in bytes(meta.labels) or _DIGEST not in bytes(meta.annotations):
        return ""
    return wire.texts(bytes(meta.labels)).get(names.SERVICE, "")


@dataclasses.dataclass(frozen=True, slots=True)
class Owned:
    """A child, whose it is, and whether it is being deleted.

    One without an owner was left behind by the service that `left_by` names, as a label's value.
    """

    owner: Owner | None
    child: Child
    deleting: bool = False
    left_by: str = ""


# ---- what changes admission -------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Namespace:
    labels: Mapping[str, str]
    deleting: bool = False


def _namespace(raw: Raw) -> Seen:
    meta = wire.read(raw, wire.Meta).metadata
    found = Namespace(wire.texts(bytes(meta.labels)), meta.deletion_timestamp is not None)
    return wire.sight(meta, found, namespaced=False)


class _QuotaSpec(Struct):
    hard: Raw = Raw()


class _QuotaStatus(Struct):
    used: Raw = Raw()


class _Quota(Struct):
    metadata: wire.Metadata
    spec: _QuotaSpec = msgspec.field(default_factory=_QuotaSpec)
    status: _QuotaStatus = msgspec.field(default_factory=_QuotaStatus)


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """What a namespace may hold and what it holds, for telling whether room has appeared."""

    hard: Mapping[str, str]
    used: Mapping[str, str]

    def loosened(self, before: "Quota") -> bool:
        """Whether a CREATE that was refused before may be accepted now."""
        return self.hard != before.hard or any(
            _thousandths(amount) > _thousandths(self.used.get(name, "0"))
            for name, amount in before.used.items()
        )


def _thousandths(text: str) -> int:
    try:
        return units.milli(text)
    except units.QuantityError:
        return 0


def _quota(raw: Raw) -> Seen:
    stored = wire.read(raw, _Quota)
    hard, used = bytes(stored.spec.hard), bytes(stored.status.used)
    return wire.sight(stored.metadata, Quota(wire.texts(hard), wire.texts(used)))


class _Limit(Struct):
    type: str = ""
    min: Raw = Raw()
    max: Raw = Raw()
    default: Raw = Raw()
    default_request: Raw = Raw()


class _LimitRangeSpec(Struct):
    limits: list[_Limit] | None = None


class _LimitRange(Struct):
    metadata: wire.Metadata
    spec: _LimitRangeSpec = msgspec.field(default_factory=_LimitRangeSpec)


def _limit_range(raw: Raw) -> Seen:
    """What it fills in, and what it asks of a whole pod; with Kubernetes' own defaults of it."""
    stored = wire.read(raw, _LimitRange)
    found = []
    for one in stored.spec.limits or ():
        least, most = wire.texts(bytes(one.min)), wire.texts(bytes(one.max))
        if one.type == "Container":
            bound = {**most, **wire.texts(bytes(one.default))}
            requests = {**least, **bound, **wire.texts(bytes(one.default_request))}
            found.append(limits.Limits(requests=requests, limits=bound))
        elif one.type == "Pod":
            found.append(limits.Limits(least=least, most=most))
    return wire.sight(stored.metadata, limits.merged(reversed(found)))


def limits_from_dict(body: Mapping[str, Any]) -> limits.Limits:
    """Read a LimitRange that was written, not served."""
    found: limits.Limits = _limit_range(Raw(msgspec.json.encode(body))).value
    return found


class _Priority(Struct):
    metadata: wire.Metadata
    value: int = 0
    global_default: bool | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Priority:
    value: int
    default: bool = False


def _priority_class(raw: Raw) -> Seen:
    stored = wire.read(raw, _Priority)
    value = Priority(stored.value, bool(stored.global_default))
    return wire.sight(stored.metadata, value, namespaced=False)


def _resource(raw: Raw) -> Seen:
    """A custom resource stays a mapping: pydantic reads it."""
    body = msgspec.json.decode(raw)
    if not isinstance(body, dict):
        raise DecodeError("not an object")
    return wire.sight(wire.read(raw, wire.Meta).metadata, body)


# ---- every kind -------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind that is listed and watched: how to read one object of it.

    `partial`: nothing but its metadata is asked for.
    """

    name: str
    decode: Callable[[Raw], Seen]
    namespaced: bool = True
    partial: bool = False


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("Node", _node, namespaced=False),
        Kind("Pod", pods.seen),
        Kind("DaemonSet", _daemonset),
        Kind("Namespace", _namespace, namespaced=False, partial=True),
        Kind("PersistentVolumeClaim", volumes.volume_claim),
        Kind("PersistentVolume", volumes.volume, namespaced=False),
        Kind("StorageClass", volumes.storage_class, namespaced=False),
        Kind("CSINode", volumes.csi_node, namespaced=False),
        Kind("VolumeAttachment", volumes.attachment, namespaced=False),
        Kind("PriorityClass", _priority_class, namespaced=False),
        Kind("ResourceQuota", _quota),
        Kind("LimitRange", _limit_range),
        Kind("ControllerRevision", functools.partial(_child, "ControllerRevision")),
        Kind("PodDisruptionBudget", functools.partial(_child, "PodDisruptionBudget"), partial=True),
        Kind("Service", functools.partial(_child, "Service"), partial=True),
        *(Kind(name, _resource) for name in kinds.NAMES),
    )
}


class _ListMeta(Struct):
    resource_version: str | None = None
    token: str | None = msgspec.field(default=None, name="continue")


class _List(Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[Raw] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a list: what could be read, the names of what could not, the next chunk's token.

    `whole` is False when not even the name of something could be read.
    """

    seen: tuple[Seen, ...]
    unreadable: tuple[tuple[str, str], ...]
    whole: bool
    version: str
    token: str


def chunk(kind: Kind, body: bytes) -> Chunk:
    try:
        found = msgspec.json.decode(body, type=_List)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"list of {kind.name}: {error}") from error
    seen: list[Seen] = []
    unreadable: list[tuple[str, str]] = []
    whole = True
    for raw in found.items or ():
        try:
            seen.append(kind.decode(raw))
        except Exception as error:  # noqa: BLE001  one object must not stop all the others
            logs.say(logging.WARNING, "unreadable", kind=kind.name, error=repr(error))
            try:
                meta = wire.read(raw, wire.Meta).metadata
                unreadable.append(wire.sight(meta, None, namespaced=kind.namespaced).key)
            except DecodeError:
                whole = False
    return Chunk(
        tuple(seen),
        tuple(unreadable),
        whole,
        found.metadata.resource_version or "",
        found.metadata.token or "",
    )


class Event(Struct):
    """A line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and its object."""

    type: str = ""
    object: Raw = Raw()


_decode_event = msgspec.json.Decoder(Event).decode


def event(line: bytes) -> Event:
    try:
        return _decode_event(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"line of a watch: {error}") from error


class _Name(Struct):
    name: str = ""
    namespace: str | None = None
    resource_version: str | None = None


class _Named(Struct):
    metadata: _Name


_decode_named = msgspec.json.Decoder(_Named).decode


def named(kind: Kind, raw: Raw) -> tuple[tuple[str, str], int] | None:
    """Which object this is and at which version, at a tenth of the cost; None when it is odd."""
    try:
        found = _decode_named(raw).metadata
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    namespace = (found.namespace or "default") if kind.namespaced else ""
    return (namespace, found.name), wire.version_of(found.resource_version)


def version(raw: Raw | bytes) -> str:
    """The resourceVersion of any object, as a bookmark carries it."""
    return wire.read(raw, wire.Meta).metadata.resource_version or ""
