"""Volumes, claims, classes and what nodes can attach."""

from dataclasses import dataclass, field
from typing import Any

from tests.scheduler import machines
from tests.scheduler.dice import Dice
from tests.scheduler.selectors import NAMESPACES

EBS, OTHER = "ebs.csi.aws.com", "csi.example.com"
ZONE = "topology.kubernetes.io/zone"
_OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
_BOUND = {"pv.kubernetes.io/bind-completed": "yes"}
_SELECTED = "volume.kubernetes.io/selected-node"


@dataclass(slots=True)
class Volumes:
    """Everything about volumes in one cluster; `claims` by namespace are there to be mounted."""

    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    claims: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, body: dict[str, Any]) -> None:
        self.objects.setdefault(kind, []).append(body)


def volumes(dice: Dice, nodes: list[dict[str, Any]]) -> Volumes:
    found = Volumes()
    names = [node["metadata"]["name"] for node in nodes]
    for body in _classes(dice):
        found.add("storageClasses", body)
    for name in names:
        if dice.chance(0.7):
            found.add("csiNodes", _csi_node(dice, name))
    _zones_of_ebs(found, nodes)
    for index in range(dice.number(1, 6)):
        _claim(dice, found, f"claim-{index}", names)
    if dice.chance(0.4):
        _attachments(dice, found, names)
    return found


def _classes(dice: Dice) -> list[dict[str, Any]]:
    waits = {"volumeBindingMode": "WaitForFirstConsumer"}
    zoned = [{"key": ZONE, "values": dice.some(machines.ZONES, 2, 1)}]
    bodies = [
        {"metadata": {"name": "later"}, "provisioner": EBS, **waits},
        {
            "metadata": {"name": "later-zoned"},
            "provisioner": OTHER,
            "allowedTopologies": [{"matchLabelExpressions": zoned}],
            **waits,
        },
        {"metadata": {"name": "now"}, "provisioner": EBS, "volumeBindingMode": "Immediate"},
        {"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner", **waits},
    ]
    return [body for body in bodies if dice.chance(0.95)]


def _csi_node(dice: Dice, name: str) -> dict[str, Any]:
    drivers: list[dict[str, Any]] = []
    for driver in (EBS, OTHER):
        if dice.chance(0.7):
            one: dict[str, Any] = {"name": driver, "nodeID": name}
            if dice.chance(0.8):
                one["allocatable"] = {"count": dice.pick((0, 1, 1, 2, 3, 25))}
            drivers.append(one)
    # kube-scheduler takes EBS volumes of the old kind for the driver's where the node says so.
    migrated = [f"kubernetes.io/{one}" for one in ("aws-ebs", "gce-pd")]
    migrated = migrated if any(one["name"] == EBS for one in drivers) else migrated[1:]
    note = {"storage.alpha.kubernetes.io/migrated-plugins": ",".join(migrated)}
    return {"metadata": {"name": name, "annotations": note}, "spec": {"drivers": drivers}}


def _zones_of_ebs(found: Volumes, nodes: list[dict[str, Any]]) -> None:
    """The driver labels each node that it runs on with the zone, under a key of its own."""
    there = {
        one["metadata"]["name"]
        for one in found.objects.get("csiNodes", ())
        if any(driver["name"] == EBS for driver in one["spec"]["drivers"])
    }
    for node in nodes:
        labels = node["metadata"]["labels"]
        if node["metadata"]["name"] in there and ZONE in labels:
            labels["topology.ebs.csi.aws.com/zone"] = labels[ZONE]


