"""Claims, volumes and their classes as the API server words them; `storage` makes sense of them."""

from dataclasses import dataclass

import msgspec
from msgspec import Raw

from bayplan.api import names
from bayplan.cluster import wire
from bayplan.cluster.wire import Seen, Struct
from bayplan.model import requirement


@dataclass(frozen=True, slots=True)
class Volume:
    """A PersistentVolume: where it may be used, and how a node attaches it."""

    terms: tuple[requirement.Term, ...] = ()
    driver: str = ""
    handle: str = ""


@dataclass(frozen=True, slots=True)
class VolumeClaim:
    """A PersistentVolumeClaim; `volume` is empty while unbound, `storage` None: the default.

    `selected` is the node for which a volume is to be made.
    """

    volume: str = ""
    storage: str | None = None
    phase: str = ""  # Pending, Bound, Lost; empty in a manifest
    selected: str = ""
    deleting: bool = False
    service: str = ""  # by its label
    owners: frozenset[str] = frozenset()  # uids


@dataclass(frozen=True, slots=True)
class Storage:
    """A StorageClass; `waits` for its first consumer; `terms` are its allowed topologies."""

    waits: bool = False
    default: bool = False
    terms: tuple[requirement.Term, ...] = ()
    provisioner: str = ""


class _ClaimSpec(Struct):
    volume_name: str | None = None
    storage_class_name: str | None = None


class _ClaimStatus(Struct):
    phase: str | None = None


class _Claim(Struct):
    metadata: wire.Metadata
    spec: _ClaimSpec = msgspec.field(default_factory=_ClaimSpec)
    status: _ClaimStatus = msgspec.field(default_factory=_ClaimStatus)


def volume_claim(raw: Raw) -> Seen:
    stored = wire.read(raw, _Claim)
    annotations = bytes(stored.metadata.annotations)
    selected = ""
    if names.SELECTED_NODE.encode() in annotations:
        selected = wire.texts(annotations).get(names.SELECTED_NODE, "")
    claim = VolumeClaim(
        volume=stored.spec.volume_name or "",
        storage=stored.spec.storage_class_name,
        phase=stored.status.phase or "",
        selected=selected,
        deleting=stored.metadata.deletion_timestamp is not None,
        service=wire.texts(bytes(stored.metadata.labels)).get(names.SERVICE, ""),
        owners=frozenset(one.uid for one in stored.metadata.owner_references or () if one.uid),
    )
    return wire.sight(stored.metadata, claim)


class _VolumeSelector(Struct):
    node_selector_terms: list[wire.NodeTerm] | None = None


class _VolumeAffinity(Struct):
    required: _VolumeSelector | None = None


class _Csi(Struct):
    driver: str = ""
    volume_handle: str = ""


class _Ebs(Struct):
    volume_id: str = msgspec.field(default="", name="volumeID")


class _VolumeSpec(Struct):
    node_affinity: _VolumeAffinity | None = None
    csi: _Csi | None = None
    aws_elastic_block_store: _Ebs | None = None


class _Volume(Struct):
    metadata: wire.Metadata
    spec: _VolumeSpec = msgspec.field(default_factory=_VolumeSpec)


def volume(raw: Raw) -> Seen:
    stored = wire.read(raw, _Volume)
    affinity = stored.spec.node_affinity
    required = affinity.required if affinity is not None else None
    driver, handle = "", ""
    if stored.spec.csi is not None:
        driver, handle = stored.spec.csi.driver, stored.spec.csi.volume_handle
    elif stored.spec.aws_elastic_block_store is not None:
        # Kubernetes has migrated these to the CSI driver, under whose limit they count.
        driver, handle = "ebs.csi.aws.com", stored.spec.aws_elastic_block_store.volume_id
    terms = (required.node_selector_terms if required is not None else None) or ()
    volume = Volume(tuple(wire.node_term(term) for term in terms), driver, handle)
    return wire.sight(stored.metadata, volume, namespaced=False)


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
        requirement.Term(
            tuple(
                (one.key, requirement.requirement("In", one.values or ()))
                for one in topology.match_label_expressions or ()
            )
        )
        for topology in stored.allowed_topologies or ()
    )
    annotations = wire.texts(bytes(stored.metadata.annotations))
    storage = Storage(
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


def csi_node(raw: Raw) -> Seen:
    """How many volumes each driver attaches to this node; a driver without a limit is left out."""
    stored = wire.read(raw, _CsiNode)
    limits = {
        one.name: one.allocatable.count
        for one in stored.spec.drivers or ()
        if one.allocatable is not None and one.allocatable.count is not None
    }
    return wire.sight(stored.metadata, limits, namespaced=False)
