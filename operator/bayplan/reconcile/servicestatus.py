"""What the status of a service says: counts, conditions, the newest failure, one sentence each.

Reasons are a closed list (`Reason`); messages carry the numbers. What changes often by itself
(the time of a crash that repeats, how many nodes refuse) is written only when it says something
new, so that a steady cluster stays without writes.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bayplan import units
from bayplan.api import names
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.meta import epoch_of, rfc3339
from bayplan.api.resource import Resource
from bayplan.model import pod as pods_
from bayplan.model import resources
from bayplan.placement import explain
from bayplan.reconcile import backoff as backoff_
from bayplan.reconcile import conditions, revisions
from bayplan.reconcile.action import Admission, EmitEvent, Placement, View
from bayplan.reconcile.conditions import Condition, false, true, unknown
from bayplan.reconcile.instances import Instances, ended_at
from bayplan.reconcile.rollout import Bounds

AVAILABLE = "Available"
PROGRESSING = "Progressing"

REPEAT_SECONDS = 60  # the same failure again, or the same refusal with other numbers

_LONGEST_WORD = 64


class Reason(enum.StrEnum):
    """Every reason that a condition of a LongService can have, beside those of `problems`."""

    READY = "Ready"
    SCALED_TO_ZERO = "ScaledToZero"
    CHECKING = "Checking"
    INVALID_TEMPLATE = "InvalidTemplate"
    TEMPLATE_REFUSED = "TemplateRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    NAME_TAKEN = "NameTaken"
    FAILING = "InstancesFailing"
    BACKING_OFF = "RestartBackoff"
    NO_ROOM = "NoRoom"
    NODE_SILENT = "NodeUnreachable"
    ROLLING_OUT = "RollingOut"
    STARTING = "InstancesStarting"
    STOPPING = "InstancesStopping"
    ROLLED_OUT = "RolledOut"
    MINIMUM_MET = "MinimumHealthy"
    MINIMUM_MISSED = "BelowMinimumHealthy"
    PLACED = "Placed"
    PLACING = "Placing"


_FAILURES_OF_WAITING = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "RunContainerError",
    }
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known and decided in this cycle. `updated` and `outdated` count live instances."""

    service: Resource
    spec: LongServiceSpec
    view: View
    now: int
    instances: Instances
    limits: Bounds
    updated: int
    outdated: int
    starting: int  # instances that are to be made in this cycle
    current_revision: str
    update_revision: str
    admission: Admission | None
    backoff: backoff_.Backoff | None
    failing: tuple[pods_.Pod, ...] = ()
    taken: tuple[str, ...] = ()  # kinds of children whose name somebody else has

    @property
    def done(self) -> bool:
        """Whether everything is as the spec says."""
        return (
            not self.outdated
            and len(self.instances.available) >= self.spec.replicas
            and (self.spec.replicas > 0 or not self.instances.live)
        )


def fails(pod: pods_.Pod) -> bool:
    """Whether a pod that is not ready has shown why: it crashes, or its container cannot start."""
    ending = pod.ending
    return ending.waiting in _FAILURES_OF_WAITING or (ending.restarts > 0 and not pod.ready)


def status(standing: Standing) -> dict[str, Any]:
    """The whole status, as it is stored."""
    stored = standing.service.status
    instances = standing.instances
    told: dict[str, Any] = {
        "observedGeneration": standing.service.generation,
        "conditions": _merged(standing.service, _conditions(standing), standing.now),
        "replicas": len(instances.live),
        "readyReplicas": instances.ready,
        "updatedReplicas": standing.updated,
        "availableReplicas": len(instances.available),
        "selector": _selector(standing.service),
        "currentRevision": standing.current_revision,
        "updateRevision": standing.update_revision,
        "effectiveRequests": _effective_requests(standing.admission, stored),
        "restartBackoff": standing.backoff.wire() if standing.backoff is not None else None,
        "lastFailure": _last_failure(instances, stored.get("lastFailure"), standing.now),
        "placement": _placement(standing.view.placement, stored.get("placement")),
    }
    return {name: value for name, value in told.items() if value is not None and value != ""}


def refused(service: Resource, instances: Instances, updated: int, now: int) -> dict[str, Any]:
    """The status of a spec that cannot work: the first problem, and what still runs."""
    problem = service.problems[0]
    message = f"{problem.field}: {problem.message}"
    stored = service.status
    before = stored.get("conditions")
    say = {"True": true, "False": false}.get(conditions.status_of(before, AVAILABLE), unknown)
    available = say(AVAILABLE, conditions.reason_of(before, AVAILABLE) or problem.reason)
    ready, stalled = conditions.stalled(problem.reason, message)
    wanted = (ready, available, false(PROGRESSING, problem.reason, message), stalled)
    return {
        **stored,
        "observedGeneration": service.generation,
        "conditions": _merged(service, wanted, now),
        "replicas": len(instances.live),
        "readyReplicas": instances.ready,
        "updatedReplicas": updated,
        "availableReplicas": len(instances.available),
        "selector": _selector(service),
    }


