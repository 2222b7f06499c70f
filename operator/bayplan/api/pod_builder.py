"""Builds the pod to write from a resource and a task: pure code that returns a plain dict.

What the packer and the autoscalers must agree on is on the pod itself: requests, limits, owner,
annotations. The template's hash never covers what is compiled here, so that an upgrade of the
operator restarts nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bayplan.api import compiled_rules, kinds, names, placement_rules, request_defaults
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.model.limits import NO_LIMITS, Limits

# A run expected to last this long is protected from moves by autoscalers; docs/guide/drain.md.
PROTECTED_SECONDS = 600
_GRACE_SECONDS = 30  # Kubernetes' own default


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A template compiled once; `pod` adds what differs from task to task."""

    namespace: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner: Mapping[str, Any]
    finalizers: tuple[str, ...]
    spec: Mapping[str, Any]
    caps: tuple[placement_rules.Cap, ...] = ()
    peers: Mapping[str, str] = field(default_factory=dict)  # labels of pods that count together
    patterned: bool = False  # whether it depends on the known values of node labels

    def pod(
        self,
        name: str,
        *,
        labels: Mapping[str, str],
        annotations: Mapping[str, str],
        environment: Mapping[str, str],
        node: str = "",
        claims: Sequence[tuple[str, str]] = (),
        hostname: str = "",
        arguments: Sequence[str] | None = None,
        places: Sequence[int] = (),
    ) -> dict[str, Any]:
        """The pod to write. With `node` it is created on that node; without, it must be bound.

        `claims` are pairs (volume, claim) that only this pod uses; `hostname` too is its own.
        `arguments` replace those of the first container. `places` has one number for each of
        `caps`, below its number of places.

        The result shares what it can with the blueprint: write it, do not change it.
        """
        metadata: dict[str, Any] = {
            "namespace": self.namespace,
            "name": name,
            "labels": {**self.labels, **labels},
            "annotations": {**self.annotations, **annotations},
            "ownerReferences": [self.owner],
        }
        if self.finalizers:
            metadata["finalizers"] = list(self.finalizers)
        spec = dict(self.spec)
        if environment:
            for group in ("containers", "initContainers"):
                if group in spec:
                    spec[group] = [_with_environment(one, environment) for one in spec[group]]
        if arguments is not None:
            first, *others = spec["containers"]
            spec["containers"] = [{**first, "args": list(arguments)}, *others]
        if claims:
            spec["volumes"] = _mounted(spec["volumes"], claims)
        if hostname:
            spec["hostname"] = hostname
        for cap, number in zip(self.caps, places, strict=False):
            metadata["labels"][cap.label] = str(number)
            compiled_rules.add_place(spec, {**self.peers, cap.label: str(number)}, cap)
        if node:
            spec["nodeName"] = node
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def blueprint(
    resource: Resource,
    template: Mapping[str, Any] | None = None,
    *,
    revision: str = "",
    values: compiled_rules.Values = compiled_rules.nothing_known,
    limits: Limits = NO_LIMITS,
    timed: bool = True,
    default_pool: str = "",
) -> Blueprint:
    """Compile a resource's template, or another revision's `template` under its present rules.

    `revision` is that template's hash. `values` gives the known values of node labels, for
    patterns. `limits` are the namespace's. `timed` says whether autoscalers understand for how long
    a pod is to be left alone. `default_pool` names the Pool with `default: true`, whose nodes are
    tolerated by a resource that names no Pool. Raises ValueError if the resource's spec could not
    be parsed.
    """
    spec = resource.spec
    if spec is None:
        raise ValueError(f"{resource.key} has no readable spec")
    source = spec.template if template is None else template
    metadata = source.get("metadata") or {}
    strict = spec.placement.isolation == "Strict"
    pod_spec = request_defaults.filled(source.get("spec") or {}, limits, strict=strict)
    pod_spec["schedulerName"] = names.SCHEDULER
    kind = kinds.BY_NAME[resource.kind]
    pod_spec["restartPolicy"] = kind.restart_policy
    if isinstance(spec, LongServiceSpec) and spec.service is not None:
        pod_spec = _draining(pod_spec, spec.service.serves_on_seconds)
    if isinstance(spec, LongServiceSpec) and spec.volume_claim_templates:
        pod_spec = _with_identity(pod_spec, resource.name, spec)
    if isinstance(spec, BatchJobSpec) and spec.active_deadline_seconds is not None:
        pod_spec["activeDeadlineSeconds"] = spec.active_deadline_seconds
    revision = revision or resource.template_hash
    compiled_rules.compile_into(pod_spec, resource, revision, values)
    if default_pool and not placement_rules.asked_pool(resource):
        compiled_rules.tolerate_pool(pod_spec, default_pool)
    return Blueprint(
        namespace=resource.namespace,
        labels={**(metadata.get("labels") or {}), **placement_rules.own_labels(resource)},
        annotations={
            **_disruption(resource, timed=timed),
            **({names.PER_NODE: "true"} if placement_rules.per_node(resource) else {}),
            **(metadata.get("annotations") or {}),
        },
        owner=owner_reference(resource),
        finalizers=(names.RUN_TRACKING,) if kind.runs else (),
        spec=pod_spec,
        caps=placement_rules.caps(resource),
        peers=placement_rules.peer_labels(resource, revision),
        patterned=any(one.node for one in placement_rules.constraints(resource)),
    )