def _claim(dice: Dice, found: Volumes, name: str, nodes: list[str]) -> None:
    namespace = "default" if dice.chance(0.7) else dice.pick(NAMESPACES)
    modes = [dice.pick(("ReadWriteOnce", "ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"))]
    body: dict[str, Any] = {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": modes, "resources": {"requests": {"storage": "1Gi"}}},
        "status": {"phase": "Pending"},
    }
    spec = body["spec"]
    match dice.pick(("bound",) * 6 + ("later",) * 4 + ("local", "now", "lost", "absent")):
        case "bound":
            volume = f"pv-{name}"
            spec |= {"volumeName": volume, "storageClassName": dice.pick(("later", "", "now"))}
            body["metadata"]["annotations"] = dict(_BOUND)
            body["status"]["phase"] = "Bound"
            reference = {
                "namespace": namespace,
                "name": name,
                "uid": f"uid-pvcs-{namespace}-{name}",
            }
            found.add("pvs", volume_of(dice, volume, reference, nodes, spec))
        case "later":
            spec["storageClassName"] = dice.pick(("later", "later-zoned"))
            if dice.chance(0.25):
                body["metadata"]["annotations"] = {_SELECTED: dice.pick([*nodes, "gone"])}
        case "local":
            spec["storageClassName"] = "local"
            for index in range(dice.number(0, 2)):
                found.add("pvs", _local(dice, f"local-{name}-{index}", nodes))
        case "now":
            spec["storageClassName"] = "now"
        case "lost":
            spec |= {"volumeName": "gone", "storageClassName": "later"}
            body["metadata"]["annotations"] = dict(_BOUND)
            body["status"]["phase"] = "Lost"
        case _:
            found.claims.setdefault(namespace, []).append(name)
            return
    if dice.chance(0.03):
        body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    found.add("pvcs", body)
    found.claims.setdefault(namespace, []).append(name)


def volume_of(
    dice: Dice, name: str, claim: dict[str, str], nodes: list[str], spec: dict[str, Any]
) -> dict[str, Any]:
    """A bound PersistentVolume: bound to zones or nodes by affinity, by labels, or to none."""
    body: dict[str, Any] = {
        "metadata": {"name": name, "labels": {}},
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": "1Gi"},
            "storageClassName": spec.get("storageClassName", ""),
            "claimRef": {"kind": "PersistentVolumeClaim", **claim},
        },
        "status": {"phase": "Bound"},
    }
    match dice.pick(("csi", "csi", "csi", "other", "ebs", "nfs")):
        case "csi":
            handle = f"vol-{name}" if dice.chance(0.9) else "vol-shared"
            body["spec"]["csi"] = {"driver": EBS, "volumeHandle": handle}
        case "other":
            body["spec"]["csi"] = {"driver": OTHER, "volumeHandle": f"h-{name}"}
        case "ebs":
            body["spec"]["awsElasticBlockStore"] = {"volumeID": f"vol-{name}"}
        case _:
            body["spec"]["nfs"] = {"server": "s", "path": "/"}
    where = dice.pick(("zone", "zone", "label", "node", "anywhere"))
    if "awsElasticBlockStore" in body["spec"]:
        where = "zone"  # there is none without
    if where == "label":
        key = ZONE if dice.chance(0.8) else _OLD_ZONE
        body["metadata"]["labels"][key] = dice.pick((*machines.ZONES, "z1__z2"))
    elif where != "anywhere":
        key, values = (ZONE, list(machines.ZONES))
        if where == "node":
            key, values = "kubernetes.io/hostname", nodes
        body["spec"]["nodeAffinity"] = _affinity(key, dice.some(values, 2, 1))
    return body


def _affinity(key: str, values: list[str]) -> dict[str, Any]:
    expression = {"key": key, "operator": "In", "values": values}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def _local(dice: Dice, name: str, nodes: list[str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": dice.pick(("500Mi", "1Gi", "5Gi"))},
            "storageClassName": "local",
            "local": {"path": "/mnt"},
            "nodeAffinity": _affinity("kubernetes.io/hostname", [dice.pick(nodes)]),
        },
        "status": {"phase": "Available"},
    }


