"""What the status of a service says: counts, conditions, the newest failure, one sentence each.

Reasons are a closed list (`Reason`); messages carry the numbers. What changes often by itself
(the time of a crash that repeats, how many nodes refuse) is written only when it says something
new, so that a steady cluster stays without writes.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bayplan.api import names
from bayplan.api.longservice import LongServiceSpec
from bayplan.api.resource import Resource
from bayplan.api.times import rfc3339
from bayplan.model import wording
from bayplan.model.admission import Admission
from bayplan.model.intents import EmitEvent
from bayplan.model.pods import Pod
from bayplan.reconcile import (
    conditions,
    defect,
    effective_requests,
    placement_status,
    refused_writes,
)
from bayplan.reconcile.conditions import Condition, false, true, unknown
from bayplan.reconcile.longservice import drift, failures, target
from bayplan.reconcile.longservice.instances import Instances
from bayplan.reconcile.longservice.restart_backoff import Backoff
from bayplan.reconcile.longservice.rollout import Bounds
from bayplan.reconcile.view import NoRoom, View

AVAILABLE = "Available"
PROGRESSING = "Progressing"


class Reason(enum.StrEnum):
    """Every reason that a condition of a LongService can have, beside those of `problems`."""

    READY = "Ready"
    SCALED_TO_ZERO = "ScaledToZero"
    NO_NODE = "NoNodeForIt"
    CHECKING = "Checking"
    INVALID_TEMPLATE = "InvalidTemplate"
    TEMPLATE_REFUSED = "TemplateRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    NAME_TAKEN = "NameTaken"
    CHILD_REFUSED = refused_writes.CHILD_REFUSED
    FAILING = "InstancesFailing"
    BACKING_OFF = "RestartBackoff"
    NO_ROOM = "NoRoom"
    VOLUME = "VolumeBinding"
    DEFECT = "OperatorDefect"
    PREDECESSOR = "PredecessorThere"
    ONE_POD = "ClaimForOnePod"
    NODE_SILENT = "NodeUnreachable"
    ROLLING_OUT = "RollingOut"
    STARTING = "InstancesStarting"
    STOPPING = "InstancesStopping"
    ROLLED_OUT = "RolledOut"
    ROLLED_BACK = "RolledBack"
    PAUSED = "Paused"
    STEP_REACHED = "StepReached"
    DEADLINE = "ProgressDeadlineExceeded"
    MASS_LOSS = "MassLossBrake"
    DEPENDS = "WaitingForDependencies"
    CYCLE = "DependencyCycle"
    MINIMUM_MET = "MinimumHealthy"
    MINIMUM_MISSED = "BelowMinimumHealthy"
    PLACED = "Placed"
    PLACING = "Placing"


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
    aim: target.Target
    progress: target.Progress | None
    waits: str  # why the update stands still by somebody's will
    unmet: Mapping[str, int]  # services that it waits for -> until when
    braked_until: int | None
    overdue: bool  # whether it has got no further for as long as it may
    admission: Admission | None
    backoff: Backoff | None
    drifted: int | None = None  # instances that break constraints; None: there are none to break
    moves: tuple[drift.Move, ...] = ()
    failing: tuple[Pod, ...] = ()
    suspended: bool = False  # `replicas` itself is 0: with mode PerNode there may just be no node
    sole: tuple[str, ...] = ()  # claims of the template that one pod at a time can use
    held: tuple[str, ...] = ()  # instances that wait for their predecessor, in words
    taken: tuple[str, ...] = ()  # kinds of children whose name somebody else has
    unmade: tuple[str, ...] = ()  # kinds of children that are not as they should be yet

    @property
    def placement(self) -> NoRoom | None:
        """Why instances find no room, once that is worth a word."""
        return placement_status.shown(self.view.placement, self.now)

    @property
    def done(self) -> bool:
        """Whether everything is as the spec says."""
        return (
            not self.outdated
            and len(self.instances.available) >= self.spec.replicas
            and (self.spec.replicas > 0 or not self.instances.live)
        )


def status_of(standing: Standing) -> dict[str, Any]:
    """The whole status, as it is stored."""
    stored = standing.service.status
    instances = standing.instances
    told: dict[str, Any] = {
        "observedGeneration": standing.service.generation,
        "conditions": _merged(standing.service, _conditions(standing), standing.now),
        "desiredReplicas": standing.spec.replicas,
        "replicas": len(instances.live),
        "readyReplicas": instances.ready,
        "updatedReplicas": standing.updated,
        "availableReplicas": len(instances.available),
        "driftedReplicas": standing.drifted,
        "recentMoves": [move.wire() for move in standing.moves] or None,
        "selector": _selector(standing.service),
        "currentRevision": standing.current_revision,
        "updateRevision": standing.aim.revision.name,
        **target.status(standing.aim, standing.progress),
        "effectiveRequests": effective_requests.requests(standing.admission, stored),
        "restartBackoff": standing.backoff.wire() if standing.backoff is not None else None,
        "lastFailure": failures.newest(instances, stored.get("lastFailure"), standing.now),
        "placement": placement_status.wire(standing.placement, stored.get("placement")),
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
    return f"{names.SERVICE}={names.owner_value(service.name)}"


def _merged(service: Resource, wanted: Iterable[Condition], now: int) -> list[dict[str, Any]]:
    plain = [replace(one, reason=str(one.reason)) for one in wanted]  # no enum in what is stored
    return conditions.merged(service.status.get("conditions"), plain, service.generation, now)


def _conditions(standing: Standing) -> list[Condition]:
    ready = _ready(standing)
    wanted = [ready, _available(standing), _progressing(standing, ready), _placed(standing)]
    refused = standing.admission is not None and standing.admission.final
    if refused or ready.reason in {Reason.ROLLED_BACK, Reason.CYCLE, Reason.ONE_POD}:
        wanted.append(true(conditions.STALLED, ready.reason, ready.message))
    elif ready.status != "True":
        wanted.append(true(conditions.RECONCILING, ready.reason, ready.message))
    return wanted


def _ready(standing: Standing) -> Condition:
    """One answer for people and tools: what only they can heal, all is well, or why it is not."""
    blocked = _blocked(standing)
    return _course(standing) if blocked is None else blocked


def _blocked(standing: Standing) -> Condition | None:
    """What stands in the way of it all, whatever runs meanwhile."""
    admission = standing.admission
    if admission is not None and admission.final:
        return false(conditions.READY, admission.refusal, admission.message)
    if standing.view.dependencies.cycle:
        way = " -> ".join(standing.view.dependencies.cycle)
        return false(
            conditions.READY, Reason.CYCLE, f"dependsOn leads in a circle: {way}; take one out."
        )
    if standing.taken:
        kinds = " and ".join(f"a {kind}" for kind in standing.taken)
        return false(
            conditions.READY,
            Reason.NAME_TAKEN,
            f"{kinds} named {standing.service.name} exists that this service does not own; "
            "delete it, or rename one of them.",
        )
    return _refused_child(standing)


def _course(standing: Standing) -> Condition:
    """How far the instances have come."""
    admission, wanted = standing.admission, standing.spec.replicas
    given_up = standing.aim.rolled_back
    if standing.done and given_up is not None:
        return false(
            conditions.READY,
            Reason.ROLLED_BACK,
            f"{given_up['revision']} was given up, {standing.aim.revision.name} runs instead: "
            f"{given_up['message']}",
        )
    if standing.done:
        if wanted == 0 and standing.suspended:
            return true(conditions.READY, Reason.SCALED_TO_ZERO, "replicas is 0.")
        if wanted == 0:
            return true(
                conditions.READY,
                Reason.NO_NODE,
                "No node is for it: the first that its template and placement.constraints allow "
                "gets an instance.",
            )
        held = standing.aim.pinned
        held = f" Held at {held} by {names.ROLLBACK_TO}." if held else ""
        return true(conditions.READY, Reason.READY, f"{wanted} wanted, {wanted} available.{held}")
    if admission is None:
        return unknown(conditions.READY, Reason.CHECKING, "The template has not been checked yet.")
    if admission.refusal:
        return false(conditions.READY, admission.refusal, admission.message)
    reason, why = _unready(standing)
    count = f"{len(standing.instances.available)} of {wanted} instances are available"
    return false(conditions.READY, reason, f"{count}{why}.")


def _refused_child(standing: Standing) -> Condition | None:
    """That the API server refuses an object of the service, in its words.

    A restart has not asked again yet: what was said still holds while the object is not there.
    """
    refusals = standing.view.refusals
    if refusals:
        return false(
            conditions.READY, refused_writes.word(refusals), refused_writes.sentence(refusals)
        )
    before = conditions.stored(standing.service.status.get("conditions"), conditions.READY)
    said = before is not None and refused_writes.tells(before)
    edited = standing.service.status.get("observedGeneration") != standing.service.generation
    return before if said and standing.unmade and not edited else None


def _unready(standing: Standing) -> tuple[Reason, str]:
    """Why instances are missing: the first of these that holds, to go on with a sentence."""
    instances, backoff, placement = standing.instances, standing.backoff, standing.placement
    if standing.braked_until is not None:
        return Reason.MASS_LOSS, f"; {_braked(standing.braked_until)}"
    if standing.failing:
        return Reason.FAILING, f"; {failures.sentence(standing.failing)}"
    if backoff is not None and backoff.retry_at > standing.now:
        row = f"{failures.counted(backoff.failures, 'failure')} in a row"
        retry = rfc3339(backoff.retry_at)
        return Reason.BACKING_OFF, f"; after {row} the next pod starts at {retry}"
    claims = _of_claims(standing)
    if claims is not None:
        return claims
    if placement is not None:
        return _unplaced(standing, placement)
    if instances.silent:
        patience = standing.spec.unreachable.replace_after_seconds
        silent = f"{len(instances.silent)} on nodes that do not answer"
        then = "not waited for" if standing.spec.mode == "PerNode" else "replaced"
        return Reason.NODE_SILENT, f"; {silent}, {then} after {patience} s"
    if standing.waits:
        return Reason(standing.waits), f"; {_standstill(standing)}"
    if standing.outdated:
        rest = f"{standing.updated} updated, {standing.outdated} of older templates left"
        return Reason.ROLLING_OUT, f"; {rest}"
    if standing.spec.replicas == 0:
        rest = failures.counted(len(instances.live), "instance")
        return Reason.STOPPING, f"; {rest} left to stop"
    return Reason.STARTING, ""


def _unplaced(standing: Standing, placement: NoRoom) -> tuple[Reason, str]:
    if placement.funnel.making:
        return Reason.VOLUME, f"; {_no_room(placement)}"
    if placement.funnel.defect:
        return Reason.DEFECT, f"; {_no_room(placement)}"
    return Reason.NO_ROOM, f"; {_no_room(placement)}{_none_first(standing)}"


def _of_claims(standing: Standing) -> tuple[Reason, str] | None:
    """What of its claims keeps an instance from being made, or from ever running."""
    if standing.held:
        return Reason.PREDECESSOR, f"; {_held(standing.held)}"
    if standing.sole and standing.spec.replicas > 1:
        return Reason.ONE_POD, f"; {_one_pod(standing)}"
    return None


def _one_pod(standing: Standing) -> str:
    remedy = "set replicas to 1"
    if standing.spec.mode == "PerNode":
        remedy = "let it be for one node"
    return (
        f"claim {standing.sole[0]} is ReadWriteOncePod, so that only one pod at a time can use it: "
        f"{remedy}, give each instance a claim of its own (volumeClaimTemplates), or use a claim "
        "with another access mode"
    )


def _held(told: Sequence[str]) -> str:
    more = len(told) - 1
    return f"{told[0]}, and {more} more" if more else told[0]


def _none_first(standing: Standing) -> str:
    """That an update finds no room, and no old instance may make it some."""
    spare = len(standing.instances.available) - standing.limits.healthy
    if not standing.outdated or standing.waits or spare > 0:
        return ""
    percent = standing.spec.update_strategy.minimum_healthy_percent
    return (
        f"; no older instance may go first, since minimumHealthyPercent is {percent}: "
        "lower it or add a node"
    )


def _braked(until: int) -> str:
    return (
        f"many nodes fell silent at once: nothing is replaced, moved or taken away until "
        f"{rfc3339(until)}, or until {names.IGNORE_MASS_LOSS} is true on this service"
    )


def _standstill(standing: Standing) -> str:
    """Where an update waits, and what ends that."""
    rules, progress = standing.spec.update_strategy, standing.progress
    count = f"{standing.updated} of {standing.spec.replicas} instances have the newest template"
    if standing.braked_until is not None:
        return _braked(standing.braked_until)
    if standing.unmet:
        waits = " and ".join(
            f"{name} (until {rfc3339(until)} at most)" for name, until in standing.unmet.items()
        )
        return f"it waits for {waits}"
    if standing.waits == Reason.PAUSED or progress is None:
        return f"{count}, updateStrategy.paused is true"
    step = rules.steps[progress.step]
    until = f"until {names.PROMOTE} gets a new value"
    if step.pause_seconds is not None and progress.reached_at is not None:
        until = f"until {rfc3339(progress.reached_at + step.pause_seconds)}"
    return f"{count}, step {progress.step + 1} of {len(rules.steps)} holds {until}"


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
        # While old instances go the quota is about to have room; else the deadline runs.
        freeing = admission.lacks_quota and standing.instances.outdated_going
        if not (freeing or (admission.lacks_quota and standing.overdue)):
            return false(PROGRESSING, ready.reason, ready.message)
    if ready.reason == Reason.CYCLE:
        return false(PROGRESSING, ready.reason, ready.message)
    given_up = standing.aim.rolled_back
    if given_up is not None:
        return false(PROGRESSING, Reason.ROLLED_BACK, str(given_up["message"]))
    if standing.done:
        return true(PROGRESSING, Reason.ROLLED_OUT, "Every instance has the newest template.")
    if standing.waits:
        return unknown(PROGRESSING, standing.waits, f"{_standstill(standing)}.")
    if standing.overdue:
        seconds = standing.spec.update_strategy.progress_deadline_seconds
        return false(PROGRESSING, Reason.DEADLINE, f"No progress for {seconds} s; {ready.message}")
    if standing.outdated:
        return true(
            PROGRESSING,
            Reason.ROLLING_OUT,
            f"{standing.updated} of {standing.spec.replicas} instances have the newest template.",
        )
    return true(PROGRESSING, Reason.STARTING, ready.message)


def _placed(standing: Standing) -> Condition:
    placement = standing.placement
    if placement is not None:
        word = Reason.VOLUME if placement.funnel.making else Reason.NO_ROOM
        if placement.funnel.defect:
            word = Reason.DEFECT
        return false(conditions.PLACED, word, f"{_no_room(placement)}.")
    homeless = sum(not pod.node for pod in standing.instances.live)
    if homeless or standing.starting:
        count = homeless + standing.starting
        return unknown(conditions.PLACED, Reason.PLACING, f"{count} instances get a node.")
    return true(conditions.PLACED, Reason.PLACED, "Every instance has a node.")


def _no_room(placement: NoRoom) -> str:
    count = failures.counted(placement.pending, "instance")
    if placement.funnel.making:
        return f"{count} not bound yet: {wording.sentence(placement.funnel)}"
    if placement.funnel.defect:
        return defect.of_tasks(placement.pending, "instance").removesuffix(".")
    return f"{count} found no room: {wording.sentence(placement.funnel)}"


def events(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[EmitEvent, ...]:
    """What changed and is worth a line in `kubectl describe`; nothing when nothing did."""
    told = []
    was, is_ = before.get("updateRevision"), after.get("updateRevision")
    if was and is_ and was != is_:
        told.append(EmitEvent("RolloutStarted", f"From {was} to {is_}."))
    was, is_ = before.get("currentRevision"), after.get("currentRevision")
    if is_ and was != is_:
        told.append(EmitEvent("RolloutFinished", f"Every instance has {is_}."))
    told += _turns_of_rollout(before, after)
    told += effective_requests.news(before, after)
    begun = drift.begun(before, after)
    if begun:
        what = f"{', '.join(begun)}: moved, since placement.constraints would not put it there"
        told.append(EmitEvent("Rebalancing", conditions.cut(what)))
    failure = after.get("lastFailure")
    if failure and failure != before.get("lastFailure"):
        what = failure.get("message") or f"exit code {failure.get('exitCode', 'unknown')}"
        told.append(
            EmitEvent(
                "InstanceFailed", f"{failure['pod']}: {failure['reason']}, {what}", warning=True
            )
        )
    told += _news_of_refusals(before, after)
    for stalled in after["conditions"]:
        word = stalled["reason"]
        if stalled["type"] == conditions.STALLED and word != conditions.reason_of(
            before.get("conditions"), conditions.STALLED
        ):
            told.append(EmitEvent(word, stalled["message"], warning=True))
    return tuple(told)


def _news_of_refusals(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[EmitEvent]:
    """Which object the API server refuses; the same once more tells nothing new."""
    was = conditions.stored(before.get("conditions"), conditions.READY)
    is_ = conditions.stored(after["conditions"], conditions.READY)
    if is_ is None or is_ == was or not refused_writes.tells(is_):
        return []
    return [EmitEvent(is_.reason, is_.message, warning=True)]


def _turns_of_rollout(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[EmitEvent]:
    told = []
    bad = target.bad_revisions(after)
    if bad and bad[-1] not in target.bad_revisions(before):
        message = f"{bad[-1]['revision']} was given up. {bad[-1]['message']}"
        told.append(EmitEvent(Reason.ROLLED_BACK.value, message, warning=True))
    for one in after["conditions"]:
        word = one["reason"]
        if one["type"] != PROGRESSING or word == conditions.reason_of(
            before.get("conditions"), PROGRESSING
        ):
            continue
        if word in {
            Reason.PAUSED,
            Reason.STEP_REACHED,
            Reason.DEADLINE,
            Reason.MASS_LOSS,
            Reason.DEPENDS,
        }:
            warning = word in {Reason.DEADLINE, Reason.MASS_LOSS}
            told.append(EmitEvent(word, one["message"], warning=warning))
    return told
