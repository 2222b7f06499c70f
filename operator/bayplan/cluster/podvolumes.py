"""What a pod's spec says of its volumes: claims, claims of its own, disks named in place.

Disks of the cloud plug-ins that Kubernetes has moved to CSI drivers count as volumes of those
drivers (csi-translation-lib), named in place or by a PersistentVolume.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bayplan.cluster.wire import Struct
from bayplan.model import pod as pods_

# Plug-ins of Kubernetes itself -> the driver that does their work now. As provisioners of classes.
MIGRATED = {
    "kubernetes.io/aws-ebs": "ebs.csi.aws.com",
    "kubernetes.io/gce-pd": "pd.csi.storage.gke.io",
    "kubernetes.io/azure-disk": "disk.csi.azure.com",
    "kubernetes.io/cinder": "cinder.csi.openstack.org",
}
_EBS, _GCE, _AZURE, _CINDER = MIGRATED.values()
_MANAGED = "managed"  # the only kind of Azure disks that the driver knows


class _ClaimSource(Struct):
    claim_name: str = ""


class _Ebs(Struct):
    volume_id: str = msgspec.field(default="", name="volumeID")


class _Gce(Struct):
    pd_name: str = ""
    read_only: bool | None = None


class _Azure(Struct):
    uri: str = msgspec.field(default="", name="diskURI")
    kind: str | None = None


class _Cinder(Struct):
    volume_id: str = msgspec.field(default="", name="volumeID")


class _Iscsi(Struct):
    iqn: str = ""
    read_only: bool | None = None


class _Rbd(Struct):
    monitors: list[str] | None = None
    pool: str | None = None
    image: str = ""
    read_only: bool | None = None


class Disks(Struct):
    """Where a disk may be named: in a pod's volume, and in a PersistentVolume's spec."""

    aws_elastic_block_store: _Ebs | None = None
    gce_persistent_disk: _Gce | None = None
    azure_disk: _Azure | None = None
    cinder: _Cinder | None = None


class Volume(Disks):
    """One of `spec.volumes`."""

    name: str = ""
    persistent_volume_claim: _ClaimSource | None = None
    ephemeral: msgspec.Raw = msgspec.Raw()
    iscsi: _Iscsi | None = None
    rbd: _Rbd | None = None


@dataclass(frozen=True, slots=True)
class Mounts:
    """`late`: some claim is made for the stored pod alone, so that it cannot be born placed."""

    claims: tuple[str, ...] = ()
    own: tuple[str, ...] = ()  # those of `claims` that are made for this pod
    disks: tuple[pods_.Disk, ...] = ()
    late: bool = False


NO_MOUNTS = Mounts()


def mounts(volumes: Sequence[Volume] | None, stored_as: str = "") -> Mounts:
    """What these volumes mount. `stored_as` is the pod's name once it is stored.

    Only then are there claims that Kubernetes makes for it alone (`POD-VOLUME`).
    """
    if not volumes:
        return NO_MOUNTS
    claims: list[str] = []
    own: list[str] = []
    disks: list[pods_.Disk] = []
    late = False
    for one in volumes:
        if one.persistent_volume_claim is not None:
            claims.append(one.persistent_volume_claim.claim_name)
        elif one.ephemeral and bytes(one.ephemeral) != b"null":
            late = True
            if stored_as:
                own.append(f"{stored_as}-{one.name}")
        else:
            disk = _disk(one)
            if disk is not None:
                disks.append(disk)
    return Mounts((*claims, *own), tuple(own), tuple(disks), late)


def migrated(disks: Disks) -> tuple[str, str]:
    """Driver and handle of a disk as its CSI driver knows it; empty: none that counts."""
    if disks.aws_elastic_block_store is not None:
        return _EBS, _ebs_id(disks.aws_elastic_block_store.volume_id)
    if disks.gce_persistent_disk is not None:
        return _GCE, disks.gce_persistent_disk.pd_name
    if disks.azure_disk is not None:
        managed = (disks.azure_disk.kind or _MANAGED).lower() == _MANAGED
        return (_AZURE, disks.azure_disk.uri) if managed else ("", "")
    if disks.cinder is not None:
        return _CINDER, disks.cinder.volume_id
    return "", ""


def _ebs_id(text: str) -> str:
    """`vol-1` of `aws://eu-west-1a/vol-1`."""
    return text.rpartition("/")[2] if text.startswith("aws://") else text


def _disk(one: Volume) -> pods_.Disk | None:
    driver, handle = migrated(one)
    if one.iscsi is not None:
        return pods_.Disk("iscsi", one.iscsi.iqn, bool(one.iscsi.read_only))
    if one.rbd is not None:
        return pods_.Disk(
            "rbd",
            f"{one.rbd.pool or 'rbd'}/{one.rbd.image}",
            bool(one.rbd.read_only),
            monitors=frozenset(one.rbd.monitors or ()),
        )
    if one.aws_elastic_block_store is not None:
        name = one.aws_elastic_block_store.volume_id
        return pods_.Disk("awsElasticBlockStore", name, driver=driver, handle=handle)
    if one.gce_persistent_disk is not None:
        disk = one.gce_persistent_disk
        read_only = bool(disk.read_only)
        return pods_.Disk(
            "gcePersistentDisk", disk.pd_name, read_only, driver=driver, handle=handle
        )
    if driver:
        return pods_.Disk("", handle, read_only=True, driver=driver, handle=handle)
    return None
