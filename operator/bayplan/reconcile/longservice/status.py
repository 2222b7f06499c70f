"""What the status of a service says: counts, conditions, the newest failure, one sentence each.

Reasons are a closed list (`Reason`); messages carry the numbers. What changes often by itself
(the time of a crash that repeats, how many nodes refuse) is written only when it says something
new, so that a steady cluster causes no writes.
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
    """Every reason that a condition of a LongService can have, besides those of `problems`."""

    READY = "Ready"
    SCALED_TO_ZERO = "ScaledToZero"
    NO_NODE = "NoNodeForIt"
    CHECKING = "Checking"
    INVALID_TEMPLATE = "InvalidTemplate"
    TEMPLATE_REFUSED = "TemplateRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    WEBHOOK_UNAVAILABLE = "WebhookUnavailable"
    API_SERVER_UNAVAILABLE = "ApiServerUnavailable"
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
    UNREADY = "InstancesUnready"
    STOPPING = "InstancesStopping"
    ROLLED_OUT = "RolledOut"
    ROLLED_BACK = "RolledBack"
    PAUSED = "Paused"
    STEP_REACHED = "StepReached"
    NODE_LEAVING = "VolumeOnLeavingNode"
    DEADLINE = "ProgressDeadlineExceeded"
    MASS_LOSS = "MassLossBrake"
    DEPENDS = "WaitingForDependencies"
    CYCLE = "DependencyCycle"
    MINIMUM_MET = "MinimumHealthy"
    MINIMUM_MISSED = "BelowMinimumHealthy"
    PLACED = "Placed"
    PLACING = "Placing"


@dataclass(frozen=True, slots=True)
class Facts:
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
    waits: str  # why the update stands still on purpose
    unmet: Mapping[str, int]  # services that it waits for -> until when
    braked_until: int | None
    overdue: bool  # whether it has made no progress within its deadline
    admission: Admission | None
    backoff: Backoff | None
    drifted: int | None = None  # instances that break constraints; None: there are none to break
    moves: tuple[drift.Move, ...] = ()
    failing: tuple[Pod, ...] = ()
    suspended: bool = False  # `replicas` itself is 0: with mode PerNode there may just be no node
    sole: tuple[str, ...] = ()  # claims of the template that only one pod at a time can use
    held: tuple[str, ...] = ()  # sentences on instances that wait for their predecessor
    stranded: tuple[str, ...] = ()  # sentences on instances that no update may end
    taken: tuple[str, ...] = ()  # kinds of children whose name another object has
    unmade: tuple[str, ...] = ()  # kinds of children that are not as they should be yet

    @property
    def placement(self) -> NoRoom | None:
        """Why instances find no room, once they wait long enough to explain it."""
        return placement_status.shown(self.view.placement, self.now)

    @property
    def done(self) -> bool:
        """Whether everything is as the spec says."""
        return (
            not self.outdated
            and len(self.instances.available) >= self.spec.replicas
            and (self.spec.replicas > 0 or not self.instances.live)
        )


def status_of(facts: Facts) -> dict[str, Any]:
    """The whole status, as it is stored."""
    stored = facts.service.status
    instances = facts.instances
    told: dict[str, Any] = {
        "observedGeneration": facts.service.generation,
        "conditions": _merged(facts.service, _conditions(facts), facts.now),
        "desiredReplicas": facts.spec.replicas,
        "replicas": len(instances.live),
        "readyReplicas": instances.ready,
        "updatedReplicas": facts.updated,
        "availableReplicas": len(instances.available),
        "driftedReplicas": facts.drifted,
        "recentMoves": [move.wire() for move in facts.moves] or None,
        "selector": _selector(facts.service),
        "currentRevision": facts.current_revision,
        "updateRevision": facts.aim.revision.name,
        **target.status(facts.aim, facts.progress),
        "effectiveRequests": effective_requests.requests(facts.admission, stored),
        "restartBackoff": facts.backoff.wire() if facts.backoff is not None else None,
        "lastFailure": failures.newest(instances, stored.get("lastFailure"), facts.now),
        "placement": placement_status.wire(facts.placement, stored.get("placement")),
    }
    return {name: value for name, value in told.items() if value is not None and value != ""}


def refused(service: Resource, instances: Instances, updated: int, now: int) -> dict[str, Any]:
    """The status for a spec that cannot work: the first problem, and what still runs."""
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


def _conditions(facts: Facts) -> list[Condition]:
    ready = _ready(facts)
    wanted = [ready, _available(facts), _progressing(facts, ready), _placed(facts)]
    refused = facts.admission is not None and facts.admission.final
    if refused or ready.reason in {Reason.ROLLED_BACK, Reason.CYCLE, Reason.ONE_POD}:
        wanted.append(true(conditions.STALLED, ready.reason, ready.message))
    elif ready.status != "True":
        wanted.append(true(conditions.RECONCILING, ready.reason, ready.message))
    return wanted


def _ready(facts: Facts) -> Condition:
    """Ready, for people and tools: what only they can heal, that all is well, or why it is not."""
    blocked = _blocked(facts)
    return _course(facts) if blocked is None else blocked


def _blocked(facts: Facts) -> Condition | None:
    """What prevents Ready, whatever runs meanwhile; None when nothing does."""
    admission = facts.admission
    if admission is not None and admission.final:
        return false(conditions.READY, admission.refusal, admission.message)
    if facts.view.dependencies.cycle:
        way = " -> ".join(facts.view.dependencies.cycle)
        return false(
            conditions.READY, Reason.CYCLE, f"dependsOn leads in a circle: {way}; take one out."
        )
    if facts.taken:
        kinds = " and ".join(f"a {kind}" for kind in facts.taken)
        return false(
            conditions.READY,
            Reason.NAME_TAKEN,
            f"{kinds} named {facts.service.name} exists that this service does not own; "
            "delete it, or rename one of them.",
        )
    return _refused_child(facts)


def _course(facts: Facts) -> Condition:
    """How far the instances have come."""
    admission, wanted = facts.admission, facts.spec.replicas
    given_up = facts.aim.rolled_back
    if facts.done and given_up is not None:
        return false(
            conditions.READY,
            Reason.ROLLED_BACK,
            f"{given_up['revision']} was given up, {facts.aim.revision.name} runs instead: "
            f"{given_up['message']}",
        )
    if facts.done:
        if wanted == 0 and facts.suspended:
            return true(conditions.READY, Reason.SCALED_TO_ZERO, "replicas is 0.")
        if wanted == 0:
            return true(
                conditions.READY,
                Reason.NO_NODE,
                "No node is for it: the first that its template and placement.constraints allow "
                "gets an instance.",
            )
        held = facts.aim.pinned
        held = f" Held at {held} by {names.ROLLBACK_TO}." if held else ""
        return true(conditions.READY, Reason.READY, f"{wanted} wanted, {wanted} available.{held}")
    if admission is None:
        return unknown(conditions.READY, Reason.CHECKING, "The template has not been checked yet.")
    if admission.refusal:
        return false(conditions.READY, admission.refusal, admission.message)
    reason, why = _unready(facts)
    count = f"{len(facts.instances.available)} of {wanted} instances are available"
    return false(conditions.READY, reason, f"{count}{why}.")


def _refused_child(facts: Facts) -> Condition | None:
    """Not Ready because the API server refuses an object of the service, in the server's words.

    After a restart nothing was asked again yet: what was said holds while the object is missing.
    """
    refusals = facts.view.refusals
    if refusals:
        return false(
            conditions.READY, refused_writes.word(refusals), refused_writes.sentence(refusals)
        )
    before = conditions.stored(facts.service.status.get("conditions"), conditions.READY)
    said = before is not None and refused_writes.tells(before)
    edited = facts.service.status.get("observedGeneration") != facts.service.generation
    return before if said and facts.unmade and not edited else None


def _unready(facts: Facts) -> tuple[Reason, str]:
    """Why instances are missing: the first cause that holds, as the rest of a sentence."""
    instances, backoff, placement = facts.instances, facts.backoff, facts.placement
    if facts.braked_until is not None:
        return Reason.MASS_LOSS, f"; {_braked(facts.braked_until)}"
    if facts.failing:
        return Reason.FAILING, f"; {failures.sentence(facts.failing)}"
    if backoff is not None and backoff.retry_at > facts.now:
        row = f"{failures.counted(backoff.failures, 'failure')} in a row"
        retry = rfc3339(backoff.retry_at)
        return Reason.BACKING_OFF, f"; after {row} the next pod starts at {retry}"
    claims = _of_claims(facts)
    if claims is not None:
        return claims
    if placement is not None:
        return _unplaced(facts, placement)
    if instances.silent:
        patience = facts.spec.unreachable.replace_after_seconds
        silent = f"{len(instances.silent)} on nodes that do not answer"
        then = "not waited for" if facts.spec.mode == "PerNode" else "replaced"
        return Reason.NODE_SILENT, f"; {silent}, {then} after {patience} s"
    if facts.waits:
        return Reason(facts.waits), f"; {_standstill(facts)}"
    if facts.outdated:
        rest = f"{facts.updated} updated, {facts.outdated} of older templates left"
        gate = failures.gated(instances, facts.aim.revision.id)
        return Reason.ROLLING_OUT, f"; {rest}; {gate}" if gate else f"; {rest}"
    if facts.spec.replicas == 0:
        rest = failures.counted(len(instances.live), "instance")
        return Reason.STOPPING, f"; {rest} left to stop"
    unready = failures.unready(instances)
    return (Reason.UNREADY, f"; {unready}") if unready else (Reason.STARTING, "")


def _unplaced(facts: Facts, placement: NoRoom) -> tuple[Reason, str]:
    if placement.funnel.making:
        return Reason.VOLUME, f"; {_no_room(placement)}"
    if placement.funnel.defect:
        return Reason.DEFECT, f"; {_no_room(placement)}"
    return Reason.NO_ROOM, f"; {_no_room(placement)}{_none_first(facts)}"


def _of_claims(facts: Facts) -> tuple[Reason, str] | None:
    """Which claim problem keeps an instance from being made, or from ever running."""
    if facts.held:
        return Reason.PREDECESSOR, f"; {_held(facts.held)}"
    if facts.sole and facts.spec.replicas > 1:
        return Reason.ONE_POD, f"; {_one_pod(facts)}"
    return None


def _one_pod(facts: Facts) -> str:
    remedy = "set replicas to 1"
    if facts.spec.mode == "PerNode":
        remedy = "let it be for one node"
    return (
        f"claim {facts.sole[0]} is ReadWriteOncePod, so that only one pod at a time can use it: "
        f"{remedy}, give each instance a claim of its own (volumeClaimTemplates), or use a claim "
        "with another access mode"
    )


def _held(told: Sequence[str]) -> str:
    more = len(told) - 1
    return f"{told[0]}, and {more} more" if more else told[0]


def _none_first(facts: Facts) -> str:
    """Says that an update finds no room, and that no old instance may go to make room."""
    spare = len(facts.instances.available) - facts.limits.healthy
    if not facts.outdated or facts.waits or spare > 0:
        return ""
    percent = facts.spec.update_strategy.minimum_healthy_percent
    return (
        f"; no older instance may go first, since minimumHealthyPercent is {percent}: "
        "lower it or add a node"
    )


def _braked(until: int) -> str:
    return (
        f"many nodes fell silent at once: nothing is replaced, moved or taken away until "
        f"{rfc3339(until)}, or until {names.IGNORE_MASS_LOSS} is true on this service"
    )


def _standstill(facts: Facts) -> str:
    """Where an update waits, and what ends the wait."""
    rules, progress = facts.spec.update_strategy, facts.progress
    count = f"{facts.updated} of {facts.spec.replicas} instances have the newest template"
    if facts.braked_until is not None:
        return _braked(facts.braked_until)
    if facts.unmet:
        waits = " and ".join(
            f"{name} (until {rfc3339(until)} at most)" for name, until in facts.unmet.items()
        )
        return f"it waits for {waits}"
    if facts.waits == Reason.NODE_LEAVING:
        return _held(facts.stranded)
    if facts.waits == Reason.PAUSED or progress is None:
        return f"{count}, updateStrategy.paused is true"
    step = rules.steps[progress.step]
    until = f"until {names.PROMOTE} gets a new value"
    if step.pause_seconds is not None and progress.reached_at is not None:
        until = f"until {rfc3339(progress.reached_at + step.pause_seconds)}"
    return f"{count}, step {progress.step + 1} of {len(rules.steps)} holds {until}"


def _available(facts: Facts) -> Condition:
    available, minimum = len(facts.instances.available), facts.limits.healthy
    message = f"{available} available, the healthy minimum is {minimum}."
    if available >= minimum:
        return true(AVAILABLE, Reason.MINIMUM_MET, message)
    return false(AVAILABLE, Reason.MINIMUM_MISSED, message)


def _progressing(facts: Facts, ready: Condition) -> Condition:
    """As on a Deployment: True while it goes on and when it is done, False when it is blocked."""
    admission = facts.admission
    if admission is not None and (admission.final or (admission.refusal and not facts.done)):
        # While old instances go, the quota will soon have room; otherwise the deadline runs.
        freeing = admission.lacks_quota and facts.instances.outdated_going
        if not (freeing or (admission.lacks_quota and facts.overdue)):
            return false(PROGRESSING, ready.reason, ready.message)
    if ready.reason == Reason.CYCLE:
        return false(PROGRESSING, ready.reason, ready.message)
    given_up = facts.aim.rolled_back
    if given_up is not None:
        return false(PROGRESSING, Reason.ROLLED_BACK, str(given_up["message"]))
    if facts.done:
        return true(PROGRESSING, Reason.ROLLED_OUT, "Every instance has the newest template.")
    if facts.waits:
        return unknown(PROGRESSING, facts.waits, f"{_standstill(facts)}.")
    if facts.overdue:
        seconds = facts.spec.update_strategy.progress_deadline_seconds
        return false(PROGRESSING, Reason.DEADLINE, f"No progress for {seconds} s; {ready.message}")
    if facts.outdated:
        return true(
            PROGRESSING,
            Reason.ROLLING_OUT,
            f"{facts.updated} of {facts.spec.replicas} instances have the newest template.",
        )
    return true(PROGRESSING, Reason.STARTING, ready.message)


def _placed(facts: Facts) -> Condition:
    placement = facts.placement
    if placement is not None:
        word = Reason.VOLUME if placement.funnel.making else Reason.NO_ROOM
        if placement.funnel.defect:
            word = Reason.DEFECT
        return false(conditions.PLACED, word, f"{_no_room(placement)}.")
    homeless = sum(not pod.node for pod in facts.instances.live)
    if homeless or facts.starting:
        count = homeless + facts.starting
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
    """Changes that are worth a line in `kubectl describe`; empty when there are none."""
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
    told += refused_writes.news_of_refusals(before, after)
    for stalled in after["conditions"]:
        word = stalled["reason"]
        if stalled["type"] == conditions.STALLED and word != conditions.reason_of(
            before.get("conditions"), conditions.STALLED
        ):
            told.append(EmitEvent(word, stalled["message"], warning=True))
    return tuple(told)


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
