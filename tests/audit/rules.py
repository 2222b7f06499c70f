"""Whether a pod may be on a node, from Kubernetes' documentation; no code of Bayplan."""

import re
from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]

_CORDON = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def misplaced(pod: Object, node: Object) -> str:
    """Why this pod must not have been put on this node; empty when it may."""
    spec, metadata = pod["spec"], node["metadata"]
    labels = metadata.get("labels", {})
    for key, value in spec.get("nodeSelector", {}).items():
        if labels.get(key) != value:
            return f"node selector {key}={value}"
    required = (
        spec.get("affinity", {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution")
    )
    terms = required["nodeSelectorTerms"] if required else []
    if required and not any(_term(term, labels, metadata["name"]) for term in terms):
        return "node affinity"
    taints = list(node["spec"].get("taints", ()))
    if node["spec"].get("unschedulable"):
        taints.append(_CORDON)
    for taint in taints:
        hard = taint["effect"] in {"NoSchedule", "NoExecute"}
        if hard and not any(_tolerates(one, taint) for one in spec.get("tolerations", ())):
            return f"taint {taint['key']}"
    return ""


def ports(pod: Object) -> set[tuple[str, int, str]]:
    """(protocol, port, address) that this pod takes on its node."""
    return {
        (port.get("protocol", "TCP"), port["hostPort"], port.get("hostIP", ""))
        for container in pod["spec"]["containers"]
        for port in container.get("ports", ())
        if port.get("hostPort")
    }


def collide(one: set[tuple[str, int, str]], two: set[tuple[str, int, str]]) -> bool:
    anywhere = {"", "0.0.0.0", "::"}  # noqa: S104  compared, not bound
    return any(
        a[:2] == b[:2] and (a[2] == b[2] or a[2] in anywhere or b[2] in anywhere)
        for a in one
        for b in two
    )


def _term(term: Object, labels: Mapping[str, str], name: str) -> bool:
    expressions = term.get("matchExpressions", ())
    fields = term.get("matchFields", ())
    return bool(expressions or fields) and (
        all(_expression(one, labels) for one in expressions)
        and all(_expression(one, {"metadata.name": name}) for one in fields)
    )


def _expression(one: Object, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(one["key"]), one.get("values", [])
    match one["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    if value is None or not re.fullmatch(r"-?[0-9]+", value):
        return False
    limit = int(values[0])
    return int(value) > limit if one["operator"] == "Gt" else int(value) < limit


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint["key"]
    same = toleration.get("value", "") == taint.get("value", "")
    return bool(toleration.get("key") == taint["key"] and same)
