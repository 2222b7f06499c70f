"""Reads pods and nodes of manifests with the operator's own decoders, after admission's defaults.

The operator's decoders must accept anything; here a manifest that they would read leniently is
refused with an error of one line.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from bayplan import units
from bayplan.api import names
from bayplan.api.kinds import RUNS
from bayplan.inputs import InputError
from bayplan.manifests import kinds, published_schema
from bayplan.manifests.admission_defaults import Facts, check_amounts
from bayplan.manifests.documents import Document, mapping
from bayplan.model import daemonsets, snapshot
from bayplan.model.limits import Limits, merged
from bayplan.model.nodes import Node, with_former
from bayplan.model.pods import Pod
from bayplan.model.workloads import FREELY, PlacementRules

_SHAPES: Mapping[str, type] = {
    "containers": list,
    "initContainers": list,
    "tolerations": list,
    "topologySpreadConstraints": list,
    "volumes": list,
    "affinity": dict,
    "nodeSelector": dict,
    "overhead": dict,
    "resources": dict,
}


def template(document: Document, facts: Facts) -> dict[str, Any]:
    """The pod template of a workload."""
    if document.kind in kinds.OURS:
        return _compiled(document, facts)
    spec = mapping(document.body.get("spec"))
    if document.kind == "CronJob":
        spec = mapping(mapping(spec.get("jobTemplate")).get("spec"))
    return mapping(spec.get("template"))


def _compiled(document: Document, facts: Facts) -> dict[str, Any]:
    """Our own kinds go through the operator's own reading and building."""
    # pydantic is slow
    from bayplan.api import placement_rules, pod_builder
    from bayplan.api.resource import parse_resource

    read = parse_resource(document.body)
    if read.problems:
        first = read.problems[0]
        raise InputError(document.called, f"{first.field}: {first.message}")
    # On a cluster the definition's schema refuses such objects.
    stated = mapping(document.body.get("spec")).get("template")
    for fault in published_schema.faults(
        published_schema.POD_TEMPLATE, stated, ("spec", "template")
    ):
        if fault.shape:
            where = ".".join(map(str, fault.path))
            raise InputError(document.called, f"{where} {fault.message}")
    labels = placement_rules.peer_labels(read, read.template_hash)
    if document.kind in RUNS:
        labels[names.RUN] = names.SAMPLE  # a constraint may select pods of the same run
    blueprint = pod_builder.blueprint(
        read, limits=_limits(facts, document.namespace), default_pool=facts.default_pool
    )
    return blueprint.pod(read.name, labels=labels, annotations={}, environment={})


def _limits(facts: Facts, namespace: str) -> Limits:
    """The limits that the namespace's LimitRanges set before Bayplan's defaults."""
    from bayplan.cluster import policies, wire  # msgspec: only when needed

    found = []
    for one in sorted(facts.ranges.get(namespace, ()), key=lambda one: one.name):
        try:
            found.append(policies.limits_from_dict(_with_texts(one.body)))
        except wire.DecodeError as error:
            raise InputError(one.called, str(error)) from error
    return merged(found)


def _with_texts(body: Mapping[str, Any]) -> dict[str, Any]:
    """A LimitRange with amounts as texts, as the API server serves them."""
    items = mapping(body.get("spec")).get("limits")
    limits = [
        {
            part: {name: str(amount) for name, amount in stated.items()}
            if isinstance(stated, dict)
            else stated
            for part, stated in mapping(one).items()
        }
        for one in (items if isinstance(items, list) else ())
    ]
    return {"metadata": {"name": "limits"}, "spec": {"limits": limits}}


def rules(document: Document, revision: str) -> PlacementRules:
    """The placement of our own kinds, for pods of the template with this hash.

    Others say all in their pods.
    """
    if document.kind not in kinds.OURS:
        return FREELY
    from bayplan.api import placement_rules  # pydantic: only when needed
    from bayplan.api.resource import parse_resource  # pydantic: only when needed

    return placement_rules.rules(parse_resource(document.body), revision)


def stripped(pod: Pod, followed: PlacementRules) -> Pod:
    """The pod as the operator's packer looks at it, which follows the rules themselves."""
    if not followed.constraints:
        return pod
    from bayplan.api import compiled_rules  # pydantic: only when needed

    constraints = compiled_rules.stripped(pod.constraints, followed)
    return dataclasses.replace(pod, constraints=constraints)


