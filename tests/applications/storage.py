"""Volumes of this machine for claims of instances: made by a person, as static volumes are."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.kube import Kube

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Shelf:
    """Where a namespace's volumes are: folders below `folder`, under a class of their own."""

    kube: Kube
    namespace: str
    folder: Path

    def prepare(self) -> None:
        """Claims are bound at once, each to the volume that was made for it."""
        self.kube.create(
            "/apis/storage.k8s.io/v1/storageclasses",
            {
                "metadata": {"name": self.namespace},
                "provisioner": "kubernetes.io/no-provisioner",
                "volumeBindingMode": "Immediate",
            },
        )

    def volume(self, claim: str, label: str, value: str) -> Path:
        """A volume for the claim, on nodes where `label` has this value; its folder here."""
        folder = self.folder / claim
        folder.mkdir(parents=True)
        here = {"key": label, "operator": "In", "values": [value]}
        self.kube.create(
            "/api/v1/persistentvolumes",
            {
                "metadata": {"name": f"{self.namespace}-{claim}"},
                "spec": {
                    "capacity": {"storage": "1Gi"},
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": self.namespace,
                    "persistentVolumeReclaimPolicy": "Retain",
                    "hostPath": {"path": str(folder), "type": "Directory"},
                    "claimRef": {"namespace": self.namespace, "name": claim},
                    "nodeAffinity": {
                        "required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}
                    },
                },
            },
        )
        return folder

    def claims(self) -> Mapping[str, tuple[str, str]]:
        """Claim -> its uid and volume, as stored."""
        path = f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims"
        return {
            name: (one["metadata"]["uid"], one["spec"].get("volumeName", ""))
            for name, one in self.kube.listed(path).items()
        }

    def moved_in(self, manifest: dict[str, Any]) -> None:
        """The manifest's claims ask for these volumes."""
        manifest["metadata"]["namespace"] = self.namespace
        for template in manifest["spec"]["volumeClaimTemplates"]:
            template["spec"]["storageClassName"] = self.namespace
            template["spec"]["resources"]["requests"]["storage"] = "1Gi"
