"""A BatchJob's whole status.

A status says where the runs stand. The start of a run is not news at once (`young.py`), so a short
run costs one write. Numbers change in the write that moves a run to the history, so each run counts
exactly once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api.times import time_text
from bayplan.model.intents import EmitEvent, Notice
from bayplan.reconcile import effective_requests, placement_status
from bayplan.reconcile.batchjob import backfill, statistics, triggers
from bayplan.reconcile.batchjob.conditions import job_conditions
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.events import events, is_newly_late
from bayplan.reconcile.batchjob.notices import notices
from bayplan.reconcile.batchjob.progress import JobProgress
from bayplan.reconcile.batchjob.runs import BY_PEOPLE, MARKED, OF_LIVE, Run, RunProgress
from bayplan.reconcile.batchjob.status_entries import (
    counted,
    wire_backfill,
    wire_finished,
    wire_fulfilled,
    wire_gaps,
    wire_missed,
    wire_run,
)
from bayplan.reconcile.batchjob.stored_status import MOST_HISTORY, Backfill
from bayplan.reconcile.batchjob.young import is_running, is_young, told_at
from bayplan.reconcile.view import Success
from bayplan.schedules.gaps import Gaps, between, more, without


@dataclass(frozen=True, slots=True)
class Report:
    """The wanted status, the events with it, and when it will have more to say."""

    status: Mapping[str, Any]
    events: tuple[EmitEvent | Notice, ...] = ()
    wake_at: int | None = None


def report_of(context: JobContext, progress: JobProgress) -> Report:
    news = _is_news(context, progress)
    shown = progress.runs if news else _known_before(context, progress.runs)
    last_slot = progress.last_slot if news else context.stored.last_slot
    history = _history(context, progress)
    samples = context.samples.grown(progress.finished)
    left, gaps = _unfilled(context, progress, last_slot, news=news)
    placement = placement_status.shown(context.view.placement, context.now)
    body: dict[str, Any] = {
        "conditions": job_conditions(context, progress, shown, history, placement),
        "observedGeneration": context.job.generation,
        "nextSlotTime": _next_slot(context, progress, last_slot),
        "lastSlotTime": time_text(last_slot) if last_slot >= 0 else None,
        **_schedule_seen(context, progress),
        "gaps": wire_gaps(gaps),
        "backfill": wire_backfill(left),
        "remainingRuns": triggers.remaining(
            progress.schedule, max(last_slot, progress.since - 1, context.job.created_at - 1)
        ),
        "lastRunTime": _last_run(context, progress, shown),
        "running": sum(is_running(context, one) for one in shown if not _is_untold(context, one)),
        "active": [_entry(context, one) for one in shown] or None,
        "history": history or None,
        "fulfilled": _fulfilled(context, progress) or None,
        "statistics": _statistics(context, progress, samples),
        "samples": samples.wire(),
        "effectiveRequests": effective_requests.requests(
            context.view.admission, context.job.status
        ),
        "forgivenFailures": progress.suspension.forgiven or None,
        "pausedUntil": None
        if progress.suspension.until is None
        else time_text(progress.suspension.until),
        "consumed": _consumed(context, progress, news=news) or None,
        "handledTokens": list(progress.handled if news else context.stored.handled) or None,
        "placement": placement_status.wire(placement, context.job.status.get("placement")),
    }
    status = {name: value for name, value in body.items() if value is not None}
    told = (
        *events(context, progress),
        *effective_requests.news(context.job.status, status),
        *notices(context, progress),
    )
    return Report(status, told, _wake_at(context, progress))


def _is_news(context: JobContext, progress: JobProgress) -> bool:
    """Whether anything happened besides the start of short runs."""
    if progress.finished or progress.missed or progress.refused or progress.marked:
        return True
    if progress.order.backfill != context.stored.backfill:
        return True
    asked = (run for run in progress.handled if run.startswith("r"))
    if any(run not in context.stored.handled for run in asked):
        return True
    return any(_moved(context, one) for one in progress.runs)


def _moved(context: JobContext, one: RunProgress) -> bool:
    entry = context.stored.entry(one.run.id)
    if entry is None:
        old = one.pod is not None and not is_young(context, one)
        told = one.run.trigger in BY_PEOPLE or one.run.reason in OF_LIVE
        # An index of an array may have ended for good while others are at their first attempt.
        tried = one.run.attempt > 0 or one.run.failures > 0 or one.run.disruptions > 0
        return tried or told or old
    return entry.counts != one.run.counts


def _known_before(context: JobContext, runs: Iterable[RunProgress]) -> tuple[RunProgress, ...]:
    return tuple(one for one in runs if context.stored.entry(one.run.id) is not None)


def _entry(context: JobContext, one: RunProgress) -> dict[str, Any]:
    entry = context.stored.entry(one.run.id)
    return wire_run(entry if entry is not None and _is_untold(context, one) else one.run)


def _is_untold(context: JobContext, one: RunProgress) -> bool:
    """Whether the stored entry lacks only the start of the attempt, and that start is recent."""
    entry = context.stored.entry(one.run.id)
    if entry is None or entry.counts != one.run.counts or one.run.reason in OF_LIVE:
        return False
    return one.pod is not None and not entry.pod and is_young(context, one)


def _last_run(
    context: JobContext, progress: JobProgress, shown: Iterable[RunProgress]
) -> str | None:
    """When the newest run began that the status accounts for, whatever it was started by."""
    begun = [one.run.since for one in shown if one.run.begun or one.pod is not None]
    begun += [one.run.since for one in progress.finished]
    newest = max([context.stored.last_run, *begun])
    return time_text(newest) if newest >= 0 else None


def _unfilled(
    context: JobContext, progress: JobProgress, last_slot: int, *, news: bool
) -> tuple[Backfill, Gaps | None]:
    """What is left of a backfill, and the gaps; None for the gaps of a new job."""
    stored = context.stored.gaps
    known = backfill.known_gaps(context)
    if progress.schedule is None:
        return progress.order.backfill, stored
    until = max(last_slot, progress.since - 1)
    left, after = progress.order.backfill, known
    if until > progress.floor:
        new = between(progress.schedule, progress.floor, until, progress.slots)
        after = more(known, new)
    for slot in progress.slots:  # a run whose slot an edit of the schedule passed over
        after = without(after, slot, progress.schedule)
    if news:
        begun = backfill.slots_of([*(one.run for one in progress.runs), *_runs_ended(progress)])
        left, after = backfill.left(progress.order, progress.schedule, after, begun)
    return left, stored if after == known else after


def _runs_ended(progress: JobProgress) -> Iterable[Run]:
    return (one.run for one in progress.finished)


def _next_slot(context: JobContext, progress: JobProgress, last_slot: int) -> str | None:
    """The next slot to be taken up; in the past while it waits for something."""
    if progress.schedule is None or progress.suspension:
        return None
    after = max(last_slot, progress.since - 1, context.job.created_at - 1)
    slot = triggers.next_after(progress.schedule, after)
    return None if slot is None else time_text(slot)


def _schedule_seen(context: JobContext, progress: JobProgress) -> dict[str, Any]:
    """The hash and the floor of the schedule; an unreadable schedule keeps the former hash."""
    name = triggers.schedule_hash(context.spec)
    if context.job.problems:
        name = context.stored.schedule_hash
    return {
        "scheduleHash": name or None,
        "scheduleSinceTime": time_text(progress.since) if progress.since >= 0 else None,
    }


def _history(context: JobContext, progress: JobProgress) -> list[Mapping[str, Any]]:
    history: list[Mapping[str, Any]] = [
        {**one, "outcome": "Succeeded", "reason": MARKED} if one["run"] == progress.marked else one
        for one in context.stored.history
    ]
    for one in sorted(progress.finished, key=lambda one: (one.ended_at, one.run.id)):
        history.insert(0, wire_finished(one))
    if progress.missed and progress.missed_slot is not None:
        if history and history[0].get("outcome") == "Missed":
            del history[0]  # one entry stands for a row of misses, or they would push out the runs
        reason = progress.due.reason or triggers.SUPERSEDED
        history.insert(0, wire_missed(progress.missed_slot, reason))
    return history[:MOST_HISTORY]


def _consumed(context: JobContext, progress: JobProgress, *, news: bool) -> list[dict[str, str]]:
    """The parents' successes that the job last ran on; a young run's are kept on its pod."""
    told = progress.consumed if news else context.stored.consumed
    return [{"name": name, "run": run} for name, run in sorted(told.items())]


def _fulfilled(context: JobContext, progress: JobProgress) -> list[dict[str, Any]]:
    """What the job's children may count as a success."""
    new = [
        Success(one.run.id, one.ended_at, one.run.slot if one.run.trigger == "Retry" else None)
        for one in progress.finished
        if one.outcome == "Succeeded"
        or (one.outcome == "Failed" and context.spec.treat_failure_as_success)
    ]
    if progress.marked:
        new.append(Success(progress.marked, context.now))
    return wire_fulfilled(context.stored.fulfilled, new)


def _statistics(
    context: JobContext, progress: JobProgress, samples: statistics.Samples
) -> Mapping[str, int] | None:
    before = context.stored.statistics
    lost = 0
    for run in [one.run for one in progress.runs] + [one.run for one in progress.finished]:
        entry = context.stored.entry(run.id)
        lost += run.disruptions - (entry.disruptions if entry is not None else 0)
    late = sum(is_newly_late(context, one) for one in progress.runs)
    if not (before or progress.finished or progress.missed or lost or late):
        return None
    told = counted(before, progress.finished, progress.missed, lost, late)
    told |= samples.quantiles()
    return {**told, "consecutiveFailures": progress.suspension.failures}


def _wake_at(context: JobContext, progress: JobProgress) -> int | None:
    """When something that is not written yet becomes worth a write."""
    marks = [told_at(context, one) for one in progress.runs if one.pod is not None]
    placement = context.view.placement
    if placement is not None:
        marks.append(placement.since + placement_status.PATIENCE_SECONDS)
    return min((mark for mark in marks if mark > context.now), default=None)
