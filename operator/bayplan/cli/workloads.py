"""What manifests ask for: how many pods of which kind, on which nodes they run already.

A workload's pods are read by the same decoder as the operator's. Every job counts as if it ran
now: a simulation shows the peak.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bayplan import units
from bayplan.cli import volumes
from bayplan.cli.manifests import Document, mapping
from bayplan.cli.problem import BadInput
from bayplan.model import node as nodes_
from bayplan.model import pod as pods_
from bayplan.model import resources, snapshot, state
from bayplan.model import workload as workload_

MOST_PODS = 1_000_000  # of one workload
REPLICATED = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
OURS = frozenset({"BatchJob", "LongService"})
# Kinds of other parts of Kubernetes that stand beside workloads and change no placement here.
# fmt: off
BESIDE = frozenset(
    {
        "APIService", "CSIDriver", "ClusterRole", "ClusterRoleBinding", "ConfigMap",
        "ControllerRevision", "CustomResourceDefinition", "EC2NodeClass", "EndpointSlice",
        "Endpoints", "Event", "HorizontalPodAutoscaler", "Ingress", "IngressClass",
        "Kustomization", "Lease", "LimitRange", "MutatingWebhookConfiguration", "Namespace",
        "NetworkPolicy", "NodeClaim", "NodePool", "PodDisruptionBudget", "PriorityClass",
        "ResourceQuota", "Role", "RoleBinding", "RuntimeClass", "Secret", "Service",
        "ServiceAccount", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
    }
)
# fmt: on


_SHAPES: Mapping[str, type] = {
    "containers": list,
    "initContainers": list,
    "tolerations": list,
    "topologySpreadConstraints": list,
    "volumes": list,
    "affinity": dict,
    "nodeSelector": dict,
    "overhead": dict,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """Pods of one workload that have no node yet. `title` is `Deployment default/web`."""

    title: str
    name: str
    count: int
    pod: pods_.Pod
    rules: workload_.PlacementRules = workload_.FREELY


@dataclasses.dataclass(slots=True)
class Inventory:
    """Everything that was read."""

    demands: list[Demand] = dataclasses.field(default_factory=list)
    nodes: list[nodes_.Node] = dataclasses.field(default_factory=list)
    running: list[pods_.Pod] = dataclasses.field(default_factory=list)
    # Also LongServices with mode PerNode: a new node gets its own.
    daemonsets: list[snapshot.DaemonSet] = dataclasses.field(default_factory=list)
    # Of claims, and of what nodes attach; of nothing else.
    volumes: state.State = dataclasses.field(default_factory=state.State)


def inventory(
    documents: Iterable[Document], scale: Mapping[str, int], *, lenient: bool = False
) -> Inventory:
    """Sort objects into demands, nodes and what runs. `scale` sets counts by workload name."""
    by_kind: dict[str, list[Document]] = {}
    for document in documents:
        by_kind.setdefault(_sort(document, lenient=lenient), []).append(document)
    found = Inventory(
        nodes=_nodes(by_kind.get("Node", ())),
        daemonsets=[_daemonset(document) for document in by_kind.get("DaemonSet", ())],
    )
    workloads = [one for one in by_kind.get("workload", ()) if not _controller(one)]
    _check_names(workloads, scale)
    living = _living(found, by_kind.get("Pod", ()))
    found.volumes = volumes.told(by_kind.get("volumes", ()))
    for document in workloads:
        count = scale.get(document.name, _count(document))
        title = f"{document.kind} {_namespace(document)}/{document.name}"
        missing = count - living.get(title, 0)
        _thin_out(found, title, -missing)
        if missing > 0:
            pod = _pod(document, _template(document))
            demand = Demand(title, document.name, missing, pod, _rules(document))
            found.demands.append(demand)
    known = found.volumes.claims
    found.running = [_mounting(pod, known) for pod in found.running]
    found.demands = [
        dataclasses.replace(one, pod=_mounting(one.pod, known)) for one in found.demands
    ]
    return found


def _mounting(pod: pods_.Pod, known: Mapping[tuple[str, str], pods_.Claim]) -> pods_.Pod:
    """The pod with those of its claims that the manifests hold."""
    claims = tuple(name for name in pod.constraints.claims if (pod.namespace, name) in known)
    if claims == pod.constraints.claims:
        return pod
    return dataclasses.replace(pod, constraints=dataclasses.replace(pod.constraints, claims=claims))


def _sort(document: Document, *, lenient: bool) -> str:
    """What an object is to a simulation; empty: nothing."""
    kind = document.kind
    spec = mapping(document.body.get("spec"))
    if kind == "LongService" and spec.get("mode") == "PerNode":
        return "DaemonSet" if spec.get("replicas") != 0 else ""
    if kind in REPLICATED | OURS | {"Job", "CronJob"}:
        return "workload"
    if kind in {"Node", "DaemonSet", "Pod"}:
        return kind
    if kind in volumes.KINDS:
        return "volumes"
    if kind in BESIDE or lenient:
        return ""
    raise BadInput(document.called, f"unknown kind {units.shown(kind)}")


def _living(found: Inventory, documents: Iterable[Document]) -> dict[str, int]:
    """Sort pods into those that run on a known node and those that want one.

    Returns how many of each workload there are. Without nodes a DaemonSet's pods are left out:
    each new node gets its own.
    """
    placed = {node.name for node in found.nodes}
    living: dict[str, int] = {}
    for document in documents:
        pod = _pod(document, document.body)
        if pod.terminal:
            continue
        title = owner_title(pod)
        living[title] = living.get(title, 0) + 1
        if pod.node in placed:
            found.running.append(pod)
        elif pod.owner is None or pod.owner.kind != "DaemonSet":
            waiting = dataclasses.replace(pod, node="")
            found.demands.append(Demand(title, pod.name, 1, waiting))
    return living


def without_nodes(found: Inventory, names: Iterable[str]) -> None:
    """Take nodes away; their pods wait for another, but for those that belong to the node."""
    gone = set(names)
    unknown = sorted(gone - {node.name for node in found.nodes})
    if unknown:
        raise BadInput("--remove-node", f"no node is called {units.shown(unknown[0])}")
    found.nodes = [node for node in found.nodes if node.name not in gone]
    leaving = [pod for pod in found.running if pod.node in gone]
    found.running = [pod for pod in found.running if pod.node not in gone]
    for pod in leaving:
        if not pod.resident:
            waiting = dataclasses.replace(pod, node="")
            found.demands.append(Demand(owner_title(pod), pod.name, 1, waiting))


def _check_names(workloads: list[Document], scale: Mapping[str, int]) -> None:
    unknown = sorted(scale.keys() - {document.name for document in workloads})
    if unknown:
        raise BadInput("--scale", f"no workload is called {units.shown(unknown[0])}")


def _nodes(documents: Iterable[Document]) -> list[nodes_.Node]:
    nodes: dict[str, nodes_.Node] = {}
    for document in documents:
        node = _node(document)
        if node.name in nodes:
            raise BadInput(document.called, "stands in the input twice")
        nodes[node.name] = node
    return list(nodes.values())


def _thin_out(found: Inventory, title: str, surplus: int) -> None:
    """Take the last pods of a workload that was scaled down off their nodes."""
    for pod in sorted(found.running, key=lambda pod: pod.name, reverse=True):
        if surplus <= 0:
            return
        if owner_title(pod) == title:
            found.running.remove(pod)
            surplus -= 1


def _count(document: Document) -> int:
    spec = mapping(document.body.get("spec"))
    match document.kind:
        case "Job":
            return _parallel(document, spec)
        case "CronJob":
            job = mapping(mapping(spec.get("jobTemplate")).get("spec"))
            return 0 if spec.get("suspend") is True else _parallel(document, job)
        case "BatchJob":
            tasks = _whole(document, "spec.tasks", spec.get("tasks"))
            return 0 if spec.get("suspend") is True else tasks
    return _whole(document, "spec.replicas", spec.get("replicas"))


def _parallel(document: Document, spec: Mapping[str, Any]) -> int:
    if spec.get("suspend") is True:
        return 0
    parallel = _whole(document, "parallelism", spec.get("parallelism"))
    return min(parallel, _whole(document, "completions", spec.get("completions", parallel)))


def _whole(document: Document, field: str, value: object) -> int:
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_PODS:
        raise BadInput(
            document.called,
            f"{field} is {units.shown(value)}; write a whole number from 0 to {MOST_PODS}",
        )
    return value


def _template(document: Document) -> dict[str, Any]:
    """The pod that this workload makes."""
    if document.kind in OURS:
        return _compiled(document)
    spec = mapping(document.body.get("spec"))
    if document.kind == "CronJob":
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    return mapping(spec.get("template"))


def _compiled(document: Document) -> dict[str, Any]:
    """Our own kinds go through the operator's own reading and building."""
    from bayplan.api import build, placing, resource  # noqa: PLC0415  pydantic: only when needed

    read = resource.resource(document.body)
    if read.problems:
        first = read.problems[0]
        raise BadInput(document.called, f"{first.field}: {first.message}")
    labels = placing.peer_labels(read, read.template_hash)
    return build.blueprint(read).pod(read.name, labels=labels, annotations={}, environment={})


