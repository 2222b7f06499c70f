"""Requests as data: one function for each request to the API server. Nothing is sent here.

Only `PATHS` holds the paths and group versions of every kind we touch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from bayplan.api import kinds, names
from bayplan.api.times import rfc3339
from bayplan.cluster import transport
from bayplan.cluster.transport import Request
from bayplan.model import intents
from bayplan.model.nodes import CLOSING

FIELD_MANAGER = "bayplan"

_OURS = f"/apis/{names.API_VERSION}"
# kind -> (prefix of its group version, plural, namespaced)
PATHS: Mapping[str, tuple[str, str, bool]] = {
    "Pod": ("/api/v1", "pods", True),
    "Node": ("/api/v1", "nodes", False),
    "Namespace": ("/api/v1", "namespaces", False),
    "Service": ("/api/v1", "services", True),
    "LimitRange": ("/api/v1", "limitranges", True),
    "ResourceQuota": ("/api/v1", "resourcequotas", True),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims", True),
    "PersistentVolume": ("/api/v1", "persistentvolumes", False),
    "StorageClass": ("/apis/storage.k8s.io/v1", "storageclasses", False),
    "CSINode": ("/apis/storage.k8s.io/v1", "csinodes", False),
    "VolumeAttachment": ("/apis/storage.k8s.io/v1", "volumeattachments", False),
    "PriorityClass": ("/apis/scheduling.k8s.io/v1", "priorityclasses", False),
    "DaemonSet": ("/apis/apps/v1", "daemonsets", True),
    "Deployment": ("/apis/apps/v1", "deployments", True),
    "ReplicaSet": ("/apis/apps/v1", "replicasets", True),
    "StatefulSet": ("/apis/apps/v1", "statefulsets", True),
    "Job": ("/apis/batch/v1", "jobs", True),
    "CronJob": ("/apis/batch/v1", "cronjobs", True),
    "ControllerRevision": ("/apis/apps/v1", "controllerrevisions", True),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets", True),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases", True),
    "Event": ("/apis/events.k8s.io/v1", "events", True),
    "NodePool": ("/apis/karpenter.sh/v1", "nodepools", False),
    "NodeClaim": ("/apis/karpenter.sh/v1", "nodeclaims", False),
    "EC2NodeClass": ("/apis/karpenter.k8s.aws/v1", "ec2nodeclasses", False),
    "NodeClass": ("/apis/eks.amazonaws.com/v1", "nodeclasses", False),
    "KWOKNodeClass": ("/apis/karpenter.kwok.sh/v1alpha1", "kwoknodeclasses", False),
    "Pool": (_OURS, "pools", False),
    **{kind.name: (_OURS, kind.plural, True) for kind in kinds.KINDS},
}

encode = msgspec.json.encode


def path(kind: str, namespace: str = "", name: str = "", part: str = "") -> str:
    """The path of a collection, or of one object, or of one of its subresources."""
    prefix, plural, namespaced = PATHS[kind]
    steps = [prefix]
    if namespaced and namespace:
        steps += ["namespaces", namespace]
    steps.append(plural)
    if name:
        steps.append(name)
    if part:
        steps.append(part)
    return "/".join(steps)


def api_version(kind: str) -> str:
    return PATHS[kind][0].removeprefix("/apis/").removeprefix("/api/")


def get(kind: str, namespace: str, name: str) -> Request:
    return Request("GET", path(kind, namespace, name), verb="get", kind=kind)


def list_chunk(
    kind: str,
    namespace: str = "",
    *,
    limit: int,
    token: str = "",
    partial: bool = False,
    selector: str = "",
    fields: str = "",
) -> Request:
    """One chunk of a list, over all namespaces if none is named; it shows what is stored now.

    A following chunk (`token`) shows the same moment as the first chunk. `partial`: metadata only.
    `selector` chooses by labels, `fields` by fields.
    """
    query = [("limit", str(limit))]
    if fields:
        query.append(("fieldSelector", fields))
    if selector:
        query.append(("labelSelector", selector))
    if token:
        query.append(("continue", token))
    return Request(
        "GET",
        path(kind, namespace),
        tuple(query),
        accept=transport.PARTIAL_LIST if partial else transport.JSON,
        verb="list",
        kind=kind,
        timeout_seconds=60,
    )


def watch(
    kind: str,
    version: str,
    namespace: str = "",
    *,
    seconds: int,
    partial: bool = False,
    fields: str = "",
) -> Request:
    """Everything that happens after `version`; the server closes after about `seconds`."""
    query = [
        ("watch", "1"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", version),
        ("timeoutSeconds", str(seconds)),
    ]
    if fields:
        query.append(("fieldSelector", fields))
    return Request(
        "GET",
        path(kind, namespace),
        tuple(query),
        accept=transport.PARTIAL if partial else transport.JSON,
        verb="watch",
        kind=kind,
    )


def create_pod(body: Mapping[str, Any]) -> Request:
    """The CREATE of a pod."""
    return Request(
        "POST",
        path("Pod", body["metadata"]["namespace"]),
        (("fieldManager", FIELD_MANAGER),),
        encode(body),
        verb="create",
        kind="Pod",
    )


def dry_run(body: Mapping[str, Any], *, strict: bool) -> Request:
    """A CREATE of a pod that stores nothing; the answer is the pod that would be stored.

    A strict request is refused (400) when a field is unknown; otherwise such a field is left out.
    """
    validation = ("fieldValidation", "Strict" if strict else "Ignore")
    return replace(
        create_pod(body),
        query=(("fieldManager", FIELD_MANAGER), ("dryRun", "All"), validation),
        verb="dry-run",
    )


def bind(wanted: intents.Bind) -> Request:
    """Say where a pod runs; 409 when it runs already, is another pod, or is being deleted."""
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": wanted.name, "namespace": wanted.namespace, "uid": wanted.uid},
        "target": {"apiVersion": "v1", "kind": "Node", "name": wanted.node},
    }
    return Request(
        "POST",
        path("Pod", wanted.namespace, wanted.name, "binding"),
        body=encode(body),
        verb="bind",
        kind="Pod",
    )


def delete_pod(wanted: intents.DeletePod) -> Request:
    return _delete("Pod", wanted.namespace, wanted.name, wanted.uid, grace=wanted.grace_seconds)


def delete_object(wanted: intents.DeleteObject) -> Request:
    return _delete(wanted.kind, wanted.namespace, wanted.name, wanted.uid)


def _delete(kind: str, namespace: str, name: str, uid: str, *, grace: int | None = None) -> Request:
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": uid},
    }
    if grace is not None:
        body["gracePeriodSeconds"] = grace
    return Request(
        "DELETE", path(kind, namespace, name), body=encode(body), verb="delete", kind=kind
    )


def evict(namespace: str, name: str, uid: str) -> Request:
    """Ask for a pod's eviction, with its disruption budgets; a spent budget is a `Conflict`."""
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": uid}},
    }
    return Request(
        "POST",
        path("Pod", namespace, name, "eviction"),
        body=encode(body),
        verb="evict",
        kind="Pod",
    )


