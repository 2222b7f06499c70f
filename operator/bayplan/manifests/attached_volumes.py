"""Counts the volumes that nodes attach for pods, and finds claims whose volumes are not here.

Attaching is counted as a resource of nodes, as Kubernetes itself once did
(`attachable-volumes-aws-ebs`). So the plan, the bound and the reasons include it, also for volumes
that do not exist yet.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bayplan.cloud.attachable import ATTACHABLE
from bayplan.inputs import InputError
from bayplan.manifests.documents import Document, mapping
from bayplan.manifests.pods import encoded
from bayplan.model import resources
from bayplan.model.pods import Pod

_EBS = frozenset({"ebs.csi.aws.com", "kubernetes.io/aws-ebs"})
_KINDS = ("StorageClass", "PersistentVolume", "PersistentVolumeClaim", "CSINode")

Key = tuple[str, str]  # namespace and name of a claim


@dataclasses.dataclass(slots=True)
class Stored:
    """The facts about volumes in the input."""

    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)  # node -> CSINode's limit
    elsewhere: frozenset[Key] = frozenset()  # claims whose volumes no node has to attach
    lost: Mapping[Key, str] = dataclasses.field(default_factory=dict)  # claim -> missing volume

    @classmethod
    def of(cls, documents: Sequence[Document]) -> "Stored":
        bodies = {kind: [one for one in documents if one.kind == kind] for kind in _KINDS}
        if not any(bodies.values()):
            return cls()
        volumes = {one.name: mapping(one.body.get("spec")) for one in bodies["PersistentVolume"]}
        classes = {one.name: str(one.body.get("provisioner")) for one in bodies["StorageClass"]}
        apart: set[Key] = set()
        lost: dict[Key, str] = {}
        for one in bodies["PersistentVolumeClaim"]:
            spec = mapping(one.body.get("spec"))
            volume = spec.get("volumeName")
            if isinstance(volume, str) and volume and volume not in volumes:
                lost[one.namespace, one.name] = volume
            if not _is_ebs(spec, classes, volumes):
                apart.add((one.namespace, one.name))
        return cls(_limits(bodies["CSINode"]), frozenset(apart), lost)

    def attached(self, namespace: str, spec: Mapping[str, Any], *, alone: bool) -> int:
        """How many volumes a node attaches for a pod.

        Claims that several pods share count only if the pod is `alone`: they share the volume.
        """
        found = 0
        for one in spec.get("volumes") or ():
            claim = mapping(mapping(one).get("persistentVolumeClaim")).get("claimName")
            fresh = mapping(mapping(mapping(one).get("ephemeral")).get("volumeClaimTemplate"))
            if claim:
                found += alone and (namespace, claim) not in self.elsewhere
            elif fresh:
                found += _is_ebs(mapping(fresh.get("spec")), {}, {})
            elif mapping(one).get("awsElasticBlockStore"):
                found += alone
        return found

    def templates(self, document: Document) -> list[tuple[str, bool]]:
        """The claims of each pod of a StatefulSet: name, and whether a node attaches the volume."""
        found = mapping(document.body.get("spec")).get("volumeClaimTemplates")
        return [
            (
                str(mapping(mapping(one).get("metadata")).get("name", "")),
                _is_ebs(mapping(mapping(one).get("spec")), {}, {}),
            )
            for one in (found if isinstance(found, list) else ())
        ]


def _limits(documents: Iterable[Document]) -> dict[str, int]:
    found = {}
    for one in documents:
        limits = _decoded(one).value.limits
        known = [limits[driver] for driver in sorted(_EBS & limits.keys())]
        if known:
            found[one.name] = known[0]
    return found


def with_volumes(pod: Pod, count: int) -> Pod:
    if not count:
        return pod
    return dataclasses.replace(pod, request=pod.request + resources.Vector({ATTACHABLE: count}))


def _is_ebs(
    spec: Mapping[str, Any], classes: Mapping[str, str], volumes: Mapping[str, Any]
) -> bool:
    """Whether a claim is for a disk that a node attaches, which is EKS' default."""
    modes = spec.get("accessModes")
    if isinstance(modes, list) and {"ReadWriteMany", "ReadOnlyMany"} & {str(one) for one in modes}:
        return False
    volume = mapping(volumes.get(str(spec.get("volumeName"))))
    if volume:
        driver = mapping(volume.get("csi")).get("driver")
        return str(driver) in _EBS or "awsElasticBlockStore" in volume
    return classes.get(str(spec.get("storageClassName")), "ebs.csi.aws.com") in _EBS


def prebound(documents: Sequence[Document]) -> list[Document]:
    """The same documents; claims now name the volumes that are reserved for them."""
    kept: dict[Key, str] = {}  # claim -> volume
    for one in documents:
        claim = mapping(mapping(one.body.get("spec")).get("claimRef"))
        if one.kind == "PersistentVolume" and claim.get("name"):
            kept[str(claim.get("namespace") or "default"), str(claim["name"])] = one.name
    return [
        _bound(one, kept.get((one.namespace, one.name), ""))
        if one.kind == "PersistentVolumeClaim"
        else one
        for one in documents
    ]


def _bound(document: Document, volume: str) -> Document:
    spec = mapping(document.body.get("spec"))
    if not volume or spec.get("volumeName"):
        return document
    body = {**document.body, "spec": {**spec, "volumeName": volume}}
    return dataclasses.replace(document, body=body)


def _decoded(document: Document) -> Any:
    import msgspec

    from bayplan.cluster import decode, wire

    try:
        return decode.KINDS[document.kind].decode(msgspec.Raw(encoded(document.body)))
    except (wire.DecodeError, msgspec.DecodeError) as error:
        raise InputError(document.called, str(error)) from error
