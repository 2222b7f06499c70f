"""Turns a pod's bytes into a `Pod`: its owner, its node, its state."""

import functools
import sys
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from bayplan.api import kinds, names
from bayplan.cluster import hindrances, podspec, readiness, staying, wire
from bayplan.cluster.podspec import Condition, ContainerStatus, PodSpec, PodStatus, Terminated
from bayplan.cluster.wire import Struct
from bayplan.model import companions
from bayplan.model.pods import FRESH, Ending, Phase, Pod


class _Pod(Struct):
    metadata: wire.Metadata
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


# ---- as the scheduler sees it -----------------------------------------------------------------

_PHASES = {phase.value: phase for phase in Phase}
_OURS = f"{names.GROUP}/"
_READ = tuple(word.encode() for word in (_OURS, names.DELETION_COST, *staying.ANNOTATIONS))


def pod(raw: bytes | Raw) -> Pod:
    """Read one pod. Only our own annotations and its deletion cost are kept."""
    stored = wire.read(raw, _Pod)
    metadata, spec, status = stored.metadata, stored.spec, stored.status
    controller = wire.controller(metadata.owner_references)
    node = sys.intern(spec.node_name or "")
    conditions = {one.type: one for one in status.conditions or ()}
    ready = _true(conditions.get("Ready"))
    placed = _true(conditions.get("PodScheduled"))
    unscheduled = _false(conditions.get("PodScheduled"))
    disrupted = _true(conditions.get("DisruptionTarget"))
    created_at = wire.epoch(metadata.creation_timestamp) or 0
    placed_at = wire.epoch(placed.last_transition_time) if placed is not None else None
    given = _given(metadata.annotations)
    ours = controller is not None and controller.kind in kinds.BY_NAME
    stay = staying.stay(given, spec.volumes, ours=ours)
    lasts = stay.seconds if stay is not None else None
    labels = bytes(metadata.labels)
    return Pod(
        namespace=sys.intern(metadata.namespace or "default"),
        name=metadata.name,
        uid=metadata.uid or "",
        node=node,
        nominated=status.nominated_node_name or "",
        scheduler=sys.intern(spec.scheduler_name or "default-scheduler"),
        request=podspec.request(spec, status, conditions.get("PodResizePending")),
        # The affinity of a placed DaemonSet pod names its own node. Nobody reads it again, and
        # keeping an object for each node would cost what all templates together do not.
        constraints=podspec.constraints(
            spec,
            labels,
            pinned=bool(node and controller and controller.kind == "DaemonSet"),
            # Before a pod is stored (dry run, template) its own claims cannot exist.
            stored_as=metadata.name if metadata.resource_version else "",
            uid=metadata.uid or "",
        ),
        labels=wire.texts(labels),
        annotations=_annotations(given),
        priority=spec.priority or 0,
        owner=controller or wire.maker(metadata.owner_references),
        finalizers=_finalizers(tuple(metadata.finalizers or ())),
        created_at=created_at,
        deleted_at=wire.epoch(metadata.deletion_timestamp),
        grace_seconds=metadata.deletion_grace_period_seconds,
        placed_at=placed_at,
        phase=_PHASES.get(status.phase or "Pending", Phase.UNKNOWN),
        reason=status.reason or "",
        message=status.message or "",
        ready=ready is not None,
        ready_since=wire.epoch(ready.last_transition_time) if ready is not None else None,
        unmet_gates=readiness.unmet(bytes(spec.readiness_gates), conditions) if not ready else "",
        scheduled_reason=unscheduled.reason or "" if unscheduled is not None else "",
        scheduled_message=unscheduled.message or "" if unscheduled is not None else "",
        disrupted=disrupted.reason or "DisruptionTarget" if disrupted is not None else "",
        gated=bool(spec.scheduling_gates),
        stays=sys.intern(stay.why) if stay is not None else "",
        stays_until=None if lasts is None else (placed_at or created_at) + lasts,
        ending=_ending(spec, status),
        companions=companions.of(given),
        resource_version=metadata.resource_version or "",
    )


def seen(raw: bytes | Raw) -> wire.Seen:
    found = pod(raw)
    version = wire.version_of(found.resource_version)
    return wire.Seen(found.namespace, found.name, found.uid, version, found)


def pod_from_dict(body: Mapping[str, Any]) -> Pod:
    """Read a pod that was built or loaded, not served by the API server."""
    return pod(msgspec.json.encode(body))


def _true(condition: Condition | None) -> Condition | None:
    return condition if condition is not None and condition.status == "True" else None