def _selector(service: Resource) -> str:
    return f"{names.SERVICE}={revisions.label(service.name)}"


def _merged(service: Resource, wanted: Iterable[Condition], now: int) -> list[dict[str, Any]]:
    plain = [replace(one, reason=str(one.reason)) for one in wanted]  # no enum in what is stored
    return conditions.merged(service.status.get("conditions"), plain, service.generation, now)


def _conditions(standing: Standing) -> list[Condition]:
    ready = _ready(standing)
    wanted = [ready, _available(standing), _progressing(standing, ready), _placed(standing)]
    if standing.admission is not None and standing.admission.final:
        wanted.append(true(conditions.STALLED, ready.reason, ready.message))
    elif ready.status != "True":
        wanted.append(true(conditions.RECONCILING, ready.reason, ready.message))
    return wanted


def _ready(standing: Standing) -> Condition:
    """One answer for people and tools: what only they can heal, all is well, or why it is not."""
    admission, wanted = standing.admission, standing.spec.replicas
    if admission is not None and admission.final:
        return false(conditions.READY, admission.refusal, admission.message)
    if standing.taken:
        kinds = " and ".join(f"a {kind}" for kind in standing.taken)
        return false(
            conditions.READY,
            Reason.NAME_TAKEN,
            f"{kinds} named {standing.service.name} exists that this service does not own; "
            "delete it, or rename one of them.",
        )
    if standing.done:
        if wanted == 0:
            return true(conditions.READY, Reason.SCALED_TO_ZERO, "replicas is 0.")
        return true(conditions.READY, Reason.READY, f"{wanted} wanted, {wanted} available.")
    if admission is None:
        return unknown(conditions.READY, Reason.CHECKING, "The template has not been checked yet.")
    if admission.refusal:
        return false(conditions.READY, admission.refusal, admission.message)
    reason, why = _unready(standing)
    count = f"{len(standing.instances.available)} of {wanted} instances are available"
    return false(conditions.READY, reason, f"{count}{why}.")


def _unready(standing: Standing) -> tuple[Reason, str]:
    """Why instances are missing: the first of these that holds, to go on with a sentence."""
    instances, backoff, placement = standing.instances, standing.backoff, standing.view.placement
    if standing.failing:
        return Reason.FAILING, f"; {_failing(standing.failing)}"
    if backoff is not None and backoff.retry_at > standing.now:
        failures = _times(backoff.failures, "failure")
        retry = rfc3339(backoff.retry_at)
        return Reason.BACKING_OFF, f"; after {failures} in a row the next pod starts at {retry}"
    if placement is not None:
        return Reason.NO_ROOM, f"; {_no_room(placement)}"
    if instances.silent:
        patience = standing.spec.unreachable.replace_after_seconds
        silent = f"{len(instances.silent)} on nodes that do not answer"
        return Reason.NODE_SILENT, f"; {silent}, replaced after {patience} s"
    if standing.outdated:
        rest = f"{standing.updated} updated, {standing.outdated} of older templates left"
        return Reason.ROLLING_OUT, f"; {rest}"
    if standing.spec.replicas == 0:
        return Reason.STOPPING, f"; {_times(len(instances.live), 'instance')} left to stop"
    return Reason.STARTING, ""


def _available(standing: Standing) -> Condition:
    available, minimum = len(standing.instances.available), standing.limits.healthy
    message = f"{available} available, the healthy minimum is {minimum}."
    if available >= minimum:
        return true(AVAILABLE, Reason.MINIMUM_MET, message)
    return false(AVAILABLE, Reason.MINIMUM_MISSED, message)


def _progressing(standing: Standing, ready: Condition) -> Condition:
    """As on a Deployment: True while it goes on and when it is done, False when it cannot."""
    admission = standing.admission
    if admission is not None and (admission.final or (admission.refusal and not standing.done)):
        return false(PROGRESSING, ready.reason, ready.message)
    if standing.done:
        return true(PROGRESSING, Reason.ROLLED_OUT, "Every instance has the newest template.")
    if standing.outdated:
        return true(
            PROGRESSING,
            Reason.ROLLING_OUT,
            f"{standing.updated} of {standing.spec.replicas} instances have the newest template.",
        )
    return true(PROGRESSING, Reason.STARTING, ready.message)


def _placed(standing: Standing) -> Condition:
    placement = standing.view.placement
    if placement is not None:
        return false(conditions.PLACED, Reason.NO_ROOM, f"{_no_room(placement)}.")
    homeless = sum(not pod.node for pod in standing.instances.live)
    if homeless or standing.starting:
        count = homeless + standing.starting
        return unknown(conditions.PLACED, Reason.PLACING, f"{count} instances get a node.")
    return true(conditions.PLACED, Reason.PLACED, "Every instance has a node.")


def _no_room(placement: Placement) -> str:
    waiting = _times(placement.pending, "instance")
    return f"{waiting} found no room: {explain.sentence(placement.funnel)}"