def release_pod(wanted: intents.ReleasePod) -> Request:
    """Remove our finalizer and no other: the strategic patch names what goes, not what stays."""
    body = {
        "metadata": {
            "uid": wanted.uid,
            "$deleteFromPrimitiveList/finalizers": [names.RUN_TRACKING],
        }
    }
    return Request(
        "PATCH",
        path("Pod", wanted.namespace, wanted.name),
        (("fieldManager", FIELD_MANAGER),),
        encode(body),
        transport.STRATEGIC_PATCH,
        verb="release",
        kind="Pod",
    )


def adopt_pod(wanted: intents.AdoptPod) -> Request:
    """Other owners stay: references are merged by uid. A second controller is refused."""
    metadata = {"uid": wanted.uid, "ownerReferences": [wanted.owner]}
    return Request(
        "PATCH",
        path("Pod", wanted.namespace, wanted.name),
        (("fieldManager", FIELD_MANAGER),),
        encode({"metadata": metadata}),
        transport.STRATEGIC_PATCH,
        verb="adopt",
        kind="Pod",
    )


def select_node(wanted: intents.SelectNode) -> Request:
    """Write on a claim the node for which its volume is to be made, as kube-scheduler does."""
    metadata = {"uid": wanted.uid, "annotations": {names.SELECTED_NODE: wanted.node}}
    return Request(
        "PATCH",
        path("PersistentVolumeClaim", wanted.namespace, wanted.claim),
        (("fieldManager", FIELD_MANAGER),),
        encode({"metadata": metadata}),
        transport.MERGE_PATCH,
        verb="select",
        kind="PersistentVolumeClaim",
    )


