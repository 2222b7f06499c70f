"""Random clusters with everything that a pod can say about placement, as an API server has them.

`cluster(seed)` is a mapping of lists: nodes, pods, namespaces, pvs and so on, whole objects with
uid and resourceVersion. `nodeSelector` is the operator's: nodes without its labels are not ours.
"""

import copy
from typing import Any

from tests.scheduler import devices, machines, podspecs, selectors, volumes
from tests.scheduler.dice import Dice

Cluster = dict[str, Any]

THEMES = (
    *("sums", "nodes", "taints", "ports", "affinity", "spread", "volumes", "daemons", "resize"),
    *("devices", "crowd"),
)
POOL = {"pool": "bayplan"}


def cluster(seed: int) -> Cluster:
    """The cluster of this seed. A few themes each, so that not every pod is refused everywhere."""
    dice = Dice(seed)
    themes = set(dice.some(THEMES, 5, 1))
    pools = dice.chance(0.25)
    nodes = machines.nodes(dice, troubled=dice.chance(0.3), pools=pools)
    found: Cluster = {"nodes": nodes, "pods": [], "namespaces": _namespaces(dice)}
    stored = volumes.Volumes()
    if "volumes" in themes:
        stored = volumes.volumes(dice, nodes)
    found |= stored.objects
    if "daemons" in themes:
        found["daemonSets"] = _daemonsets(dice)
    for index in range(dice.number(0, 10)):
        found["pods"].append(_running(dice, index, themes, stored, found))
    for index in range(dice.number(1, 6)):
        found["pods"] += _waiting(dice, index, themes, stored)
    if "devices" in themes:
        _devices(dice, found)
    if pools:
        found["nodeSelector"] = dict(POOL)
    stamp(found)
    for pod in found["pods"]:
        for claim in volumes.ephemeral_claims(dice, pod):
            found.setdefault("pvcs", []).append(claim)
    return stamp(found)


def stamp(found: Cluster) -> Cluster:
    """A uid and a resourceVersion on every object that lacks them."""
    version = 0
    for kind, bodies in found.items():
        for body in bodies if isinstance(bodies, list) else ():
            version += 1
            metadata = body["metadata"]
            parts = (kind, metadata.get("namespace", ""), metadata["name"])
            metadata.setdefault("uid", "uid-" + "-".join(part for part in parts if part))
            metadata.setdefault("resourceVersion", str(version))
    return found


def _namespaces(dice: Dice) -> list[dict[str, Any]]:
    found = []
    for name in selectors.NAMESPACES:
        labels = {"kubernetes.io/metadata.name": name}
        if dice.chance(0.7):
            labels["team"] = "b" if name == "team-b" else "a"
        if dice.chance(0.5):
            labels["env"] = dice.pick(("prod", "test"))
        found.append({"metadata": {"name": name, "labels": labels}})
    return found


def _namespace(dice: Dice) -> str:
    return "default" if dice.chance(0.75) else dice.pick(selectors.NAMESPACES)


def _devices(dice: Dice, found: Cluster) -> None:
    """Some of the pods that wait ask for devices."""
    found |= devices.devices(dice, found["nodes"])
    for pod in found["pods"]:
        mine = pod["metadata"]["namespace"] == "default" and "nodeName" not in pod["spec"]
        if mine and dice.chance(0.2):
            devices.claim(dice, pod, found["resourceClaims"])


def _labels(dice: Dice, themes: set[str]) -> dict[str, str]:
    """In a crowd most look alike, so that many rules meet on the same pods."""
    return {"app": "web"} if "crowd" in themes and dice.chance(0.7) else selectors.labels(dice)


def _running(
    dice: Dice,
    index: int,
    themes: set[str],
    stored: volumes.Volumes,
    found: Cluster,
) -> dict[str, Any]:
    """A pod with a node: of whomever, in whatever phase."""
    own = _labels(dice, themes)
    namespace = _namespace(dice)
    pod: dict[str, Any] = {
        "metadata": {"name": f"old-{index}", "namespace": namespace, "labels": own},
        "spec": podspecs.spec(dice, themes, own, small=dice.chance(0.8)),
        "status": {"phase": "Running"},
    }
    pod["spec"]["schedulerName"] = dice.pick(("bayplan", "default-scheduler"))
    where = dice.pick(found["nodes"])["metadata"]["name"] if dice.chance(0.97) else "gone"
    pod["spec"]["nodeName"] = where
    if dice.chance(0.12):
        pod["status"]["phase"] = dice.pick(("Succeeded", "Failed", "Pending", "Unknown"))
    if dice.chance(0.12):
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    if owner := _owner(dice, found, where):
        pod["metadata"]["ownerReferences"] = [owner]
    if stored.objects and dice.chance(0.5):
        pod["spec"]["volumes"] = volumes.mounts(dice, stored, namespace)
    if "resize" in themes and dice.chance(0.5):
        podspecs.resize(dice, pod)
    return pod


def _owner(dice: Dice, found: Cluster, node: str) -> dict[str, Any] | None:
    owner: dict[str, Any] = {"apiVersion": "apps/v1", "controller": True}
    daemonsets = found.get("daemonSets", ())
    if daemonsets and dice.chance(0.4):
        name = dice.pick(daemonsets)["metadata"]["name"]
        return owner | {"kind": "DaemonSet", "name": name, "uid": f"uid-daemonSets-default-{name}"}
    match dice.pick(("ReplicaSet", "ReplicaSet", "Job", "DaemonSet", "Node", "")):
        case "":
            return None
        case "Node":
            return owner | {"apiVersion": "v1", "kind": "Node", "name": node, "uid": node}
        case kind:
            return owner | {"kind": kind, "name": "owner", "uid": f"uid-of-{kind}"}


def _waiting(
    dice: Dice, index: int, themes: set[str], stored: volumes.Volumes
) -> list[dict[str, Any]]:
    """A few pods that are alike and have no node; some are not to be placed, or not by us."""
    own = _labels(dice, themes)
    namespace = _namespace(dice)
    spec = podspecs.spec(dice, themes, own)
    spec["schedulerName"] = "bayplan"
    if stored.objects and dice.chance(0.7):
        spec["volumes"] = volumes.mounts(dice, stored, namespace)
    if dice.chance(0.03):
        spec["schedulingGates"] = [{"name": "example.com/later"}]
    if dice.chance(0.03):
        spec["schedulerName"] = "default-scheduler"
    if dice.chance(0.02) and "resources" not in spec:
        asked = dice.pick(spec["containers"])["resources"]["requests"]
        asked["memory"] = dice.pick(("8Ei", "7Ei", "9223372036854775807"))
    priority = dice.pick((0, 0, 0, 10, -5))
    if priority:
        spec["priority"] = priority
    return [
        {
            "metadata": {"name": f"new-{index}-{number}", "namespace": namespace, "labels": own},
            "spec": copy.deepcopy(spec),
            "status": {"phase": "Pending"},
        }
        for number in range(dice.pick((1, 1, 1, 2, 3, 4)))
    ]


def _daemonsets(dice: Dice) -> list[dict[str, Any]]:
    """Most have their pods to come still: no such pod was asked for by name."""
    found = []
    for index in range(dice.number(1, 2)):
        spec: dict[str, Any] = {"containers": [podspecs.container(dice, "c", ports=False)]}
        if dice.chance(0.3):
            spec["nodeSelector"] = {"disk": "ssd"}
        metadata = {"name": f"daemon-{index}", "namespace": "default"}
        found.append({"metadata": metadata, "spec": {"template": {"spec": spec}}})
    return found
