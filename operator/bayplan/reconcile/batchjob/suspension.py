"""What holds back a job's runs: a person's suspend, a pause, too many failures in a row.

There is no switch: whether a job is held follows from its spec, the stored status and the clock.
What a person asks by annotation is taken into the status, so that removing it changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from bayplan.api import edits, names
from bayplan.api.times import time_of
from bayplan.reconcile import conditions
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.requests import heals
from bayplan.reconcile.batchjob.runs import Finished
from bayplan.reconcile.batchjob.status_entries import counted

SUSPENDED = "Suspended"
PAUSED = "Paused"
TOO_MANY_FAILURES = "TooManyFailures"


@dataclass(frozen=True, slots=True)
class Suspension:
    """Why no scheduled run starts (empty: runs start), and what the status keeps of that.

    `until` is when a pause ends (epoch seconds), `unread` marks a pause that is not a time.
    `failures` are the failures in a row, `forgiven` of them came before the last edit of the spec.
    """

    word: str = ""
    until: int | None = None
    failures: int = 0
    forgiven: int = 0
    unread: bool = False

    def __bool__(self) -> bool:
        return bool(self.word)


def suspension(context: JobContext, finished: Iterable[Finished]) -> Suspension:
    """What holds the job back now, counting the runs that end now."""
    told = context.job.annotations.get(names.PAUSED_UNTIL)
    until = context.stored.paused_until if told is None else time_of(told)
    paused = until is not None and until > context.now
    failures = counted(context.stored.statistics, tuple(finished), 0, 0)["consecutiveFailures"]
    failures = 0 if heals(context) else failures
    forgiven = min(_forgiven(context, failures), failures)
    limit = context.spec.suspend_after_failures
    word = ""
    if context.spec.suspend:
        word = SUSPENDED
    elif limit and failures - forgiven >= limit:
        word = TOO_MANY_FAILURES
    elif paused:
        word = PAUSED
    return Suspension(
        word=word,
        until=until if paused else None,
        failures=failures,
        forgiven=forgiven,
        unread=bool(told) and until is None,
    )


def resumed(context: JobContext, held: Suspension, finished: Iterable[Finished]) -> int | None:
    """Since when slots count again if the job was held until now; None if it was not held.

    Exact to the second: a pause ends at its own time, what a person ends at the time of the edit, a
    row of failures when the successful run ended. Where the time is unknown, it is now.
    """
    stored = context.job.status.get("conditions")
    if held or conditions.status_of(stored, conditions.SUSPENDED) != "True":
        return None
    since = conditions.since_of(stored, conditions.SUSPENDED)
    match conditions.reason_of(stored, conditions.SUSPENDED):
        case word if word == PAUSED:
            return _pause_ended(context, since)
        case word if word == TOO_MANY_FAILURES:
            return _row_ended(context, since, finished)
    edits_ = context.job.edits
    return _edited(context, edits_.get(edits.SUSPEND, edits_.get(edits.SPEC)), since)


def _pause_ended(context: JobContext, since: int) -> int:
    """When the pause's time came, or when a person replaced it with a time in the past."""
    until = context.stored.paused_until
    told = context.job.annotations.get(names.PAUSED_UNTIL)
    ended = until if until is not None and until <= context.now else None
    if told is None or time_of(told) == until:
        return context.now if ended is None else ended
    asked = context.job.edits.get(edits.annotation(names.PAUSED_UNTIL))
    moment = _edited(context, asked, since)
    return moment if ended is None else min(moment, ended)


def _row_ended(context: JobContext, since: int, finished: Iterable[Finished]) -> int:
    """When the spec was mended, a run succeeded, or a person marked a run as a success."""
    if context.job.status.get("observedGeneration") != context.job.generation:
        return _edited(context, context.job.edits.get(edits.SPEC), since)
    ends = [one.ended_at for one in finished if one.outcome == "Succeeded"]
    if ends:
        return min(max(ends), context.now)
    return _edited(context, context.job.edits.get(edits.annotation(names.MARK_SUCCESS)), since)


def _edited(context: JobContext, told: int | None, since: int) -> int:
    """When an edit ended what held the job since `since`; `told` is its time by the API server.

    An older time belongs to another edit: the editor of this one owns no remaining field.
    """
    return context.now if told is None or told <= since else min(told, context.now)


def edited(context: JobContext) -> int:
    """When the spec was last edited, or now where that is unknown."""
    told = context.job.edits.get(edits.SPEC)
    return context.now if told is None else min(max(told, context.job.created_at), context.now)


def _forgiven(context: JobContext, failures: int) -> int:
    """Failures that no longer count: an edit of the spec is a new attempt to get it right.

    Runs that have ended by now began before the edit.
    """
    observed = context.job.status.get("observedGeneration")
    if isinstance(observed, int) and observed != context.job.generation:
        return failures
    return context.stored.forgiven