def _false(condition: Condition | None) -> Condition | None:
    return condition if condition is not None and condition.status == "False" else None


@functools.lru_cache(maxsize=1024)
def _finalizers(found: tuple[str, ...]) -> tuple[str, ...]:
    return found


_NO_ANNOTATIONS: Mapping[str, str] = {}


def _given(raw: Raw) -> Mapping[str, str]:
    """The annotations, if any of them is one that is read."""
    text = bytes(raw)
    return wire.texts_once(text) if any(word in text for word in _READ) else _NO_ANNOTATIONS


def _annotations(given: Mapping[str, str]) -> Mapping[str, str]:
    kept = {
        key: value
        for key, value in given.items()
        if key.startswith(_OURS) or key == names.DELETION_COST
    }
    return kept or _NO_ANNOTATIONS


# ---- how it fares -----------------------------------------------------------------------------


def _ending(spec: PodSpec, status: PodStatus) -> Ending:
    """How the pod ended, by its failed container, otherwise by the container that ended last.

    Sidecars never tell how a pod ended: they are stopped with an exit code of their own.
    """
    main = status.container_statuses or []
    inits = status.init_container_statuses or []
    if not main and not inits:
        return FRESH
    running = [one.state.running for one in main if one.state is not None and one.state.running]
    if not inits and len(running) == len(main):  # the common case, made cheap
        return Ending(
            started_at=wire.epoch(min(one.started_at or "" for one in running)),
            restarts=sum(one.restart_count for one in main),
        )
    known = {one.name for one in podspec.sidecars(spec)} if inits else set()
    sidecars = [one for one in inits if one.name in known]
    inits = [one for one in inits if one.name not in known]
    ended = [one for one in map(_terminated, main) if one is not None]
    failed = [one for one in ended if one.exit_code]
    unprepared = [(one, end) for one in inits if (end := _terminated(one)) and end.exit_code]
    failed += [end for _, end in unprepared]
    teller = max(failed or ended, key=_finished, default=None)
    begun = [_has_started(one) for one in main]
    waiting, said = hindrances.first(inits, sidecars, main, begun=any(begun))
    if unprepared and not said:
        said = f"init container {unprepared[0][0].name} failed"
    starts = [at for at in map(_started, main) if at is not None]
    ends = [at for one in ended if (at := wire.epoch(one.finished_at)) is not None]
    ending = Ending(
        exit_code=teller.exit_code if teller is not None else None,
        reason=teller.reason or "" if teller is not None else "",
        message=teller.message or "" if teller is not None else "",
        started_at=min(starts, default=None),
        finished_at=max(ends, default=None),
        restarts=sum(one.restart_count for one in (*main, *inits)),
        waiting=waiting,
        said=said,
        unexplained=teller is not None and _is_unexplained(spec, teller),
        lacking=any(begun) and not all(begun),
        prepared=any(map(_has_started, (*inits, *sidecars))),
        preparing=any(one.state is not None and one.state.running for one in inits),
        prepared_at=max(filter(None, map(_succeeded_at, inits)), default=None),
    )
    return FRESH if ending == FRESH else ending


def _is_unexplained(spec: PodSpec, ended: Terminated) -> bool:
    """Whether its kubelet may have ended it after a probe failed: the status does not say so."""
    by_signal = ended.exit_code in hindrances.BY_SIGNAL and ended.reason != hindrances.NO_MEMORY
    return by_signal and any(one.is_ended_by_probes for one in spec.containers or ())


def _terminated(one: ContainerStatus) -> Terminated | None:
    """How a container ended; a container that waits to start again tells how it ended before."""
    state = one.state
    if state is not None and state.terminated is not None:
        return state.terminated
    if state is not None and state.waiting is not None and one.last_state is not None:
        return one.last_state.terminated
    return None


def _has_started(one: ContainerStatus) -> bool:
    """Whether the container has run once, by everything that its status keeps."""
    last = None if one.last_state is None else one.last_state.terminated
    return (
        _started(one) is not None
        or one.restart_count > 0
        or (last is not None and wire.epoch(last.started_at) is not None)
    )


def _succeeded_at(one: ContainerStatus) -> int | None:
    ended = _terminated(one)
    return None if ended is None or ended.exit_code else wire.epoch(ended.finished_at)


def _finished(one: Terminated) -> str:
    return one.finished_at or ""  # the same format throughout: text order is time order


def _started(one: ContainerStatus) -> int | None:
    if one.state is None:
        return None
    if one.state.running is not None:
        return wire.epoch(one.state.running.started_at)
    if one.state.terminated is not None:
        return wire.epoch(one.state.terminated.started_at)
    return None