def _failing(failing: tuple[pods_.Pod, ...]) -> str:
    """One sentence for all: how many, and the worst of them."""
    worst = max(failing, key=lambda pod: (pod.ending.restarts, pod.name))
    ending = worst.ending
    what = ending.waiting or ending.reason or "not ready"
    if ending.exit_code is not None:
        what = f"exit code {ending.exit_code}"
        if ending.reason not in {"", "Error", "Completed"}:
            what = f"{what}, {ending.reason}"
    if ending.restarts:
        what = f"{what}, {_times(ending.restarts, 'restart')}"
    where = f" on {worst.node}" if worst.node else ""
    hint = f": {ending.message.strip().splitlines()[-1]}" if ending.message.strip() else ""
    return (
        f"{len(failing)} failing, such as {worst.name}{where} ({what}){conditions.cut(hint, 300)}"
    )


def _effective_requests(
    admission: Admission | None, stored: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """What a pod asks for; `checkedTime` alone is no reason to write."""
    before = stored.get("effectiveRequests")
    if admission is None or admission.refusal:
        return before if isinstance(before, Mapping) else None
    requests = {
        name: units.format_amount(name, amount)
        for name, amount in admission.request.items()
        if name != resources.PODS
    }
    told = {"templateHash": admission.template_hash, "requests": requests}
    if isinstance(before, Mapping) and {**before, **told} == before:
        return before
    return {**told, "checkedTime": rfc3339(admission.checked_at)}


def _placement(placement: Placement | None, stored: object) -> Mapping[str, Any] | None:
    """Why instances wait; other numbers behind the same answer are no reason to write."""
    if placement is None:
        return None
    told = explain.status(placement.pending, placement.since, placement.funnel)
    return stored if isinstance(stored, Mapping) and _answer(stored) == _answer(told) else told


def _answer(told: Mapping[str, Any]) -> tuple[object, ...]:
    refusals, nearest = told.get("refusals"), told.get("nearest")
    return (
        told.get("pendingTasks"),
        told.get("pendingSince"),
        refusals[0].get("reason") if refusals else "",
        nearest.get("node") if nearest else "",
    )


def _last_failure(instances: Instances, stored: object, now: int) -> Mapping[str, Any] | None:
    """The newest failure; the same one again within a minute is no news."""
    before = stored if isinstance(stored, Mapping) else None
    failed = max(_failures(instances, now), key=lambda one: (one[0], one[1].name), default=None)
    if failed is None:
        return before
    time, pod = failed
    ending = pod.ending
    reason = pod.reason or ending.reason or ending.waiting or "Failed"
    told: dict[str, Any] = {"pod": pod.name, "node": pod.node, "reason": reason[:_LONGEST_WORD]}
    if ending.exit_code is not None:
        told["exitCode"] = ending.exit_code
    told["message"] = conditions.cut((pod.message or ending.message).strip())
    told["time"] = rfc3339(time)
    told = {name: value for name, value in told.items() if value != ""}
    if before is None:
        return told
    same = all(before.get(name) == told.get(name) for name in ("reason", "exitCode"))
    return told if time >= _time(before) + (REPEAT_SECONDS if same else 1) else before


def _failures(instances: Instances, now: int) -> Iterable[tuple[int, pods_.Pod]]:
    for pod in instances.ended:
        if backoff_.counts(pod):
            yield ended_at(pod, now), pod
    for pod in instances.live:
        ending = pod.ending
        if ending is pods_.FRESH:
            continue
        if ending.restarts > 0 and ending.finished_at is not None:
            yield ending.finished_at, pod
        elif ending.waiting in _FAILURES_OF_WAITING:
            yield pod.created_at, pod


def _time(stored: Mapping[str, Any]) -> int:
    try:
        return epoch_of(stored["time"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def events(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[EmitEvent, ...]:
    """What changed and is worth a line in `kubectl describe`; nothing when nothing did."""
    told = []
    was, is_ = before.get("updateRevision"), after.get("updateRevision")
    if was and is_ and was != is_:
        told.append(EmitEvent("RolloutStarted", f"From {was} to {is_}."))
    was, is_ = before.get("currentRevision"), after.get("currentRevision")
    if is_ and was != is_:
        told.append(EmitEvent("RolloutFinished", f"Every instance has {is_}."))
    failure = after.get("lastFailure")
    if failure and failure != before.get("lastFailure"):
        what = failure.get("message") or f"exit code {failure.get('exitCode', 'unknown')}"
        told.append(
            EmitEvent(
                "InstanceFailed", f"{failure['pod']}: {failure['reason']}, {what}", warning=True
            )
        )
    for stalled in after["conditions"]:
        word = stalled["reason"]
        if stalled["type"] == conditions.STALLED and word != conditions.reason_of(
            before.get("conditions"), conditions.STALLED
        ):
            told.append(EmitEvent(word, stalled["message"], warning=True))
    return tuple(told)