def _rules(document: Document) -> workload_.PlacementRules:
    """The placement of our own kinds; others say all in their pods."""
    if document.kind not in OURS:
        return workload_.FREELY
    from bayplan.api import placing, resource  # noqa: PLC0415  pydantic: only when needed

    read = resource.resource(document.body)
    return placing.rules(read, read.template_hash)


def _pod(document: Document, body: Mapping[str, Any]) -> pods_.Pod:
    """One pod, its amounts checked; volumes of its own are taken to be where it lands."""
    from bayplan.cluster import pods, wire  # noqa: PLC0415  msgspec: only when needed

    spec = mapping(body.get("spec"))
    if not spec.get("containers"):
        raise BadInput(document.called, "no container in its pod template")
    _check_shape(document, spec)
    for where, stated in _amounts(spec):
        _check_amounts(document, where, stated)
    metadata = mapping(body.get("metadata"))
    named = {"name": document.name, "namespace": _namespace(document)}
    try:
        pod = pods.pod_from_dict({**body, "metadata": {**metadata, **named}})
    except wire.DecodeError as error:
        raise BadInput(document.called, str(error)) from error
    own = frozenset(pod.constraints.own)
    claims = tuple(name for name in pod.constraints.claims if name not in own)
    constraints = dataclasses.replace(pod.constraints, claims=claims, own=(), uid="")
    return dataclasses.replace(pod, constraints=constraints, nominated="", gated=False)


