"""The objects beside a service's pods: its Service and its PodDisruptionBudget, as they should be.

A stored object is compared by a digest of what we last applied, so nothing is written in a steady
cluster, and defaults that the API server fills in never look like a difference. An object of the
same name that is not ours is never overwritten. An object that a former service of the name has
left behind is taken over where it is wanted, and stays as it is where it is not.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bayplan.api import names, pod_builder
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.api.service import Service, ServicePort
from bayplan.model.intents import ApplyObject, DeleteObject
from bayplan.reconcile.view import View

SERVICE = "Service"
BUDGET = "PodDisruptionBudget"
KINDS = (SERVICE, BUDGET)


def wanted(
    service: Resource, spec: LongServiceSpec, healthy_minimum: int, *, in_place: bool
) -> dict[str, dict[str, Any]]:
    """The wanted children by kind; each carries its digest.

    `in_place`: an instance goes before its replacement comes.
    """
    bodies = {}
    if spec.service is not None:
        bodies[SERVICE] = _service(service, spec.service)
    minimum = budget_minimum(spec.disruption_budget, spec.replicas, healthy_minimum)
    if in_place and spec.disruption_budget != "None":
        minimum = healthy_minimum  # already lets one go: no replacement comes first
    if minimum > 0:
        bodies[BUDGET] = _budget(service, minimum)
    return bodies


def budget_minimum(mode: str, replicas: int, healthy_minimum: int) -> int:
    """How many healthy instances evictions must leave; 0 means no budget.

    `Auto` lets at least one instance go, so that autoscalers can empty nodes: they pass over a node
    whose budget allows no eviction. `Strict` waits for the replacements that a leaving node starts.
    """
    match mode:
        case "Strict":
            return healthy_minimum
        case "Auto" if replicas > 1:
            return max(1, healthy_minimum - 1)
        case _:
            return 0


def changes(
    service: Resource, view: View, bodies: Mapping[str, Mapping[str, Any]]
) -> tuple[tuple[ApplyObject, ...], tuple[DeleteObject, ...]]:
    """What to apply and what to delete so that the stored children match `bodies`."""
    apply, drop = [], []
    for kind in KINDS:
        child = view.children.get((kind, service.name))
        body = bodies.get(kind)
        if body is None:
            if child is not None and not child.orphaned:
                drop.append(DeleteObject(kind, service.namespace, child.name, child.uid))
        elif (kind, service.name) not in view.foreign and (
            child is None or child.digest != body["metadata"]["annotations"][names.DIGEST]
        ):
            apply.append(ApplyObject(body))
    return tuple(apply), tuple(drop)


def taken_by_others(
    service: Resource, view: View, bodies: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """Kinds of the children that cannot be made: somebody else's object has the name."""
    return tuple(kind for kind in KINDS if kind in bodies and (kind, service.name) in view.foreign)


def _service(service: Resource, spec: Service) -> dict[str, Any]:
    body: dict[str, Any] = {
        "type": spec.type,
        "selector": {names.SERVICE: names.owner_value(service.name)},
        "ports": [_port(one) for one in spec.ports],
    }
    # Set only when the spec asks for it: a Service of an earlier operator version stays as it is.
    if spec.headless:
        body["clusterIP"] = "None"
    if spec.load_balancer_class is not None:
        body["loadBalancerClass"] = spec.load_balancer_class
    if spec.publish_not_ready_addresses:
        body["publishNotReadyAddresses"] = True
    if spec.session_affinity != "None":
        body["sessionAffinity"] = spec.session_affinity
    return _child(service, "v1", SERVICE, body, spec.annotations)


def _port(port: ServicePort) -> dict[str, Any]:
    stated = {
        "name": port.name,
        "port": port.port,
        "protocol": port.protocol,
        "targetPort": port.port if port.target_port is None else port.target_port,
    }
    return stated if port.node_port is None else {**stated, "nodePort": port.node_port}


def _budget(service: Resource, minimum: int) -> dict[str, Any]:
    return _child(
        service,
        "policy/v1",
        BUDGET,
        {
            "minAvailable": minimum,
            "selector": {"matchLabels": {names.SERVICE: names.owner_value(service.name)}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
        {},
    )


def _child(
    service: Resource,
    api_version: str,
    kind: str,
    spec: Mapping[str, Any],
    annotations: Mapping[str, str],
) -> dict[str, Any]:
    text = json.dumps((service.uid, spec, annotations), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "namespace": service.namespace,
            "name": service.name,
            "labels": {names.SERVICE: names.owner_value(service.name)},
            "annotations": {**annotations, names.DIGEST: digest},
            "ownerReferences": [pod_builder.owner_reference(service)],
        },
        "spec": spec,
    }
