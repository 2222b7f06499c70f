"""What a pod requests and where it may run, from its spec.

The request follows Kubernetes' own sum (component-helpers, resource.PodRequests): the sum of all
containers, or the request of any init container with the sidecars started before it, if that is
more; pod-level resources instead where stated; overhead on top. If a container's status names its
resources (it may be resized in place), the larger of the wanted and the given amounts counts; only
the given amount counts if its node can never give more. `pods: 1` is added. Pods with the same
request, or with the same constraints, share one object: readings are looked up by their bytes.
"""

import functools
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from bayplan.cluster import podports, podvolumes, wire
from bayplan.cluster.wire import Struct
from bayplan.model import requirements, resources
from bayplan.model.pods import Constraints, HostPort, PodTerm, Spread, Toleration

# ---- as on the wire ---------------------------------------------------------------------------


class _Container(Struct):
    name: str = ""
    resources: Raw = Raw()
    ports: Raw = Raw()
    restart_policy: str | None = None
    liveness_probe: Raw = Raw()
    startup_probe: Raw = Raw()

    @property
    def is_ended_by_probes(self) -> bool:
        """Whether its kubelet ends it when a probe fails."""
        probes = self.liveness_probe, self.startup_probe
        return any(bytes(probe) not in {b"", b"null"} for probe in probes)


class PodSpec(Struct):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = None
    overhead: Raw = Raw()
    resources: Raw = Raw()
    node_name: str | None = None
    scheduler_name: str | None = None
    host_network: bool | None = None
    priority: int | None = None
    node_selector: Raw = Raw()
    affinity: Raw = Raw()
    tolerations: Raw = Raw()
    topology_spread_constraints: Raw = Raw()
    volumes: list[podvolumes.Volume] | None = None
    resource_claims: list[Raw] | None = None
    scheduling_gates: list[Raw] | None = None
    readiness_gates: Raw = Raw()


class Waiting(Struct):
    reason: str | None = None
    message: str | None = None


class Running(Struct):
    started_at: str | None = None


class Terminated(Struct):
    exit_code: int = 0
    reason: str | None = None
    message: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class State(Struct):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct):
    name: str = ""
    restart_count: int = 0
    state: State | None = None
    last_state: State | None = None
    allocated_resources: Raw = Raw()
    resources: Raw = Raw()


class Condition(Struct):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class PodStatus(Struct):
    phase: str | None = None
    reason: str | None = None
    message: str | None = None
    nominated_node_name: str | None = None
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


# ---- what it asks for -------------------------------------------------------------------------

# A container's wishes: resources, then allocatedResources and resources of its status.
_Wish = tuple[bytes, bytes, bytes]


def request(
    spec: PodSpec, status: PodStatus | None = None, resizing: Condition | None = None
) -> resources.Vector:
    """What a pod requests; one object for all pods with the same request.

    `resizing` is the condition PodResizePending.
    """
    given: dict[str, tuple[bytes, bytes]] = {}
    if status is not None:
        for group in (status.container_statuses, status.init_container_statuses):
            for one in group or ():
                if bytes(one.resources) not in _ABSENT:
                    given[one.name] = bytes(one.allocated_resources), bytes(one.resources)
    inits = spec.init_containers or ()
    ends = [one.name for one in inits if one.restart_policy != "Always"] if given else ()
    for name in ends:  # a container that runs once is never resized
        given.pop(name, None)
    return _request(
        _wishes(spec.containers, given),
        _wishes(spec.init_containers, given),
        tuple(one.restart_policy == "Always" for one in inits),
        bytes(spec.overhead),
        bytes(spec.resources),
        resizing is not None and resizing.reason == "Infeasible",
    )


_ABSENT = (b"", b"null")
_NOTHING_GIVEN = (b"", b"")


def _wishes(
    containers: list[_Container] | None, given: Mapping[str, tuple[bytes, bytes]]
) -> tuple[_Wish, ...]:
    return tuple(
        (bytes(one.resources), *given.get(one.name, _NOTHING_GIVEN)) for one in containers or ()
    )


@functools.lru_cache(maxsize=4096)
def _request(  # noqa: PLR0917  the key of a cache
    containers: tuple[_Wish, ...],
    inits: tuple[_Wish, ...],
    sidecars: tuple[bool, ...],
    overhead: bytes,
    whole: bytes,
    infeasible: bool,
) -> resources.Vector:
    total = resources.NOTHING
    for wish in containers:
        total = total + _wanted(wish, infeasible)
    started = most = resources.NOTHING  # sidecars so far; the most that any init step needs
    for wish, sidecar in zip(inits, sidecars, strict=True):
        wanted = _wanted(wish, infeasible)
        if sidecar:
            total = total + wanted
            started = started + wanted
            most = most | started
        else:
            most = most | (wanted + started)
    total = total | most
    if whole:
        asked = frozenset(name for one in (*containers, *inits) for name in _named(one[0]))
        total = resources.Vector({**total, **_stated(whole, asked)})
    total = total + wire.vector(overhead)
    within = {name: min(amount, resources.MOST) for name, amount in total.items()}
    return resources.Vector({**within, resources.PODS: 1})


