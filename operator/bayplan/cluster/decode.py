"""Every kind that is listed and watched, and how to read one object of it.

Nothing outside this package knows how Kubernetes spells things. A Struct lives for one call: it is
turned into a frozen model object at once.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from bayplan.api import kinds
from bayplan.cluster import daemonsets, nodes, owned, pods, policies, volumes, wire
from bayplan.cluster.wire import DecodeError, Seen


def _resource(raw: Raw) -> Seen:
    """Read a custom resource; its body stays a mapping because pydantic reads it."""
    body = msgspec.json.decode(raw)
    if not isinstance(body, dict):
        raise DecodeError("not an object")
    return wire.sight(wire.read(raw, wire.Meta).metadata, body)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that is listed and watched: how to read one object of it.

    `partial`: only the metadata is asked for.
    """

    name: str
    decode: Callable[[Raw], Seen]
    namespaced: bool = True
    partial: bool = False


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
        Kind(
            "PodDisruptionBudget",
            functools.partial(owned.child, "PodDisruptionBudget"),
            partial=True,
        ),
        Kind("Service", functools.partial(owned.child, "Service"), partial=True),
        *(Kind(name, _resource) for name in kinds.NAMES),
    )
}
