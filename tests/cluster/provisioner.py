"""A small provisioner for tests: makes volumes where a claim says that its pod will be.

It does as those of real storage do. A claim of its class that has `volume.kubernetes.io/
selected-node` gets a PersistentVolume that only this node's zone can mount; Kubernetes' own
controller binds the two. On a node where it can make none it takes the annotation off again.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from tests.cluster.kube import Kube, RefusedError

SELECTED = "volume.kubernetes.io/selected-node"
ZONE = "topology.kubernetes.io/zone"


def claims(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"


def make_claim(
    name: str, storage_class: str, *, volume: str = "", mode: str = "ReadWriteOnce"
) -> dict[str, Any]:
    """A claim; `volume` is one that a person has made for it."""
    named = {"volumeName": volume} if volume else {}
    return {
        "metadata": {"name": name},
        "spec": {
            "accessModes": [mode],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": "1Gi"}},
            **named,
        },
    }


def make_volume(
    name: str, namespace: str, claim: str, *, mode: str = "ReadWriteOnce", **source: Any
) -> dict[str, Any]:
    """A volume that a person has made for a claim of the class `manual`."""
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": [mode],
            "storageClassName": "manual",
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": namespace, "name": claim},
            **(source or {"hostPath": {"path": f"/volumes/{name}"}}),
        },
    }


def make_mounting(name: str, namespace: str, claim: str, *, zone: str = "") -> dict[str, Any]:
    """A pod of nobody that mounts a claim, on the nodes of its namespace's pool."""
    selector = {"pool": namespace}
    if zone:
        selector["topology.kubernetes.io/zone"] = zone
    return {
        "metadata": {"name": name},
        "spec": {
            "schedulerName": "bayplan",
            "nodeSelector": selector,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            "containers": [
                {
                    "name": "main",
                    "image": "busybox:1.36",
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
        },
    }


class Provisioner:
    """Serves one namespace through a class of its own; `full` are nodes where it can make none."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self.storage_class = namespace
        self.full: set[str] = set()
        self.asked: list[tuple[str, str]] = []  # claim, node

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Work in a thread of its own until the block ends; what it met with is raised then."""
        self._kube.create(
            "/apis/storage.k8s.io/v1/storageclasses",
            {
                "metadata": {"name": self.storage_class},
                "provisioner": "tests.bayplan.dev",
                "volumeBindingMode": "WaitForFirstConsumer",
                "reclaimPolicy": "Retain",
            },
        )
        stop = threading.Event()
        failures: list[Exception] = []

        def work() -> None:
            try:
                self._work(stop)
            except Exception as error:  # noqa: BLE001  told by who waits
                failures.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            # The stored end of its work wakes the watch.
            self._kube.create(claims(self._namespace), make_claim("end-of-work", "none"))
            thread.join(30)
            self._kube.delete(f"/apis/storage.k8s.io/v1/storageclasses/{self.storage_class}")
            assert not failures, failures

    def _work(self, stop: threading.Event) -> None:
        def met(found: Any) -> bool:
            for name, claim in found.items():
                self._serve(name, claim)
            return stop.is_set()

        while not stop.is_set():
            self._kube.until(claims(self._namespace), met, within=600)

    def _serve(self, name: str, claim: Any) -> None:
        """Once for each choice, though others write on the claim too; an older sight is refused."""
        about, spec = claim["metadata"], claim["spec"]
        node = about.get("annotations", {}).get(SELECTED, "")
        mine = spec.get("storageClassName") == self.storage_class
        if not (mine and node) or spec.get("volumeName"):
            return
        if self.asked[-1:] != [(name, node)]:
            self.asked.append((name, node))
        with contextlib.suppress(RefusedError):
            if node in self.full:
                patch = {
                    "resourceVersion": about["resourceVersion"],
                    "annotations": {SELECTED: None},
                }
                self._kube.patch(f"{claims(self._namespace)}/{name}", {"metadata": patch})
            else:
                self._kube.create("/api/v1/persistentvolumes", self._volume(name, claim, node))

    def _volume(self, name: str, claim: Any, node: str) -> dict[str, Any]:
        zone = self._kube.get(f"/api/v1/nodes/{node}")["metadata"]["labels"][ZONE]
        here = {"key": ZONE, "operator": "In", "values": [zone]}
        return {
            "metadata": {"name": f"pv-{claim['metadata']['uid']}"},
            "spec": {
                "capacity": claim["spec"]["resources"]["requests"],
                "accessModes": claim["spec"]["accessModes"],
                "storageClassName": self.storage_class,
                "persistentVolumeReclaimPolicy": "Retain",
                "hostPath": {"path": f"/volumes/{name}"},
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": self._namespace,
                    "name": name,
                    "uid": claim["metadata"]["uid"],
                },
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }
