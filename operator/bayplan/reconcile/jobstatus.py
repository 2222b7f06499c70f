"""A BatchJob's whole status, its conditions, and the events that go with the change.

A status says where the runs stand; the start of a run is no news until it has run for ten
seconds, so a short run costs one write. Numbers change in the write that moves a run to the
history, hence exactly once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan import units
from bayplan.model import resources
from bayplan.reconcile import conditions, triggers, waiting
from bayplan.reconcile.action import Admission, EmitEvent, Placement
from bayplan.reconcile.conditions import Condition, false, true, unknown
from bayplan.reconcile.course import Course, Scene
from bayplan.reconcile.ledger import (
    MOST_HISTORY,
    counted,
    time_text,
    wire_finished,
    wire_missed,
    wire_run,
)
from bayplan.reconcile.runs import LATE, Progress, Run

QUIET_SECONDS = 10  # a run that ends before this age is written once, at its end

LAST_RUN_SUCCEEDED = "LastRunSucceeded"
COMPLETE = "Complete"
FAILED = "Failed"

_KEPT = (conditions.READY, conditions.RECONCILING, conditions.STALLED)


@dataclass(frozen=True, slots=True)
class Report:
    """The status wanted, what is told beside it, and when it will have more to say."""

    status: Mapping[str, Any]
    events: tuple[EmitEvent, ...] = ()
    wake_at: int | None = None


def report(scene: Scene, course: Course) -> Report:
    news = _is_news(scene, course)
    shown = course.runs if news else _known_before(scene, course.runs)
    last_slot = course.last_slot if news else scene.stored.last_slot
    history = _history(scene, course)
    placement = waiting.shown(scene.view.placement, scene.now)
    body: dict[str, Any] = {
        "conditions": _conditions(scene, course, shown, history, placement),
        "observedGeneration": scene.job.generation,
        "nextSlotTime": _next_slot(scene, course, last_slot),
        "lastSlotTime": time_text(last_slot) if last_slot >= 0 else None,
        **_schedule_seen(scene, course),
        "remainingRuns": triggers.remaining(
            course.schedule, max(last_slot, course.since - 1, scene.job.created_at - 1)
        ),
        "running": len(shown),
        "active": [_entry(scene, one) for one in shown] or None,
        "history": history or None,
        "statistics": _statistics(scene, course),
        "effectiveRequests": effective_requests(scene.view.admission, scene.job.status),
        "handledTokens": list(course.handled if news else scene.stored.handled) or None,
        "placement": waiting.wire(placement, scene.job.status.get("placement")),
    }
    status = {name: value for name, value in body.items() if value is not None}
    return Report(status, tuple(_events(scene, course)), _wake_at(scene, course))


def stalled(
    status: Mapping[str, Any], word: str, message: str, generation: int, now: int
) -> Mapping[str, Any]:
    """The stored status with the one thing that a person has to mend; all else stays said."""
    before = status.get("conditions")
    kept = _kept(before, exclude=_KEPT)
    wanted = [*conditions.stalled(word, message), *kept]
    return {
        **status,
        "conditions": conditions.merged(before, wanted, generation, now),
        "observedGeneration": generation,
    }


def effective_requests(
    admission: Admission | None, stored: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    """What one pod asks for; a new `checkedTime` alone is no reason to write."""
    before = stored.get("effectiveRequests")
    before = before if isinstance(before, Mapping) else None
    if admission is None or admission.refusal:
        return before
    told = {
        "templateHash": admission.template_hash,
        "requests": {
            name: units.format_amount(name, amount)
            for name, amount in admission.request.items()
            if name != resources.PODS
        },
    }
    if before is not None and {**before, **told} == before:
        return before
    return {**told, "checkedTime": time_text(admission.checked_at)}


def is_young(one: Progress, now: int) -> bool:
    """Whether a run's present attempt began too lately to be worth a write."""
    return now - _began_at(one) < QUIET_SECONDS


def _began_at(one: Progress) -> int:
    return (one.pod.created_at if one.pod is not None else 0) or one.run.since


def _is_news(scene: Scene, course: Course) -> bool:
    """Whether anything happened beside the start of short runs."""
    if course.finished or course.missed or course.refused:
        return True
    if course.handled != scene.stored.handled:
        return True
    return any(_moved(scene, one) for one in course.runs)


def _moved(scene: Scene, one: Progress) -> bool:
    entry = scene.stored.entry(one.run.id)
    if entry is None:
        old = one.pod is not None and not is_young(one, scene.now)
        return one.run.attempt > 0 or one.run.slot is None or old
    return entry.counts != one.run.counts


def _known_before(scene: Scene, runs: Iterable[Progress]) -> tuple[Progress, ...]:
    return tuple(one for one in runs if scene.stored.entry(one.run.id) is not None)


def _entry(scene: Scene, one: Progress) -> dict[str, Any]:
    entry = scene.stored.entry(one.run.id)
    if entry is not None and entry.counts == one.run.counts and _began_anew(scene, one, entry):
        return wire_run(entry)
    return wire_run(one.run)


def _began_anew(scene: Scene, one: Progress, entry: Run) -> bool:
    """Whether only the attempt's start, and lately, is what the stored entry lacks."""
    return one.pod is not None and not entry.pod and is_young(one, scene.now)


def _next_slot(scene: Scene, course: Course, last_slot: int) -> str | None:
    """The next slot to be taken up; in the past while it waits for something."""
    if course.schedule is None or scene.suspended:
        return None
    after = max(last_slot, course.since - 1, scene.job.created_at - 1)
    slot = triggers.next_after(course.schedule, after)
    return None if slot is None else time_text(slot)


def _schedule_seen(scene: Scene, course: Course) -> dict[str, Any]:
    """Which schedule was seen, and its floor; with an unreadable one, what was seen before."""
    name = triggers.schedule_hash(scene.spec)
    if scene.job.problems:
        name = scene.stored.schedule_hash
    return {
        "scheduleHash": name or None,
        "scheduleSinceTime": time_text(course.since) if course.since >= 0 else None,
    }


def _history(scene: Scene, course: Course) -> list[Mapping[str, Any]]:
    history = list(scene.stored.history)
    for one in sorted(course.finished, key=lambda one: (one.ended_at, one.run.id)):
        history.insert(0, wire_finished(one))
    if course.missed and course.missed_slot is not None:
        if history and history[0].get("outcome") == "Missed":
            del history[0]  # one entry tells of a row of misses, or they would push out the runs
        reason = course.due.reason or triggers.SUPERSEDED
        history.insert(0, wire_missed(course.missed_slot, reason))
    return history[:MOST_HISTORY]


def _statistics(scene: Scene, course: Course) -> Mapping[str, int] | None:
    before = scene.stored.statistics
    lost = 0
    for run in [one.run for one in course.runs] + [one.run for one in course.finished]:
        entry = scene.stored.entry(run.id)
        lost += run.disruptions - (entry.disruptions if entry is not None else 0)
    if not (before or course.finished or course.missed or lost):
        return None
    return counted(before, course.finished, course.missed, lost)


def _conditions(
    scene: Scene,
    course: Course,
    shown: Iterable[Progress],
    history: list[Mapping[str, Any]],
    placement: Placement | None,
) -> list[dict[str, Any]]:
    before = scene.job.status.get("conditions")
    newest = next((one for one in history if one.get("outcome") != "Missed"), None)
    wanted = [
        *_ready(scene, course, tuple(shown), newest),
        _placed(placement),
        _last_run(newest),
        _suspended(scene),
    ]
    if scene.spec.schedule is None:
        wanted += _ended(newest, before)
    return conditions.merged(before, wanted, scene.job.generation, scene.now)


def _ready(
    scene: Scene, course: Course, shown: tuple[Progress, ...], newest: Mapping[str, Any] | None
) -> Iterable[Condition]:
    job, admission = scene.job, scene.view.admission
    if job.problems:
        return conditions.stalled(*problem(job.problems))
    if admission is None:
        before = job.status.get("conditions")
        if job.status.get("observedGeneration") == job.generation:
            kept = _kept(before, only=_KEPT)
            if any(one.type == conditions.READY for one in kept):
                return kept  # a restart has not asked again yet; what was said still holds
        return conditions.unseen()
    if admission.final:
        return conditions.stalled(admission.refusal, admission.message)
    if admission.refusal:
        return [false(conditions.READY, admission.refusal, admission.message)]
    if scene.spec.schedule is None:
        return _ready_once(scene, shown, newest)
    if scene.suspended:
        return [true(conditions.READY, "Suspended", "No new runs start: spec.suspend is true.")]
    if not shown and not course.runs and course.due.slot is None and course.due.next_at is None:
        return [true(conditions.READY, "Finished", "The schedule has come to its end.")]
    return [true(conditions.READY, "Scheduled", "Runs start by the schedule.")]


def _ready_once(
    scene: Scene, shown: tuple[Progress, ...], newest: Mapping[str, Any] | None
) -> Iterable[Condition]:
    """A job without a schedule is in progress until its run has a node."""
    if any(one.pod is not None and one.pod.node for one in shown):
        return [true(conditions.READY, "Running", "The run has a node.")]
    if shown or newest is None:
        if scene.suspended and not shown:
            return [true(conditions.READY, "Suspended", "No run starts: spec.suspend is true.")]
        retrying = any(one.run.retry_at is not None for one in shown)
        word = "Retrying" if retrying else "Starting"
        message = "The next attempt waits for its time." if retrying else "The run gets a node."
        return [false(conditions.READY, word, message), true(conditions.RECONCILING, word, message)]
    if newest.get("outcome") == "Succeeded":
        return [true(conditions.READY, COMPLETE, "The run succeeded.")]
    return conditions.stalled("RunFailed", f"{_how(newest)}; ask for another with run-now.")


def _placed(placement: Placement | None) -> Condition:
    if placement is None:
        return true(conditions.PLACED, "Placed", "Nothing waits for room.")
    count = placement.pending
    return false(
        conditions.PLACED,
        "NoRoom",
        f"{count} {'task finds' if count == 1 else 'tasks find'} no room.",
    )


def _last_run(newest: Mapping[str, Any] | None) -> Condition:
    if newest is None:
        return unknown(LAST_RUN_SUCCEEDED, "NoRunYet", "No run has finished yet.")
    outcome = str(newest.get("outcome"))
    if outcome == "Succeeded":
        return true(LAST_RUN_SUCCEEDED, outcome, _how(newest))
    return false(LAST_RUN_SUCCEEDED, outcome, _how(newest))


def _suspended(scene: Scene) -> Condition:
    if scene.suspended:
        return true(conditions.SUSPENDED, "Suspended", "spec.suspend is true.")
    return false(conditions.SUSPENDED, "NotSuspended")


def _ended(newest: Mapping[str, Any] | None, before: object) -> list[Condition]:
    """Complete or Failed of a job without a schedule: as its newest run ended."""
    if newest is None:
        return list(_kept(before, only=(COMPLETE, FAILED)))
    if newest.get("outcome") == "Succeeded":
        return [true(COMPLETE, COMPLETE, _how(newest))]
    return [true(FAILED, str(newest.get("reason") or FAILED), _how(newest))]


def problem(problems: Iterable[Any]) -> tuple[str, str]:
    """The gravest problem's word, and a sentence that names fields and remedies."""
    listed = list(problems)
    message = "; ".join(f"{one.field}: {one.message}" for one in listed)
    return listed[0].reason, message


def _how(finished: Mapping[str, Any]) -> str:
    """`Run s1abc2 failed: OOMKilled, exit code 137, attempt 3, on ip-10-0-3-7`."""
    told = f"Run {finished.get('run')} {str(finished.get('outcome')).lower()}"
    details = []
    if finished.get("outcome") != "Succeeded":
        details = [str(finished.get("reason") or "Error")]
        if isinstance(finished.get("exitCode"), int):
            details.append(f"exit code {finished['exitCode']}")
    attempts = finished.get("attempts")
    if isinstance(attempts, int) and attempts > 1:
        details.append(f"{attempts} attempts")
    if finished.get("node"):
        details.append(f"on {finished['node']}")
    return f"{told}: {', '.join(details)}" if details else told


def _events(scene: Scene, course: Course) -> Iterable[EmitEvent]:
    if course.missed and course.missed_slot is not None:
        reason = course.due.reason or triggers.SUPERSEDED
        times = "1 scheduled time" if course.missed == 1 else f"{course.missed} scheduled times"
        yield EmitEvent(
            "Missed",
            f"{times} passed without a run, the newest {time_text(course.missed_slot)} ({reason}).",
            warning=True,
        )
    if course.passed:
        yield EmitEvent(
            "PassedWhileSuspended", f"{course.passed} scheduled times passed while suspended."
        )
    if course.refused:
        yield EmitEvent("RunNowRefused", "A run that was asked for waits already.", warning=True)
    for one in course.finished:
        if one.outcome == "Failed":
            yield EmitEvent("RunFailed", f"{_how(wire_finished(one))}.", warning=True)
        elif one.outcome == "Cancelled":
            yield EmitEvent("RunCancelled", f"{_how(wire_finished(one))}.")
    for progress in course.runs:
        yield from _run_events(scene, progress)


def _run_events(scene: Scene, progress: Progress) -> Iterable[EmitEvent]:
    run, entry = progress.run, scene.stored.entry(progress.run.id)
    if run.reason == LATE and (entry is None or entry.reason != LATE):
        yield EmitEvent(
            "RunLate",
            f"Run {run.id} runs longer than the expected {scene.spec.expected_duration_seconds} s.",
            warning=True,
        )
    if run.disruptions > (entry.disruptions if entry is not None else 0):
        where = f" on {run.node}" if run.node else ""
        yield EmitEvent(
            "AttemptLost", f"Run {run.id} lost attempt {run.attempt - 1}{where}: {run.reason}."
        )


def _wake_at(scene: Scene, course: Course) -> int | None:
    """When what is kept quiet becomes worth a write."""
    marks = [_began_at(one) + QUIET_SECONDS for one in course.runs if one.pod is not None]
    placement = scene.view.placement
    if placement is not None:
        marks.append(placement.since + waiting.PATIENCE_SECONDS)
    return min((mark for mark in marks if mark > scene.now), default=None)


def _kept(
    before: object, *, only: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> list[Condition]:
    """Stored conditions as they are, the sound ones."""
    kept = []
    for one in before if isinstance(before, list) else ():
        type_ = one.get("type") if isinstance(one, Mapping) else None
        if not isinstance(type_, str) or type_ in exclude or (only and type_ not in only):
            continue
        status, reason, message = (one.get(name) for name in ("status", "reason", "message"))
        if status in ("True", "False", "Unknown") and isinstance(reason, str):
            text = message if isinstance(message, str) else ""
            kept.append(Condition(type_, status, reason, text))
    return kept
