"""When the emptying of a node began, read from the node itself.

A taint may carry the moment at which it was set; Cluster Autoscaler writes it as the taint's value.
For a cordon and for taints without a moment, the API server has noted when their writer last
changed them.
"""

from typing import Any

import msgspec
from msgspec import Raw

from bayplan.api import edits
from bayplan.cluster import wire
from bayplan.cluster.wire import Struct
from bayplan.model.nodes import EMPTYING_TAINTS, Node

_BY_CLUSTER_AUTOSCALER = "ToBeDeletedByClusterAutoscaler"  # its value is the moment of the taint
_CORDONED = "node.kubernetes.io/unschedulable"
_LONGEST_TIME = 12  # digits of epoch seconds
_CORDON, _TAINTS = ("f:spec", "f:unschedulable"), ("f:spec", "f:taints")


class Taint(Struct):
    """A taint as on the wire."""

    key: str = ""
    value: str | None = None
    effect: str | None = None
    time_added: str | None = None


class _Notes(Struct):
    managed_fields: Any = None


class _Noted(Struct):
    metadata: _Notes = msgspec.field(default_factory=_Notes)


def since(raw: bytes | Raw, node: Node, taints: list[Taint] | None, deleted: str | None) -> int:
    """The first moment that any sign on the node states (epoch seconds); 0 if no sign states one.

    `deleted` is the node's deletionTimestamp.
    """
    signs = [one for one in taints or () if one.key in EMPTYING_TAINTS]
    moments = [_added_at(one) for one in signs]
    if node.deleting:
        moments.append(wire.epoch(deleted))
    if not node.ready:
        moments.append(node.ready_changed_at)
    cordoned = node.unschedulable and not any(one.key == _CORDONED for one in signs)
    if cordoned or None in moments:
        noted = edits.moments(_metadata(raw), _CORDON, _TAINTS)
        moments = [noted.get(_TAINTS) if moment is None else moment for moment in moments]
        moments += [noted.get(_CORDON)] if cordoned else []
    return min((moment or 0 for moment in moments), default=0)


def _added_at(taint: Taint) -> int | None:
    told = taint.value or ""
    if taint.key == _BY_CLUSTER_AUTOSCALER and told.isascii() and told.isdecimal():
        return int(told[:_LONGEST_TIME])
    return wire.epoch(taint.time_added)


def _metadata(raw: bytes | Raw) -> dict[str, Any]:
    """The node's managed fields: they are large, so they are read for few nodes only."""
    return {"managedFields": wire.read(raw, _Noted).metadata.managed_fields}
