"""What a BatchJob's change of status is told with: Events, their reasons a closed list."""

from collections.abc import Iterable

from bayplan.api import names
from bayplan.api.times import time_text
from bayplan.model.intents import EmitEvent
from bayplan.reconcile import conditions, denied, starting, triggers, verbs
from bayplan.reconcile.course import Course
from bayplan.reconcile.holding import TOO_MANY_FAILURES
from bayplan.reconcile.jobconditions import hindrance, how, too_many
from bayplan.reconcile.ledger import wire_finished
from bayplan.reconcile.runs import LATE, Progress
from bayplan.reconcile.scene import Scene
from bayplan.reconcile.verdict import START_TIMEOUT, TEMPLATE_CHANGED

_REFUSED = {
    "Refuse": "A run that was asked for waits already.",
    verbs.NOT_FAILED: (
        f"The annotation {names.RETRY} must name a run of status.history that failed or was "
        "cancelled."
    ),
    verbs.UNREADABLE: (
        f'The annotation {names.RUN_NOW_ARGS} must be JSON such as {{"args": ["-v"], "env": '
        f'{{"DAY": "2026-01-31"}}}}, at most {verbs.LONGEST_ARGUMENTS} characters; write it and '
        f"a new {names.RUN_NOW}."
    ),
}


def events(scene: Scene, course: Course) -> Iterable[EmitEvent]:
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
    if course.holding.word == TOO_MANY_FAILURES and not said(scene, TOO_MANY_FAILURES):
        yield EmitEvent("Suspended", f"{too_many(course.holding)}.", warning=True)
    yield from _refusals(scene)
    yield from _answers(course)
    for one in course.finished:
        if one.outcome == "Failed":
            yield EmitEvent("RunFailed", f"{how(wire_finished(one))}.", warning=True)
        elif one.outcome == "Cancelled":
            yield EmitEvent("RunCancelled", f"{how(wire_finished(one))}.")
    for progress in course.runs:
        yield from _run_events(scene, progress)


def _refusals(scene: Scene) -> Iterable[EmitEvent]:
    """Which object the API server refuses; the same once more tells nothing new."""
    refusals = scene.view.refusals
    if not refusals:
        return
    stored = conditions.stored(scene.job.status.get("conditions"), conditions.READY)
    message = denied.sentence(refusals)
    if stored is None or stored.message != message:
        yield EmitEvent(denied.word(refusals), message, warning=True)


def _answers(course: Course) -> Iterable[EmitEvent]:
    """To what people asked by annotation."""
    for trigger, why in course.refused:
        yield EmitEvent(f"{trigger}Refused", _REFUSED[why], warning=True)
    if course.order.news:
        refused = course.order.refused
        word = "BackfillRefused" if refused else "Backfill"
        yield EmitEvent(word, course.order.news, warning=refused)
    if course.marked:
        yield EmitEvent("RunMarked", f"Run {course.marked} counts as a success: a person says so.")


def is_newly_late(scene: Scene, progress: Progress) -> bool:
    entry = scene.stored.entry(progress.run.id)
    return progress.run.reason == LATE and (entry is None or entry.reason != LATE)


def is_newly_hindered(scene: Scene, progress: Progress) -> bool:
    """Whether it cannot start, and nobody was told that of this run before."""
    entry, run = scene.stored.entry(progress.run.id), progress.run
    told = entry is not None and entry.reason in _HINDERED
    hindered = run.reason in starting.HINDERED or run.reason == START_TIMEOUT
    return hindered and not told


_HINDERED = starting.HINDERED | starting.NEVER_STARTED


def said(scene: Scene, word: str) -> bool:
    """Whether the stored status says already why the job is held."""
    stored = scene.job.status.get("conditions")
    return conditions.reason_of(stored, conditions.SUSPENDED) == word


def _run_events(scene: Scene, progress: Progress) -> Iterable[EmitEvent]:
    run, entry = progress.run, scene.stored.entry(progress.run.id)
    if is_newly_late(scene, progress):
        yield EmitEvent(
            "RunLate",
            f"Run {run.id} runs longer than the expected {scene.spec.expected_duration_seconds} s.",
            warning=True,
        )
    if is_newly_hindered(scene, progress):
        yield EmitEvent("CannotStart", hindrance(run), warning=True)
    if run.reason == TEMPLATE_CHANGED and run.attempt > (entry.attempt if entry else 0):
        yield EmitEvent(
            "AttemptReplaced",
            f"Attempt {run.attempt - 1} of run {run.id} had begun nothing when the template "
            "changed: one of the new template follows.",
        )
    if run.disruptions > (entry.disruptions if entry is not None else 0):
        where = f" on {run.node}" if run.node else ""
        what = f"attempt {run.attempt - 1}{where}"
        if run.count > 1 and not run.gang:
            what = f"{run.disruptions - (entry.disruptions if entry else 0)} tasks' attempts"
        yield EmitEvent("AttemptLost", f"Run {run.id} lost {what}: {run.reason or 'NodeLost'}.")