def _attachments(dice: Dice, found: Volumes, nodes: list[str]) -> None:
    for index, volume in enumerate(found.objects.get("pvs", ())):
        if "csi" in volume["spec"] and dice.chance(0.5):
            body = {
                "metadata": {"name": f"attached-{index}"},
                "spec": {
                    "attacher": volume["spec"]["csi"]["driver"],
                    "nodeName": dice.pick(nodes),
                    "source": {"persistentVolumeName": volume["metadata"]["name"]},
                },
                "status": {"attached": True},
            }
            found.add("volumeAttachments", body)


def provisioned(
    dice: Dice, claim: dict[str, Any], node: dict[str, Any], driver: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a provisioner makes of a claim for the node that was chosen: volume, bound claim."""
    name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
    labels = node["metadata"].get("labels", {})
    volume: dict[str, Any] = {
        "metadata": {
            "name": f"made-{namespace}-{name}",
            "uid": f"uid-made-{namespace}-{name}",
            "resourceVersion": "1",
        },
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": "1Gi"},
            "storageClassName": claim["spec"]["storageClassName"],
            "csi": {"driver": driver, "volumeHandle": f"made-{namespace}-{name}"},
            "claimRef": {
                "kind": "PersistentVolumeClaim",
                "namespace": namespace,
                "name": name,
                "uid": claim["metadata"]["uid"],
            },
        },
        "status": {"phase": "Bound"},
    }
    if ZONE in labels and dice.chance(0.8):
        volume["spec"]["nodeAffinity"] = _affinity(ZONE, [labels[ZONE]])
    metadata = claim["metadata"]
    annotations = {**metadata.get("annotations", {}), **_BOUND}
    bound = {
        **claim,
        "metadata": {**metadata, "annotations": annotations},
        "spec": {**claim["spec"], "volumeName": volume["metadata"]["name"]},
        "status": {"phase": "Bound"},
    }
    return volume, bound


def mounts(dice: Dice, found: Volumes, namespace: str) -> list[dict[str, Any]]:
    """The volumes of a pod's spec; claims that Kubernetes makes are `ephemeral`."""
    mounted: list[dict[str, Any]] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}}
        for name in dice.some(found.claims.get(namespace, []), 2)
    ]
    if dice.chance(0.15):
        disk = {"volumeID": dice.pick(("vol-a", "vol-b")), "fsType": "ext4"}
        disk |= {"readOnly": True} if dice.chance(0.3) else {}
        mounted.append({"name": "disk", "awsElasticBlockStore": disk})
    if dice.chance(0.08):
        disk = {"pdName": dice.pick(("pd-a", "pd-b"))}
        disk |= {"readOnly": True} if dice.chance(0.5) else {}
        mounted.append({"name": "pd", "gcePersistentDisk": disk})
    if dice.chance(0.05):
        mounted.append(
            {
                "name": "iscsi",
                "iscsi": {"iqn": "iqn.2015-02.example.com:a", "targetPortal": "t", "lun": 0},
            }
        )
    if dice.chance(0.15):
        wanted = {"accessModes": ["ReadWriteOnce"], "storageClassName": "later"}
        template = {"spec": wanted | {"resources": {"requests": {"storage": "1Gi"}}}}
        mounted.append({"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}})
    if dice.chance(0.2):
        mounted.append({"name": "empty", "emptyDir": {}})
    return mounted


def ephemeral_claims(dice: Dice, pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The claims that the ephemeral volume controller has made for a pod, mostly."""
    found = []
    placed = "nodeName" in pod["spec"]
    for volume in pod["spec"].get("volumes", ()):
        if "ephemeral" not in volume or dice.chance(0.1):
            continue
        metadata = pod["metadata"]
        name = f"{metadata['name']}-{volume['name']}"
        owner = {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": metadata["name"],
            "uid": metadata["uid"] if placed or dice.chance(0.9) else "another",
            "controller": True,
        }
        wanted = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
        found.append(
            {
                "metadata": {
                    "name": name,
                    "namespace": metadata["namespace"],
                    "ownerReferences": [owner],
                },
                "spec": dict(wanted),
                "status": {"phase": "Pending"},
            }
        )
    return found
