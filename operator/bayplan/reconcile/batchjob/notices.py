"""The notices to a job's receivers on a change of its status: facts only, no argument of a run.

They go with the write of the status that accounts for them, as Events do, so each is sent once.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.api.times import time_text
from bayplan.model.intents import EmitEvent, Notice
from bayplan.reconcile.batchjob import events, triggers
from bayplan.reconcile.batchjob.conditions import hindrance, how, too_many
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.progress import JobProgress
from bayplan.reconcile.batchjob.runs import Finished, RunProgress
from bayplan.reconcile.batchjob.status_entries import wire_finished
from bayplan.reconcile.batchjob.suspension import TOO_MANY_FAILURES

Told = tuple[str, Mapping[str, Any]]  # the occasion, and the facts


def notices(context: JobContext, progress: JobProgress) -> Iterable[Notice | EmitEvent]:
    """For each receiver what it wants to know; a warning for a receiver that is not defined."""
    known = context.view.receivers
    told = list(_told(context, progress)) if context.spec.notifications else []
    for one in context.spec.notifications:
        wanted = [(on, facts) for on, facts in told if on in one.when]
        if one.receiver in known:
            for on, facts in wanted:
                yield Notice(one.receiver, on, {"time": time_text(context.now), **facts})
        elif wanted or context.job.status.get("observedGeneration") != context.job.generation:
            yield EmitEvent(
                "UnknownReceiver",
                f"spec.notifications: there is no receiver {one.receiver}; an administrator "
                "defines it in the operator's --notifications-file.",
                warning=True,
            )


def _told(context: JobContext, progress: JobProgress) -> Iterable[Told]:
    for one in progress.finished:
        if one.outcome in {"Failed", "Cancelled"}:
            yield one.outcome, _run(one)
    if progress.missed and progress.missed_slot is not None:
        reason = progress.due.reason or triggers.SUPERSEDED
        newest = time_text(progress.missed_slot)
        count = progress.missed
        times = "1 scheduled time" if count == 1 else f"{count} scheduled times"
        message = f"{times} passed without a run, the newest {newest} ({reason})"
        yield (
            "Missed",
            {"message": message, "count": count, "slotTime": newest, "reason": reason},
        )
    for run_progress in progress.runs:
        yield from _of_unfinished(context, run_progress)
    before = context.stored.statistics.get("consecutiveFailures", 0)
    if before and not progress.suspension.failures:
        good = [one for one in progress.finished if one.outcome == "Succeeded"]
        last = _run(good[-1]) if good else {"run": progress.marked}
        after = "1 failure" if before == 1 else f"{before} failures in a row"
        yield "Recovered", {**last, "message": f"Run {last['run']} succeeded after {after}"}
    if progress.suspension.word == TOO_MANY_FAILURES and not events.said(
        context, TOO_MANY_FAILURES
    ):
        yield (
            "Suspended",
            {"message": too_many(progress.suspension), "failures": progress.suspension.failures},
        )


def _of_unfinished(context: JobContext, run_progress: RunProgress) -> Iterable[Told]:
    run = run_progress.run
    slot = {} if run.slot is None else {"slotTime": time_text(run.slot)}
    if events.is_newly_late(context, run_progress):
        expected = context.spec.expected_duration_seconds
        message = f"Run {run.id} runs longer than the expected {expected} s"
        facts = {"message": message, "run": run.id, "expectedDurationSeconds": expected}
        yield "Late", {**facts, **slot}
    if events.is_newly_hindered(context, run_progress):
        facts = {"run": run.id, "reason": run.reason, "node": run.node, "detail": run.detail}
        yield "CannotStart", {**facts, **slot, "message": hindrance(run)}


def _run(finished: Finished) -> Mapping[str, Any]:
    """A finished run's facts without its arguments, because they may be secret."""
    told = wire_finished(finished)
    facts = {name: value for name, value in told.items() if name != "arguments"}
    return {**facts, "message": how(told)}