def create_claim(wanted: intents.CreateClaim) -> Request:
    return Request(
        "POST",
        path("PersistentVolumeClaim", wanted.body["metadata"]["namespace"]),
        (("fieldManager", FIELD_MANAGER),),
        encode(wanted.body),
        verb="create",
        kind="PersistentVolumeClaim",
    )


def create_node_claim(body: Mapping[str, Any]) -> Request:
    """The CREATE of an order for a node."""
    return Request(
        "POST",
        path("NodeClaim"),
        (("fieldManager", FIELD_MANAGER),),
        encode(body),
        verb="create",
        kind="NodeClaim",
    )


def taint_node(
    wanted: intents.TaintNode, taints: Sequence[Mapping[str, Any]], version: str
) -> Request:
    """Write a node's list of taints, which is written whole, if the node still has this version."""
    body = {
        "metadata": {"uid": wanted.uid, "resourceVersion": version},
        "spec": {"taints": taints},
    }
    return Request(
        "PATCH",
        path("Node", "", wanted.node),
        (("fieldManager", FIELD_MANAGER),),
        encode(body),
        transport.MERGE_PATCH,
        verb="taint",
        kind="Node",
    )


def close_node(wanted: intents.CloseNode) -> Request:
    """Write the annotation of a node that is to be given back, or take it off."""
    metadata = {"uid": wanted.uid, "annotations": {CLOSING: wanted.plan or None}}
    return Request(
        "PATCH",
        path("Node", "", wanted.node),
        (("fieldManager", FIELD_MANAGER),),
        encode({"metadata": metadata}),
        transport.MERGE_PATCH,
        verb="close",
        kind="Node",
    )


def price_deletion(wanted: intents.PriceDeletion) -> Request:
    """Write a pod's deletion cost, and beside it that the cost is ours; or take both off."""
    cost = str(wanted.cost) if wanted.cost is not None else None
    metadata = {"uid": wanted.uid, "annotations": {names.DELETION_COST: cost, names.PRICED: cost}}
    return Request(
        "PATCH",
        path("Pod", wanted.namespace, wanted.name),
        (("fieldManager", FIELD_MANAGER),),
        encode({"metadata": metadata}),
        transport.MERGE_PATCH,
        verb="price",
        kind="Pod",
    )


def own_claim(wanted: intents.OwnClaim) -> Request:
    """Other owners stay: references are merged by uid."""
    metadata = {"uid": wanted.uid, "ownerReferences": [wanted.owner]}
    return Request(
        "PATCH",
        path("PersistentVolumeClaim", wanted.namespace, wanted.name),
        (("fieldManager", FIELD_MANAGER),),
        encode({"metadata": metadata}),
        transport.STRATEGIC_PATCH,
        verb="own",
        kind="PersistentVolumeClaim",
    )


