"""The Events that report a BatchJob's change of status; their reasons are a closed list."""

from collections.abc import Iterable

from bayplan.api import names
from bayplan.api.times import time_text
from bayplan.model.intents import EmitEvent
from bayplan.reconcile import conditions, refused_writes
from bayplan.reconcile.batchjob import requests, starting, triggers
from bayplan.reconcile.batchjob.attempt_outcome import START_TIMEOUT, TEMPLATE_CHANGED
from bayplan.reconcile.batchjob.conditions import hindrance, how, problem, too_many
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.progress import JobProgress
from bayplan.reconcile.batchjob.runs import LATE, RunProgress
from bayplan.reconcile.batchjob.status_entries import wire_finished
from bayplan.reconcile.batchjob.suspension import TOO_MANY_FAILURES

_REFUSED = {
    "Refuse": "A run that was asked for waits already.",
    requests.NOT_FAILED: (
        f"The annotation {names.RETRY} must name a run of status.history that failed or was "
        "cancelled."
    ),
    requests.UNREADABLE: (
        f'The annotation {names.RUN_NOW_ARGS} must be JSON such as {{"args": ["-v"], "env": '
        f'{{"DAY": "2026-01-31"}}}}, at most {requests.LONGEST_ARGUMENTS} characters; write it and '
        f"a new {names.RUN_NOW}."
    ),
}


def events(context: JobContext, progress: JobProgress) -> Iterable[EmitEvent]:
    if progress.missed and progress.missed_slot is not None:
        reason = progress.due.reason or triggers.SUPERSEDED
        times = "1 scheduled time" if progress.missed == 1 else f"{progress.missed} scheduled times"
        newest = time_text(progress.missed_slot)
        yield EmitEvent(
            "Missed",
            f"{times} passed without a run, the newest {newest} ({reason}).",
            warning=True,
        )
    if progress.passed:
        yield EmitEvent(
            "PassedWhileSuspended", f"{progress.passed} scheduled times passed while suspended."
        )
    if progress.suspension.word == TOO_MANY_FAILURES and not said(context, TOO_MANY_FAILURES):
        yield EmitEvent("Suspended", f"{too_many(progress.suspension)}.", warning=True)
    yield from _refusals(context)
    yield from _answers(progress)
    for one in progress.finished:
        if one.outcome == "Failed":
            yield EmitEvent("RunFailed", f"{how(wire_finished(one))}.", warning=True)
        elif one.outcome == "Cancelled":
            yield EmitEvent("RunCancelled", f"{how(wire_finished(one))}.")
        else:
            yield EmitEvent("RunSucceeded", f"{how(wire_finished(one))}.")
    for run_progress in progress.runs:
        yield from _run_events(context, run_progress)


def blocked(before: object, word: str, message: str) -> Iterable[EmitEvent]:
    """Why no run can start; an unchanged reason gives no new event. `before`: stored conditions."""
    stored = conditions.stored(before, conditions.READY)
    if stored is None or (stored.reason, stored.message) != (word, conditions.cut(message)):
        yield EmitEvent(word, message, warning=True)


def _refusals(context: JobContext) -> Iterable[EmitEvent]:
    """What is wrong with the job, or what the API server refuses, unless the status says so."""
    refusals, admission = context.view.refusals, context.view.admission
    before = context.job.status.get("conditions")
    if context.job.problems:
        yield from blocked(before, *problem(context.job.problems))
        return
    if admission is not None and admission.refusal:
        yield from blocked(before, admission.refusal, admission.message)
        return
    if not refusals:
        return
    yield from blocked(before, refused_writes.word(refusals), refused_writes.sentence(refusals))


def _answers(progress: JobProgress) -> Iterable[EmitEvent]:
    """Answers to what people asked by annotation."""
    for trigger, why in progress.refused:
        yield EmitEvent(f"{trigger}Refused", _REFUSED[why], warning=True)
    if progress.order.news:
        refused = progress.order.refused
        word = "BackfillRefused" if refused else "Backfill"
        yield EmitEvent(word, progress.order.news, warning=refused)
    if progress.marked:
        yield EmitEvent(
            "RunMarked", f"Run {progress.marked} counts as a success: a person says so."
        )


def is_newly_late(context: JobContext, run_progress: RunProgress) -> bool:
    entry = context.stored.entry(run_progress.run.id)
    return run_progress.run.reason == LATE and (entry is None or entry.reason != LATE)


def is_newly_hindered(context: JobContext, run_progress: RunProgress) -> bool:
    """Whether the run cannot start, and no event said so of this run before."""
    entry, run = context.stored.entry(run_progress.run.id), run_progress.run
    told = entry is not None and entry.reason in _HINDERED
    hindered = run.reason in starting.HINDERED or run.reason == START_TIMEOUT
    return hindered and not told


_HINDERED = starting.HINDERED | starting.NEVER_STARTED


def said(context: JobContext, word: str) -> bool:
    """Whether the stored status already says why the job is held."""
    stored = context.job.status.get("conditions")
    return conditions.reason_of(stored, conditions.SUSPENDED) == word


def _run_events(context: JobContext, run_progress: RunProgress) -> Iterable[EmitEvent]:
    run, entry = run_progress.run, context.stored.entry(run_progress.run.id)
    if is_newly_late(context, run_progress):
        expected = context.spec.expected_duration_seconds
        yield EmitEvent(
            "RunLate",
            f"Run {run.id} runs longer than the expected {expected} s.",
            warning=True,
        )
    if is_newly_hindered(context, run_progress):
        yield EmitEvent("CannotStart", hindrance(run), warning=True)
    if run.reason == TEMPLATE_CHANGED and run.attempt > (entry.attempt if entry else 0):
        yield EmitEvent(
            "AttemptReplaced",
            f"Attempt {run.attempt} of run {run.id} had begun nothing when the template "
            "changed: one of the new template follows.",
        )
    if run.disruptions > (entry.disruptions if entry is not None else 0):
        where = f" on {run.node}" if run.node else ""
        what = f"attempt {run.attempt}{where}"
        if run.count > 1 and not run.gang:
            what = f"{run.disruptions - (entry.disruptions if entry else 0)} tasks' attempts"
        yield EmitEvent("AttemptLost", f"Run {run.id} lost {what}: {run.reason or 'NodeLost'}.")
