"""Disks of the plug-ins that Kubernetes has moved to CSI drivers (csi-translation-lib).

These disks count under the driver's limit. On a node that says that its plug-in has been moved, a
volume is bound to zones by the driver's own label, as kube-scheduler sees it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from bayplan.cluster.wire import Struct
from bayplan.model import requirements
from bayplan.model.nodes import REGION, ZONE

OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
OLD_REGION = "failure-domain.beta.kubernetes.io/region"
_MANAGED = "managed"  # the only kind of Azure disks that the driver knows


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plug-in of Kubernetes itself, the driver that does its work now, and the driver's label."""

    name: str
    driver: str
    zone: str


EBS = Plugin("kubernetes.io/aws-ebs", "ebs.csi.aws.com", "topology.ebs.csi.aws.com/zone")
GCE = Plugin("kubernetes.io/gce-pd", "pd.csi.storage.gke.io", "topology.gke.io/zone")
AZURE = Plugin("kubernetes.io/azure-disk", "disk.csi.azure.com", "topology.disk.csi.azure.com/zone")
CINDER = Plugin(
    "kubernetes.io/cinder", "cinder.csi.openstack.org", "topology.cinder.csi.openstack.org/zone"
)
DRIVERS = {one.name: one.driver for one in (EBS, GCE, AZURE, CINDER)}


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


class Disks(Struct):
    """The fields that may name a disk, in a pod's volume and in a PersistentVolume's spec."""

    aws_elastic_block_store: _Ebs | None = None
    gce_persistent_disk: _Gce | None = None
    azure_disk: _Azure | None = None
    cinder: _Cinder | None = None


def named(disks: Disks) -> tuple[Plugin, str] | None:
    """A disk's plug-in and the disk as the driver knows it; None if there is no such disk."""
    if disks.aws_elastic_block_store is not None:
        return EBS, _ebs_id(disks.aws_elastic_block_store.volume_id)
    if disks.gce_persistent_disk is not None:
        return GCE, disks.gce_persistent_disk.pd_name
    if disks.azure_disk is not None:
        managed = (disks.azure_disk.kind or _MANAGED).lower() == _MANAGED
        return (AZURE, disks.azure_disk.uri) if managed else None
    if disks.cinder is not None:
        return CINDER, disks.cinder.volume_id
    return None


def _ebs_id(text: str) -> str:
    """Return `vol-1` for `aws://eu-west-1a/vol-1`."""
    return text.rpartition("/")[2] if text.startswith("aws://") else text


def moved(
    plugin: Plugin, terms: Sequence[requirements.Term], labels: dict[str, str]
) -> tuple[requirements.Term, ...]:
    """A volume's node terms by the driver's label; its zone label is used if they name no zone."""
    asked = {key for term in terms for key, _ in term.labels}
    old = ZONE not in asked and (OLD_ZONE in asked or (ZONE not in labels and OLD_ZONE in labels))
    zone = OLD_ZONE if old else ZONE
    renamed = {zone: plugin.zone, **({OLD_REGION: REGION} if old else {})}
    if zone in asked:
        return tuple(
            replace(term, labels=tuple((renamed.get(key, key), one) for key, one in term.labels))
            for term in terms
        )
    zones = {one.strip() for one in labels.get(zone, "").split("__")} - {""}
    if not zones:
        return tuple(terms)
    here = (plugin.zone, requirements.requirement("In", zones))
    if not terms:
        return (requirements.Term((here,)),)
    return tuple(replace(term, labels=(*term.labels, here), never=False) for term in terms)