class _Resources(Struct):
    requests: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None


@functools.lru_cache(maxsize=4096)
def _requests(raw: bytes) -> resources.Vector:
    """Requests; a limit is used for a request that is absent (the API server's default)."""
    found = _read_resources(raw)
    return resources.Vector(wire.amounts({**(found.limits or {}), **(found.requests or {})}))


def _read_resources(raw: bytes) -> _Resources:
    try:
        return wire.read(raw, _Resources) if raw and raw != b"null" else _Resources()
    except wire.DecodeError as error:
        wire.complain("resources of a container", error)
        return _Resources()


def _wanted(wish: _Wish, infeasible: bool) -> resources.Vector:
    stated, allocated, running = wish
    if not running:  # the kubelet has not reported yet what it gave
        return _requests(stated)
    given = wire.vector(allocated) | _running(running)
    return given if infeasible else _requests(stated) | given


@functools.lru_cache(maxsize=4096)
def _running(raw: bytes) -> resources.Vector:
    """What a container runs with, by its status: requests only, never limits."""
    if not raw:
        return resources.NOTHING
    try:
        return resources.Vector(wire.amounts(wire.read(raw, _Resources).requests))
    except wire.DecodeError as error:
        wire.complain("resources of a container status", error)
        return resources.NOTHING


def _stated(raw: bytes, asked: frozenset[str]) -> dict[str, int]:
    """Pod-level resources: they replace the containers' sum.

    `asked` are the resources that containers ask for. If the pod as a whole has only a limit, its
    request is the containers' sum, or the limit if the containers ask for none (the API server's
    default, defaultPodRequests). For huge pages the request is always the limit.
    """
    found = _read_resources(raw)
    limits, requests = found.limits or {}, found.requests or {}
    counted = {
        name: of for name, of in limits.items() if name not in asked or name.startswith(_HUGE)
    }
    return {
        name: amount
        for name, amount in wire.amounts({**counted, **requests}).items()
        if name in {resources.CPU, resources.MEMORY} or name.startswith(_HUGE)
    }


_HUGE = "hugepages-"


@functools.lru_cache(maxsize=4096)
def _named(raw: bytes) -> frozenset[str]:
    """The resources that a container's requests or limits name, even with an amount of zero."""
    found = _read_resources(raw)
    return frozenset({**(found.limits or {}), **(found.requests or {})})


# ---- where it may run -------------------------------------------------------------------------


def constraints(
    spec: PodSpec, labels: bytes = b"", *, pinned: bool = False, stored_as: str = "", uid: str = ""
) -> Constraints:
    """Where a pod may run; one object for all pods that may run alike.

    `stored_as` and `uid` are its name and uid after it is stored: only then it has its own claims.
    """
    spread = bytes(spec.topology_spread_constraints)
    affinity = _aversion(bytes(spec.affinity)) if pinned else bytes(spec.affinity)
    mounts = podvolumes.mounts(spec.volumes, stored_as)
    return _constraints(
        bytes(spec.node_selector),
        affinity,
        bytes(spec.tolerations),
        spread,
        podports.host_ports(
            [bytes(one.ports) for one in (*(spec.containers or ()), *sidecars(spec))],
            host_network=bool(spec.host_network),
        ),
        mounts,
        uid if mounts.own else "",
        bool(spec.resource_claims),
        # Only constraints that read the pod's own labels differ from pod to pod.
        labels if b"matchLabelKeys" in spread or b"LabelKeys" in affinity else b"",
    )


def sidecars(spec: PodSpec) -> list[_Container]:
    return [one for one in spec.init_containers or () if one.restart_policy == "Always"]


@functools.lru_cache(maxsize=4096)
def _constraints(  # noqa: PLR0917  the key of a cache
    selector: bytes,
    affinity: bytes,
    tolerations: bytes,
    spread: bytes,
    host_ports: tuple[HostPort, ...],
    mounts: podvolumes.Mounts,
    uid: str,
    devices: bool,
    labels: bytes,
) -> Constraints:
    required, preferred, together, apart = _affinity(
        affinity, labels if b"LabelKeys" in affinity else b""
    )
    return Constraints(
        selector=tuple(sorted(wire.texts(selector).items())),
        affinity=required,
        preferred=preferred,
        tolerations=_tolerations(tolerations),
        host_ports=host_ports,
        pod_affinity=together,
        pod_anti_affinity=apart,
        spread=_spread(spread, labels),
        claims=mounts.claims,
        own=mounts.own,
        uid=uid,
        disks=mounts.disks,
        late=mounts.late,
        devices=devices,
    )


class _Toleration(Struct):
    key: str | None = None
    operator: str | None = None
    value: str | None = None
    effect: str | None = None


@functools.lru_cache(maxsize=4096)
def _tolerations(raw: bytes) -> tuple[Toleration, ...]:
    return tuple(
        Toleration(one.key or "", one.operator or "Equal", one.value or "", one.effect or "")
        for one in wire.part(raw, list[_Toleration]) or ()
    )


class _Preferred(Struct):
    weight: int = 0
    preference: wire.NodeTerm = msgspec.field(default_factory=wire.NodeTerm)


