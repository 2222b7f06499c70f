"""What our resources own beside pods: ControllerRevisions, disruption budgets, Services."""

from dataclasses import dataclass
from typing import Any

from msgspec import Raw

from bayplan.api import kinds, names
from bayplan.cluster import wire
from bayplan.cluster.wire import Seen, Struct
from bayplan.model.children import Child
from bayplan.model.pods import Owner

_SERVICE, _DIGEST = names.SERVICE.encode(), names.DIGEST.encode()


@dataclass(frozen=True, slots=True)
class Owned:
    """A child, its owner, and whether it is being deleted.

    A child without an owner was left behind by the service that `left_by` names, as a label's
    value.
    """

    owner: Owner | None
    child: Child
    deleting: bool = False
    left_by: str = ""


class _Revision(Struct):
    metadata: wire.Metadata
    revision: int = 0
    data: dict[str, Any] | None = None


def child(kind: str, raw: Raw) -> Seen:
    """A child of one of our resources, or what a service left behind; None for other objects."""
    meta = wire.read(raw, wire.Meta).metadata
    controller = wire.controller(meta.owner_references)
    service = _left_by(meta) if controller is None else ""
    if not service and (controller is None or controller.kind not in kinds.BY_NAME):
        return wire.sight(meta, None)
    revision, data = 0, dict[str, Any]()
    if kind == "ControllerRevision":
        stored = wire.read(raw, _Revision)
        revision, data = stored.revision, stored.data or {}
    found = Child(
        kind=kind,
        name=meta.name,
        uid=meta.uid or "",
        digest=wire.texts(bytes(meta.annotations)).get(names.DIGEST, ""),
        revision=revision,
        body=data,
        orphaned=controller is None,
    )
    return wire.sight(meta, Owned(controller, found, meta.deletion_timestamp is not None, service))


def _left_by(meta: wire.Metadata) -> str:
    """The service (as a label's value) that made an object which has no controller any more."""
    if _SERVICE not in bytes(meta.labels) or _DIGEST not in bytes(meta.annotations):
        return ""
    return wire.texts(bytes(meta.labels)).get(names.SERVICE, "")