def _check_shape(document: Document, spec: Mapping[str, Any]) -> None:
    """Refuse what the operator's decoder, which must live with anything, would read leniently."""
    for field, kind in _SHAPES.items():
        value = spec.get(field)
        if value is not None and not isinstance(value, kind):
            raise BadInput(document.called, f"{field} is {units.shown(value)}, no {kind.__name__}")
        for index, one in enumerate(value if isinstance(value, list) else ()):
            if not isinstance(one, dict):
                raise BadInput(
                    document.called, f"{field}[{index}] is {units.shown(one)}, no object"
                )
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            stated = container.get("resources")
            for value in (stated, *mapping(stated).values()):
                if value is not None and not isinstance(value, dict | list):
                    where = f"{group}[{index}].resources"
                    raise BadInput(document.called, f"{where} holds {units.shown(value)}")


def _amounts(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            for kind, stated in mapping(mapping(container).get("resources")).items():
                if kind in {"requests", "limits"}:
                    yield f"{group}[{index}].resources.{kind}", mapping(stated)
    yield "overhead", mapping(spec.get("overhead"))


def _check_amounts(document: Document, where: str, stated: Mapping[str, Any]) -> None:
    for name, text in stated.items():
        if not isinstance(text, str | int) or isinstance(text, bool):
            raise BadInput(document.called, f"{where}.{name} is no amount: {units.shown(text)}")
        try:
            amount = units.milli(text) if name == resources.CPU else units.quantity(text)
        except units.QuantityError as error:
            raise BadInput(document.called, f"{where}.{name}: {error}") from error
        if amount < 0:
            raise BadInput(document.called, f"{where}.{name} is negative: {units.shown(text)}")


def _node(document: Document) -> nodes_.Node:
    """A node of a manifest is ready unless it says otherwise."""
    from bayplan.cluster import decode, wire  # noqa: PLC0415

    status = mapping(document.body.get("status"))
    taints = mapping(document.body.get("spec")).get("taints")
    if not isinstance(taints, list | None):
        raise BadInput(document.called, f"spec.taints is {units.shown(taints)}, not a list")
    _check_amounts(document, "status.allocatable", mapping(status.get("allocatable")))
    conditions = status.get("conditions")
    conditions = conditions if isinstance(conditions, list) else []
    silent = not any(mapping(one).get("type") == "Ready" for one in conditions)
    ready = [{"type": "Ready", "status": "True"}] if silent else []
    body = {**document.body, "status": {**status, "conditions": [*conditions, *ready]}}
    try:
        node = decode.node(_encoded(body))
    except wire.DecodeError as error:
        raise BadInput(document.called, str(error)) from error
    if not node.name or not node.allocatable:
        raise BadInput(document.called, "a node needs metadata.name and status.allocatable")
    return node


def _daemonset(document: Document) -> snapshot.DaemonSet:
    pod = _pod(document, _template(document))
    uid = mapping(document.body.get("metadata")).get("uid") or f"DaemonSet {document.name}"
    return snapshot.DaemonSet(pod.namespace, document.name, str(uid), pod.request, pod.constraints)


def _encoded(body: Mapping[str, Any]) -> bytes:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode(body)


def _namespace(document: Document) -> str:
    return str(mapping(document.body.get("metadata")).get("namespace") or "default")


def _controller(document: Document) -> bool:
    references = mapping(document.body.get("metadata")).get("ownerReferences")
    return isinstance(references, list) and any(
        mapping(one).get("controller") is True for one in references
    )


def owner_title(pod: pods_.Pod) -> str:
    """The workload that a pod belongs to, or itself; a ReplicaSet stands for its Deployment."""
    if pod.owner is None:
        return f"Pod {pod.namespace}/{pod.name}"
    kind, name = pod.owner.kind, pod.owner.name
    if kind == "ReplicaSet" and "pod-template-hash" in pod.labels:
        kind, name = "Deployment", name.rpartition("-")[0]
    return f"{kind} {pod.namespace}/{name}"