class _NodeSelector(Struct):
    node_selector_terms: list[wire.NodeTerm] | None = None


class _NodeAffinity(Struct):
    required: _NodeSelector | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )
    preferred: list[_Preferred] | None = msgspec.field(
        default=None, name="preferredDuringSchedulingIgnoredDuringExecution"
    )


class _Apart(Struct):
    pod_anti_affinity: Raw = Raw()


def _aversion(affinity: bytes) -> bytes:
    """The part of an affinity that keeps other pods away: it concerns pods placed later."""
    if b"podAntiAffinity" not in affinity:
        return b""
    found = wire.part(affinity, _Apart)
    apart = bytes(found.pod_anti_affinity) if found is not None else b""
    return b'{"podAntiAffinity":' + apart + b"}" if apart else b""


class _PodTerm(Struct):
    label_selector: wire.LabelSelector | None = None
    topology_key: str = ""
    namespaces: list[str] | None = None
    namespace_selector: wire.LabelSelector | None = None
    match_label_keys: list[str] | None = None
    mismatch_label_keys: list[str] | None = None


class _WeightedPodTerm(Struct):
    weight: int = 0
    pod_affinity_term: _PodTerm = msgspec.field(default_factory=_PodTerm)


class _PodAffinity(Struct):
    required: list[_PodTerm] | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )
    preferred: list[_WeightedPodTerm] | None = msgspec.field(
        default=None, name="preferredDuringSchedulingIgnoredDuringExecution"
    )


class _Affinity(Struct):
    node_affinity: _NodeAffinity | None = None
    pod_affinity: _PodAffinity | None = None
    pod_anti_affinity: _PodAffinity | None = None


_Affine = tuple[
    tuple[requirements.Term, ...] | None,
    tuple[tuple[int, requirements.Term], ...],
    tuple[PodTerm, ...],
    tuple[PodTerm, ...],
]


@functools.lru_cache(maxsize=4096)
def _affinity(raw: bytes, labels: bytes) -> _Affine:
    """Required node terms, preferred node terms, pods to be near, pods to be apart from."""
    found = wire.part(raw, _Affinity) or _Affinity()
    nodes = found.node_affinity or _NodeAffinity()
    required = None
    if nodes.required is not None:
        terms = nodes.required.node_selector_terms or ()
        required = tuple(wire.node_term(term) for term in terms)
    preferred = tuple((one.weight, wire.node_term(one.preference)) for one in nodes.preferred or ())
    return (
        required,
        preferred,
        _pod_terms(found.pod_affinity, labels),
        _pod_terms(found.pod_anti_affinity, labels),
    )


def _pod_terms(found: _PodAffinity | None, labels: bytes) -> tuple[PodTerm, ...]:
    """`labels` are the pod's own: a term may ask for pods with the same or with other values."""
    if found is None:
        return ()
    own = wire.texts(labels)
    required = [_pod_term(one, 0, own) for one in found.required or ()]
    preferred = [_pod_term(one.pod_affinity_term, one.weight, own) for one in found.preferred or ()]
    return tuple(required + preferred)


def _pod_term(term: _PodTerm, weight: int, own: Mapping[str, str]) -> PodTerm:
    spaces = term.namespace_selector
    everywhere = spaces is not None and not (spaces.match_labels or spaces.match_expressions)
    return PodTerm(
        selector=wire.selector_term(
            term.label_selector,
            {key: own[key] for key in term.match_label_keys or () if key in own},
            {key: own[key] for key in term.mismatch_label_keys or () if key in own},
        ),
        topology_key=term.topology_key,
        namespaces=frozenset(term.namespaces or ()),
        all_namespaces=everywhere,
        namespace_selector=wire.selector_term(spaces) if spaces and not everywhere else None,
        weight=weight,
    )


class _Spread(Struct):
    topology_key: str = ""
    label_selector: wire.LabelSelector | None = None
    max_skew: int = 1
    min_domains: int | None = None
    when_unsatisfiable: str | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None
    match_label_keys: list[str] | None = None


@functools.lru_cache(maxsize=4096)
def _spread(raw: bytes, labels: bytes) -> tuple[Spread, ...]:
    """An empty selector counts no pod, unlike in an affinity.

    As in kubernetes/pkg/scheduler/framework/plugins/podtopologyspread (countPodsMatchSelector).
    """
    own = wire.texts(labels)
    return tuple(
        Spread(
            topology_key=one.topology_key,
            selector=_counted(
                wire.selector_term(
                    one.label_selector,
                    {key: own[key] for key in one.match_label_keys or () if key in own},
                )
            ),
            max_skew=one.max_skew,
            min_domains=one.min_domains or 1,
            hard=one.when_unsatisfiable != "ScheduleAnyway",
            honour_affinity=one.node_affinity_policy != "Ignore",
            honour_taints=one.node_taints_policy == "Honor",
        )
        for one in wire.part(raw, list[_Spread]) or ()
    )


def _counted(selector: requirements.Term) -> requirements.Term:
    return selector if selector.labels else requirements.Term(never=True)
