"""The same pods on an identical cluster, placed by kube-scheduler with its default settings.

All of them are there at once, in the order in which they were made, and none ever ends: what is
compared is where each scheduler puts one set of pods, not how long they take.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from localcluster import Cluster, processes
from tools.demo import company, picture

_NAME = "demo-kube-scheduler"
_PODS = "/api/v1/namespaces/default/pods"
_PLACED_SECONDS = 60
_KEPT_OF_POD = (
    "containers", "nodeSelector", "affinity", "tolerations", "restartPolicy",
    "terminationGracePeriodSeconds",  # a container's preStop must fit into it
)  # fmt: skip


def placed(pods: Sequence[Mapping[str, Any]]) -> tuple[list[picture.Node], int]:
    """The nodes with these pods on them, and how many pods found no room."""
    with Cluster.start(_NAME, kwok=company.FAKE_NODES, scheduler=True) as cluster:
        ordered = sorted(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
        for pod in ordered:
            cluster.request("POST", _PODS, anew(pod))

        def decided() -> bool:
            return all(_is_decided(pod) for pod in cluster.request("GET", _PODS)["items"])

        what = f"kube-scheduler places {len(ordered)} pods"
        processes.wait_until(decided, what, within_seconds=_PLACED_SECONDS, every_seconds=0.3)
        stored = cluster.request("GET", _PODS)["items"]
        nodes = cluster.request("GET", "/api/v1/nodes")["items"]
        return picture.nodes(nodes, stored), picture.unplaced(stored)


def anew(pod: Mapping[str, Any]) -> dict[str, Any]:
    """A pod that asks for the same, belongs to nobody and has no node."""
    spec = {key: value for key, value in pod["spec"].items() if key in _KEPT_OF_POD}
    spec["containers"] = [_without_token(container) for container in spec["containers"]]
    metadata = pod["metadata"]
    kept = {"name": metadata["name"], "labels": metadata.get("labels", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": kept, "spec": spec}


def _without_token(container: Mapping[str, Any]) -> dict[str, Any]:
    """Without the account's token, which the API server mounts into every pod by itself."""
    own = copy.deepcopy(dict(container))
    own.pop("volumeMounts", None)
    return own


def _is_decided(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return bool(pod["spec"].get("nodeName")) or any(
        each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable"
        for each in conditions
    )
