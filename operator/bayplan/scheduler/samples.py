"""What is known of a template's pods without asking: a sample of them, and its defaults.

What the API server adds to every pod by rule (ports of the host's network, `matchLabelKeys`,
LimitRanges, priorities, two tolerations) follows from the template, the namespace and the classes.
What a RuntimeClass, a webhook or another plugin adds does not: after a restart, a fingerprint of
the answer shows whether there were such additions.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.api import kinds, names, placement_rules, pod_builder
from bayplan.api.resource import Resource
from bayplan.model.pods import Pod, Toleration
from bayplan.scheduler import per_task_labels

_FINGERPRINT = 10  # characters

# Plugin DefaultTolerationSeconds. Nodes with these taints take nothing new anyway.
_PASSING = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_NO_EXECUTE = "NoExecute"


def sample(
    resource: Resource, blueprint: pod_builder.Blueprint, template_hash: str
) -> dict[str, Any]:
    """A pod like the resource's real pods; no real pod can have its name."""
    digest = hashlib.sha256(f"{resource.uid}/{template_hash}".encode()).hexdigest()[:10]
    return blueprint.pod(
        f"{resource.name[:40].rstrip('-.')}-{digest}-dry-run",
        labels={**placement_rules.peer_labels(resource, template_hash), **_per_task(resource)},
        annotations={},
        environment={},
    )


def _per_task(resource: Resource) -> dict[str, str]:
    """Placeholders for a run's own labels: a constraint may ask for pods with the same values."""
    return dict.fromkeys(names.PER_TASK, names.SAMPLE) if resource.kind in kinds.RUNS else {}


def question(body: Mapping[str, Any]) -> str:
    """A key for a sample: pods that are built alike ask the API server the same question."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def with_defaults(pod: Pod, priority: int) -> Pod:
    """A pod that was only built, as the API server stores it where nothing is configured."""
    known = pod.constraints.tolerations
    added = tuple(
        Toleration(key, "Exists", "", _NO_EXECUTE)
        for key in _PASSING
        if not any(one.key in {key, ""} and one.effect in {_NO_EXECUTE, ""} for one in known)
    )
    constraints = dataclasses.replace(pod.constraints, tolerations=(*known, *added))
    return dataclasses.replace(pod, constraints=constraints, priority=priority)


def like(expected: Pod, owned: Iterable[Pod], resource: Resource, template_hash: str) -> Pod:
    """As a stored pod of the same template; as expected where no stored pod can be used.

    Pods that have a place or a volume of their own say nothing about the others.
    """
    spec = resource.spec
    if placement_rules.caps(resource) or (spec is not None and spec.owns_volumes):
        return expected
    same = (one for one in owned if one.labels.get(names.TEMPLATE_HASH) == template_hash)
    found = min((one for one in same if not one.assumed), key=lambda one: one.key, default=None)
    if found is None:
        return expected
    return dataclasses.replace(
        expected,
        request=found.request,
        constraints=expected.constraints
        if per_task_labels.sampled(expected.constraints)  # in a stored pod they name its own run
        else found.constraints,
        priority=found.priority,
    )


def fingerprint(pod: Pod) -> str:
    """A hash of all that placing looks at except the request: equal for pods that may run alike."""
    constraints = pod.constraints
    tolerations = tuple(
        one
        for one in constraints.tolerations
        if not (one.key in _PASSING and one.effect == _NO_EXECUTE)
    )
    seen = (
        _canonical(dataclasses.replace(constraints, tolerations=tolerations)),
        sorted(pod.labels.items()),
        pod.priority,
    )
    return hashlib.sha256(repr(seen).encode("utf-8", "surrogatepass")).hexdigest()[:_FINGERPRINT]


def _canonical(value: Any) -> Any:
    """A value whose text is the same in every process; fields with their default are left out.

    So a field that a later version reads changes nothing for pods that do not use the field.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = [
            (field.name, _canonical(getattr(value, field.name)))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) != field.default
        ]
        return type(value).__name__, told
    if isinstance(value, frozenset | set):
        return sorted(map(repr, map(_canonical, value)))
    if isinstance(value, tuple | list):
        return [_canonical(one) for one in value]
    if isinstance(value, Mapping):
        return sorted((str(key), _canonical(one)) for key, one in value.items())
    return value