def mark_unschedulable(
    wanted: intents.MarkUnschedulable, since: int | None, version: str = ""
) -> Request:
    """Say in PodScheduled why a pod waits, if the pod still has this version.

    `since` is None for a pod that says so already, perhaps in other words: the transition time of a
    condition is that of its status.
    """
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": wanted.reason,
        "message": wanted.message,
        **({"lastTransitionTime": rfc3339(since)} if since is not None else {}),
    }
    status = {"conditions": [condition], "nominatedNodeName": wanted.held or None}
    metadata = {"uid": wanted.uid, **({"resourceVersion": version} if version else {})}
    body = {"metadata": metadata, "status": status}
    return Request(
        "PATCH",
        path("Pod", wanted.namespace, wanted.name, "status"),
        (("fieldManager", FIELD_MANAGER),),
        encode(body),
        transport.STRATEGIC_PATCH,
        verb="mark",
        kind="Pod",
    )


def write_status(
    key: intents.ResourceKey, version: str, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Request:
    """Make a custom resource's status equal to `new`, if it is still `old` at `version`."""
    kind, namespace, name = key
    body = {"metadata": {"resourceVersion": version}, "status": merge_patch(old, new)}
    return Request(
        "PATCH",
        path(kind, namespace, name, "status"),
        (("fieldManager", FIELD_MANAGER),),
        encode(body),
        transport.MERGE_PATCH,
        verb="status",
        kind=kind,
    )


def apply_object(wanted: intents.ApplyObject, uid: str = "") -> Request:
    """Server-side apply of a whole child. With a uid, only that very object is changed."""
    body = wanted.body
    metadata = body["metadata"]
    if uid:
        body = {**body, "metadata": {**metadata, "uid": uid}}
    return Request(
        "PATCH",
        path(body["kind"], metadata["namespace"], metadata["name"]),
        (("fieldManager", FIELD_MANAGER), ("force", "true")),
        encode(body),
        transport.APPLY,
        verb="apply",
        kind=body["kind"],
    )


def create_event(body: Mapping[str, Any]) -> Request:
    return Request(
        "POST",
        path("Event", body["metadata"]["namespace"]),
        body=encode(body),
        verb="create",
        kind="Event",
        timeout_seconds=10,
    )


def count_event(namespace: str, name: str, count: int, last_seen: str) -> Request:
    """Say that a stored Event has happened again; `last_seen` is a MicroTime."""
    return Request(
        "PATCH",
        path("Event", namespace, name),
        body=encode({"series": {"count": count, "lastObservedTime": last_seen}}),
        content_type=transport.MERGE_PATCH,
        verb="patch",
        kind="Event",
        timeout_seconds=10,
    )


def create_lease(body: Mapping[str, Any], seconds: float) -> Request:
    return Request(
        "POST",
        path("Lease", body["metadata"]["namespace"]),
        body=encode(body),
        verb="create",
        kind="Lease",
        timeout_seconds=seconds,
    )


def get_lease(namespace: str, name: str, seconds: float) -> Request:
    where = path("Lease", namespace, name)
    return Request("GET", where, verb="get", kind="Lease", timeout_seconds=seconds)


def write_lease(
    namespace: str, name: str, version: str, spec: Mapping[str, Any], seconds: float
) -> Request:
    """Write these fields, if the Lease still has this version: 409 otherwise."""
    return Request(
        "PATCH",
        path("Lease", namespace, name),
        body=encode({"metadata": {"resourceVersion": version}, "spec": spec}),
        content_type=transport.MERGE_PATCH,
        verb="patch",
        kind="Lease",
        timeout_seconds=seconds,
    )


def merge_patch(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that turns `old` into `new`; empty when they are equal.

    A patch cannot set a null, so a null in `new` means absence. Lists are replaced whole.
    """
    patch: dict[str, Any] = {
        key: None for key, value in old.items() if value is not None and new.get(key) is None
    }
    for key, value in new.items():
        before = old.get(key)
        if value is None:
            continue
        if isinstance(value, Mapping):
            if not isinstance(before, Mapping):
                patch[key] = merge_patch({}, value)
            elif inner := merge_patch(before, value):
                patch[key] = inner
        elif before is None or _canonical(before) != _canonical(value):
            patch[key] = value
    return patch


def _canonical(value: object) -> bytes:
    """The same bytes for equal JSON: a tuple equals a list, but 1 does not equal true."""
    return encode(value, order="deterministic")
