"""Every kind that is listed and watched, and how to read one object of it.

Nothing outside this package knows how Kubernetes spells things. A Struct lives for one call: it is
turned into a frozen model object at once.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from bayplan.api import kinds, names
from bayplan.cluster import (
    budgets,
    daemonsets,
    node_claims,
    nodes,
    owned,
    pods,
    policies,
    volumes,
    wire,
)
from bayplan.cluster.wire import DecodeError, Seen


def _whole(raw: Raw, *, namespaced: bool = True) -> Seen:
    """Read a custom resource; its body stays a mapping because others read it."""
    body = msgspec.json.decode(raw)
    if not isinstance(body, dict):
        raise DecodeError("not an object")
    return wire.sight(wire.read(raw, wire.Meta).metadata, body, namespaced=namespaced)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that is listed and watched: how to read one object of it.

    `partial`: only the metadata is asked for. `fields`: only objects with these fields are.
    """

    name: str
    decode: Callable[[Raw], Seen]
    namespaced: bool = True
    partial: bool = False
    fields: str = ""


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("Node", nodes.seen, namespaced=False),
        Kind("Pod", pods.seen),
        Kind("DaemonSet", daemonsets.seen),
        Kind("Namespace", policies.namespace, namespaced=False, partial=True),
        Kind("PersistentVolumeClaim", volumes.volume_claim),
        Kind("PersistentVolume", volumes.volume, namespaced=False),
        Kind("StorageClass", volumes.storage_class, namespaced=False),
        Kind("CSINode", volumes.csi_node, namespaced=False),
        Kind("VolumeAttachment", volumes.attachment, namespaced=False),
        Kind("PriorityClass", policies.priority_class, namespaced=False),
        Kind("ResourceQuota", policies.quota),
        Kind("LimitRange", policies.limit_range),
        Kind("ControllerRevision", functools.partial(owned.child, "ControllerRevision")),
        Kind(budgets.KIND, budgets.seen),
        Kind("Service", functools.partial(owned.child, "Service"), partial=True),
        *(Kind(name, _whole) for name in kinds.NAMES),
    )
}

_of_cluster = functools.partial(_whole, namespaced=False)

# Kinds that are listed and watched only if nodes are bought, and once they are served.
FOR_POOLS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("Pool", _of_cluster, namespaced=False),
        Kind("NodePool", _of_cluster, namespaced=False),
        Kind("NodeClaim", node_claims.seen, namespaced=False),
    )
}

# What the operator said lately: it does not read its own Events, but a person does.
EVENTS = Kind("Event", _whole, fields=f"reportingController={names.GROUP}")


def kind_of(name: str) -> Kind:
    """The kind of this name, whether or not it is always watched."""
    return KINDS.get(name) or FOR_POOLS[name]
