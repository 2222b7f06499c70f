"""Claims, volumes and their classes as the API server words them; `storage` interprets them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Raw

from bayplan.api import names
from bayplan.cluster import migrated, wire
from bayplan.cluster.wire import Seen, Struct
from bayplan.model import requirements
from bayplan.model.nodes import REGION, ZONE


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolume: where it may be used, and how a node attaches it.

    `zones`: its labels of zone and region, with the values that they allow. `csi`: the volume is a
    driver's own, not a volume that Kubernetes has moved there from `plugin`. On nodes that say that
    the plug-in has been moved, `moved` is used instead of `terms`.
    """

    terms: tuple[requirements.Term, ...] = ()
    driver: str = ""
    handle: str = ""
    zones: tuple[tuple[str, frozenset[str]], ...] = ()
    csi: bool = True
    plugin: str = ""
    moved: tuple[requirements.Term, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeClaim:
    """A PersistentVolumeClaim; `volume` is empty while unbound; `storage` None is the default.

    `selected` is the node for which a volume is to be made; `alone` means ReadWriteOncePod;
    `controller` is the uid of the owner that controls it.
    """

    volume: str = ""
    storage: str | None = None
    phase: str = ""  # Pending, Bound, Lost; empty in a manifest
    selected: str = ""
    deleting: bool = False
    service: str = ""  # by its label
    owners: frozenset[str] = frozenset()  # uids
    controller: str = ""
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Attachment:
    """A VolumeAttachment: a PersistentVolume is attached to a node, or is about to be."""

    driver: str
    node: str
    volume: str


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A StorageClass. `waits`: it waits for its first consumer; `terms`: its allowed topologies."""

    waits: bool = False
    default: bool = False
    terms: tuple[requirements.Term, ...] = ()
    provisioner: str = ""


class _ClaimSpec(Struct):
    volume_name: str | None = None
    storage_class_name: str | None = None
    access_modes: list[str] | None = None


class _ClaimStatus(Struct):
    phase: str | None = None


class _Claim(Struct):
    metadata: wire.Metadata
    spec: _ClaimSpec = msgspec.field(default_factory=_ClaimSpec)
    status: _ClaimStatus = msgspec.field(default_factory=_ClaimStatus)


_FORMER_CLASS = "volume.beta.kubernetes.io/storage-class"


def volume_claim(raw: Raw) -> Seen:
    stored = wire.read(raw, _Claim)
    annotations = bytes(stored.metadata.annotations)
    selected, storage = "", stored.spec.storage_class_name
    if names.SELECTED_NODE.encode() in annotations:
        selected = wire.texts(annotations).get(names.SELECTED_NODE, "")
    if _FORMER_CLASS.encode() in annotations:  # it takes precedence over the field
        storage = wire.texts(annotations).get(_FORMER_CLASS, storage)
    controller = wire.controller(stored.metadata.owner_references)
    claim = VolumeClaim(
        volume=stored.spec.volume_name or "",
        storage=storage,
        phase=stored.status.phase or "",
        selected=selected,
        deleting=stored.metadata.deletion_timestamp is not None,
        service=wire.texts(bytes(stored.metadata.labels)).get(names.SERVICE, ""),
        owners=frozenset(one.uid for one in stored.metadata.owner_references or () if one.uid),
        controller=controller.uid if controller is not None else "",
        alone="ReadWriteOncePod" in (stored.spec.access_modes or ()),
    )
    return wire.sight(stored.metadata, claim)


class _VolumeSelector(Struct):
    node_selector_terms: list[wire.NodeTerm] | None = None


class _VolumeAffinity(Struct):
    required: _VolumeSelector | None = None


class _Csi(Struct):
    driver: str = ""
    volume_handle: str = ""


class _VolumeSpec(migrated.Disks):
    node_affinity: _VolumeAffinity | None = None
    csi: _Csi | None = None


class _Volume(Struct):
    metadata: wire.Metadata
    spec: _VolumeSpec = msgspec.field(default_factory=_VolumeSpec)


def volume(raw: Raw) -> Seen:
    stored = wire.read(raw, _Volume)
    affinity = stored.spec.node_affinity
    required = affinity.required if affinity is not None else None
    csi, plugin, inside = stored.spec.csi, "", tuple[requirements.Term, ...]()
    wanted = (required.node_selector_terms if required is not None else None) or ()
    terms = tuple(wire.node_term(term) for term in wanted)
    labels = bytes(stored.metadata.labels)
    driver, handle = (csi.driver, csi.volume_handle) if csi else ("", "")
    disk = migrated.named(stored.spec)
    if csi is None and disk is not None:
        of, handle = disk
        driver, plugin = of.driver, of.name
        inside = migrated.moved(of, terms, dict(wire.texts(labels)))
    volume = Volume(
        terms, driver, handle, _zones(labels), csi=csi is not None, plugin=plugin, moved=inside
    )
    return wire.sight(stored.metadata, volume, namespaced=False)


def terms_from_dict(body: Mapping[str, Any]) -> tuple[requirements.Term, ...]:
    """The node affinity of a PersistentVolume that was loaded, not watched."""
    found: Volume = volume(Raw(msgspec.json.encode(body))).value
    return found.terms


_ZONE_LABELS = (
    migrated.OLD_ZONE,
    migrated.OLD_REGION,
    ZONE,
    REGION,
)


def _zones(labels: bytes) -> tuple[tuple[str, frozenset[str]], ...]:
    """Values are joined by `__`; a label with an empty value is ignored (kube-scheduler's rule)."""
    if b"kubernetes.io/zone" not in labels and b"kubernetes.io/region" not in labels:
        return ()
    found = wire.texts(labels)
    parted = (
        (label, frozenset(value.strip() for value in found[label].split("__")))
        for label in _ZONE_LABELS
        if label in found
    )
    return tuple((label, values) for label, values in parted if "" not in values)


class _TopologyExpression(Struct):
    key: str = ""
    values: list[str] | None = None


class _Topology(Struct):
    match_label_expressions: list[_TopologyExpression] | None = None


class _StorageClass(Struct):
    metadata: wire.Metadata
    provisioner: str = ""
    volume_binding_mode: str | None = None
    allowed_topologies: list[_Topology] | None = None


_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


def storage_class(raw: Raw) -> Seen:
    stored = wire.read(raw, _StorageClass)
    terms = tuple(
        requirements.Term(
            tuple(
                (one.key, requirements.requirement("In", one.values or ()))
                for one in topology.match_label_expressions or ()
            )
        )
        for topology in stored.allowed_topologies or ()
    )
    annotations = wire.texts(bytes(stored.metadata.annotations))
    storage = StorageClass(
        waits=stored.volume_binding_mode == "WaitForFirstConsumer",
        default=annotations.get(_DEFAULT_CLASS) == "true",
        terms=terms,
        provisioner=stored.provisioner,
    )
    return wire.sight(stored.metadata, storage, namespaced=False)


class _Count(Struct):
    count: int | None = None


class _Driver(Struct):
    name: str = ""
    allocatable: _Count | None = None


class _CsiNodeSpec(Struct):
    drivers: list[_Driver] | None = None


class _CsiNode(Struct):
    metadata: wire.Metadata
    spec: _CsiNodeSpec = msgspec.field(default_factory=_CsiNodeSpec)


@dataclass(frozen=True, slots=True)
class CsiNode:
    """A node's limit for each driver that has a limit, and the plug-ins that were moved there."""

    limits: Mapping[str, int]
    migrated: frozenset[str] = frozenset()


_MOVED = "storage.alpha.kubernetes.io/migrated-plugins"


def csi_node(raw: Raw) -> Seen:
    stored = wire.read(raw, _CsiNode)
    limits = {
        one.name: one.allocatable.count
        for one in stored.spec.drivers or ()
        if one.allocatable is not None and one.allocatable.count is not None
    }
    told = wire.texts(bytes(stored.metadata.annotations)).get(_MOVED, "")
    value = CsiNode(limits, frozenset(filter(None, told.split(","))))
    return wire.sight(stored.metadata, value, namespaced=False)


class _Source(Struct):
    persistent_volume_name: str | None = None


class _AttachmentSpec(Struct):
    attacher: str = ""
    node_name: str = ""
    source: _Source = msgspec.field(default_factory=_Source)


class _Attachment(Struct):
    metadata: wire.Metadata
    spec: _AttachmentSpec = msgspec.field(default_factory=_AttachmentSpec)


def attachment(raw: Raw) -> Seen:
    stored = wire.read(raw, _Attachment)
    spec = stored.spec
    value = Attachment(spec.attacher, spec.node_name, spec.source.persistent_volume_name or "")
    return wire.sight(stored.metadata, value, namespaced=False)
