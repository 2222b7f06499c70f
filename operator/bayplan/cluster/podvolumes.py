"""What a pod's spec says of its volumes: claims, its own claims, disks that the spec names."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from bayplan.cluster import migrated
from bayplan.cluster.wire import Struct
from bayplan.model.pods import Disk


class _ClaimSource(Struct):
    claim_name: str = ""


class _Iscsi(Struct):
    iqn: str = ""
    read_only: bool | None = None


class _Rbd(Struct):
    monitors: list[str] | None = None
    pool: str | None = None
    image: str = ""
    read_only: bool | None = None


class Volume(migrated.Disks):
    """An entry of `spec.volumes`."""

    name: str = ""
    persistent_volume_claim: _ClaimSource | None = None
    ephemeral: msgspec.Raw = msgspec.Raw()
    host_path: msgspec.Raw = msgspec.Raw()
    iscsi: _Iscsi | None = None
    rbd: _Rbd | None = None


@dataclass(frozen=True, slots=True)
class Mounts:
    """`late`: a claim is made only for the stored pod, so a CREATE cannot place the pod."""

    claims: tuple[str, ...] = ()
    own: tuple[str, ...] = ()  # the entries of `claims` that are made for this pod
    disks: tuple[Disk, ...] = ()
    late: bool = False


NO_MOUNTS = Mounts()


def mounts(volumes: Sequence[Volume] | None, stored_as: str = "") -> Mounts:
    """What these volumes mount. `stored_as` is the pod's name after it is stored.

    Only then do the claims exist that Kubernetes makes for this pod alone (`POD-VOLUME`).
    """
    if not volumes:
        return NO_MOUNTS
    claims: list[str] = []
    own: list[str] = []
    disks: list[Disk] = []
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
    if not (claims or disks or late):
        return NO_MOUNTS
    return Mounts((*claims, *own), tuple(own), tuple(disks), late)


def _disk(one: Volume) -> Disk | None:
    found = migrated.named(one)
    driver, handle = (found[0].driver, found[1]) if found is not None else ("", "")
    if one.iscsi is not None:
        return Disk("iscsi", one.iscsi.iqn, bool(one.iscsi.read_only))
    if one.rbd is not None:
        return Disk(
            "rbd",
            f"{one.rbd.pool or 'rbd'}/{one.rbd.image}",
            bool(one.rbd.read_only),
            monitors=frozenset(one.rbd.monitors or ()),
        )
    if one.aws_elastic_block_store is not None:
        name = one.aws_elastic_block_store.volume_id
        return Disk("awsElasticBlockStore", name, driver=driver, handle=handle)
    if one.gce_persistent_disk is not None:
        disk = one.gce_persistent_disk
        read_only = bool(disk.read_only)
        return Disk("gcePersistentDisk", disk.pd_name, read_only, driver=driver, handle=handle)
    if driver:
        return Disk("", handle, read_only=True, driver=driver, handle=handle)
    return None