def _with_identity(pod_spec: Mapping[str, Any], name: str, spec: LongServiceSpec) -> dict[str, Any]:
    """The spec with a volume for each claim template, empty until a pod gets its own claim.

    A headless Service gives each instance a name in DNS: HOSTNAME.SERVICE.
    """
    own = {one.metadata.name for one in spec.volume_claim_templates}
    volumes = [one for one in pod_spec.get("volumes") or () if one.get("name") not in own]
    volumes += [{"name": one, "emptyDir": {}} for one in sorted(own)]
    found = {**pod_spec, "volumes": volumes}
    if spec.service is not None and spec.service.headless:
        found.setdefault("subdomain", name)
    return found


def _mounted(
    volumes: Sequence[Mapping[str, Any]], claims: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    names_ = dict(claims)
    return [
        {
            "name": one["name"],
            "persistentVolumeClaim": {"claimName": names_[one["name"]]},
        }
        if one.get("name") in names_
        else dict(one)
        for one in volumes
    ]


def owner_reference(resource: Resource) -> dict[str, Any]:
    """The ownerReference that ties a child to its resource for garbage collection."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": resource.kind,
        "name": resource.name,
        "uid": resource.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def protection(seconds: int, *, timed: bool) -> str:
    """How long Karpenter leaves a run alone: for `seconds` if `timed`, else while it exists."""
    return f"{seconds}s" if timed else "true"


def _disruption(resource: Resource, *, timed: bool) -> dict[str, str]:
    """Annotations for autoscalers, by `placement.disruption` and the expected duration."""
    spec = resource.spec
    if spec is None:
        return {}
    match spec.placement.disruption:
        case "Protect":
            return {names.DO_NOT_DISRUPT: "true", names.SAFE_TO_EVICT: "false"}
        case "Allow":
            return {names.SAFE_TO_EVICT: "true"}
    if isinstance(spec, BatchJobSpec):
        expected = spec.expected_duration_seconds or spec.active_deadline_seconds or 0
        if expected >= PROTECTED_SECONDS and not spec.interruptible:
            lasts = protection(expected, timed=timed)
            return {names.DO_NOT_DISRUPT: lasts, names.SAFE_TO_EVICT: "false"}
    return {names.SAFE_TO_EVICT: "true"}


def _draining(pod_spec: dict[str, Any], seconds: int) -> dict[str, Any]:
    """Keep serving for `seconds` after the decision to stop: endpoints and load balancers lag.

    The sleep counts against the grace period. A grace period that is not stated grows by the sleep;
    a stated one is the user's decision, and the sleep leaves one second of it for the signal. A
    container's own preStop stays.
    """
    stated = pod_spec.get("terminationGracePeriodSeconds")
    if isinstance(stated, int):
        seconds = min(seconds, stated - 1)
    if seconds < 1:
        return pod_spec
    sleep = {"sleep": {"seconds": seconds}}
    grace = stated if isinstance(stated, int) else _GRACE_SECONDS + seconds
    containers = [
        {**one, "lifecycle": {"preStop": sleep, **(one.get("lifecycle") or {})}}
        for one in pod_spec.get("containers") or ()
    ]
    return {**pod_spec, "containers": containers, "terminationGracePeriodSeconds": grace}


def _with_environment(
    container: Mapping[str, Any], environment: Mapping[str, str]
) -> dict[str, Any]:
    """Our variables replace the template's of the same name: a run must be able to trust them."""
    kept = [one for one in container.get("env") or [] if one.get("name") not in environment]
    ours = [{"name": name, "value": value} for name, value in environment.items()]
    return {**container, "env": [*kept, *ours]}