def pod(document: Document, body: Mapping[str, Any], facts: Facts) -> Pod:
    """A pod as the API server would store it, with checked amounts.

    Raises RefusedError if the API server would refuse it.
    """
    from bayplan.cluster import pods, wire  # msgspec: only when needed

    spec = mapping(body.get("spec"))
    if not spec.get("containers"):
        raise InputError(document.called, "its pod template has no container")
    _check_shape(document, spec)
    for where, stated in _amounts(spec):
        check_amounts(document, where, stated)
    stored = facts.admitted(f"{document.kind} {document.name}", document.namespace, body)
    metadata = mapping(body.get("metadata"))
    named = {"name": document.name, "namespace": document.namespace}
    try:
        read = pods.pod_from_dict({**stored, "metadata": {**metadata, **named}})
    except wire.DecodeError as error:
        raise InputError(document.called, str(error)) from error
    own = frozenset(read.constraints.own)
    claims = tuple(name for name in read.constraints.claims if name not in own)
    constraints = dataclasses.replace(read.constraints, claims=claims, own=(), uid="")
    return dataclasses.replace(read, constraints=constraints, nominated="", gated=False)


def _check_shape(document: Document, spec: Mapping[str, Any]) -> None:
    """Refuse wrong types that the operator's decoder would read leniently."""
    for field, kind in _SHAPES.items():
        value = spec.get(field)
        if value is not None and not isinstance(value, kind):
            raise InputError(
                document.called, f"{field} is {units.shown(value)}, not a {kind.__name__}"
            )
        for index, one in enumerate(value if isinstance(value, list) else ()):
            if not isinstance(one, dict):
                raise InputError(
                    document.called, f"{field}[{index}] is {units.shown(one)}, not an object"
                )
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            stated = container.get("resources")
            for value in (stated, *mapping(stated).values()):
                if value is not None and not isinstance(value, dict | list):
                    where = f"{group}[{index}].resources"
                    raise InputError(document.called, f"{where} holds {units.shown(value)}")


def _amounts(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            for kind, stated in mapping(mapping(container).get("resources")).items():
                if kind in {"requests", "limits"}:
                    yield f"{group}[{index}].resources.{kind}", mapping(stated)
    for kind, stated in mapping(spec.get("resources")).items():
        if kind in {"requests", "limits"}:
            yield f"resources.{kind}", mapping(stated)
    yield "overhead", mapping(spec.get("overhead"))


def node(document: Document) -> Node:
    """A node of a manifest; it is ready unless the manifest says otherwise."""
    from bayplan.cluster import nodes, wire

    status = mapping(document.body.get("status"))
    taints = mapping(document.body.get("spec")).get("taints")
    if not isinstance(taints, list | None):
        raise InputError(document.called, f"spec.taints is {units.shown(taints)}, not a list")
    # The API server's default (SetDefaults_NodeStatus).
    allocatable = status.get("allocatable") or status.get("capacity")
    check_amounts(document, "status.allocatable", mapping(allocatable))
    conditions = status.get("conditions")
    conditions = conditions if isinstance(conditions, list) else []
    silent = not any(mapping(one).get("type") == "Ready" for one in conditions)
    ready = [{"type": "Ready", "status": "True"}] if silent else []
    stated = {**status, "allocatable": allocatable, "conditions": [*conditions, *ready]}
    body = {**document.body, "status": stated}
    try:
        read = nodes.node(encoded(body))
    except wire.DecodeError as error:
        raise InputError(document.called, str(error)) from error
    if not read.name or not read.allocatable:
        raise InputError(document.called, "a node needs metadata.name and status.allocatable")
    return dataclasses.replace(read, labels=with_former(read.labels))


def daemonset(document: Document, facts: Facts) -> snapshot.DaemonSet:
    """A workload with a pod on each node; its tolerations depend on who creates the pods."""
    made = template(document, facts)
    read = pod(document, made, facts)
    placement = rules(document, revision(read))
    read = stripped(read, placement)
    tolerations = read.constraints.tolerations
    if document.kind not in kinds.OURS:
        on_host = bool(mapping(made.get("spec")).get("hostNetwork"))
        tolerations = daemonsets.tolerations(tolerations, host_network=on_host)
    return snapshot.DaemonSet(
        read.namespace,
        document.name,
        daemonset_uid(document),
        read.request,
        dataclasses.replace(read.constraints, claims=(), tolerations=tolerations),
        read.priority,
        document.kind,
        placement,
    )


def revision(pod: Pod) -> str:
    """The hash of the template that a pod of ours was made from."""
    return pod.labels.get(names.TEMPLATE_HASH, "")


def daemonset_uid(document: Document) -> str:
    """A uid that is the same for the DaemonSet and its pods, even if the manifest has none."""
    return f"{document.kind} {document.namespace}/{document.name}"


def encoded(body: Mapping[str, Any]) -> bytes:
    import msgspec

    return msgspec.json.encode(body)
