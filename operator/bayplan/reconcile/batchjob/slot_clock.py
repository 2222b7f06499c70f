"""From when on a job's slots count, which are due now, and which passed during a suspension."""

from collections.abc import Iterable
from dataclasses import replace

from bayplan.api.times import time_of
from bayplan.reconcile.batchjob import triggers
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.runs import RunProgress
from bayplan.reconcile.batchjob.suspension import edited
from bayplan.reconcile.batchjob.triggers import Due
from bayplan.schedules.parse import Schedule

_UNREADABLE = frozenset({"InvalidSchedule", "InvalidTimeZone"})


def schedule_of(context: JobContext) -> Schedule | None:
    """The job's schedule; None if it runs once, or if its spec has no schedule that counts.

    While another field is wrong, the slots of a schedule that was in force before still count.
    """
    problems = context.job.problems
    if problems:
        stored = context.stored.schedule_hash
        known = stored in {"", triggers.schedule_hash(context.spec)}
        if not known or any(one.reason in _UNREADABLE for one in problems):
            return None
    return triggers.schedule_of(context.job, context.spec)


def due_slots(
    context: JobContext,
    schedule: Schedule | None,
    after: int,
    all_runs: Iterable[RunProgress],
    *,
    hindered: bool,
) -> Due:
    """What is due of the slots after `after`; the schedule's clock is behind by the delay."""
    delay = triggers.start_delay(context.job, context.spec)
    hindering = list(all_runs)
    if schedule is not None and hindering and context.spec.missed_run_policy == "Skip":
        newest = schedule.latest_at(context.now - delay)
        settled_at = (newest or 0) + delay + triggers.PUNCTUAL_SECONDS
        hindering = [one for one in hindering if _hinders(context, one, settled_at)]
    found = triggers.due(
        schedule,
        context.spec,
        after=after,
        created_at=context.job.created_at,
        free_at=_free_at(context, hindering, hindered=hindered) - delay,
        now=context.now - delay,
        blocked=context.blocked,
    )
    found = triggers.delayed(found, delay)
    return replace(found, reason=triggers.BLOCKED) if context.blocked else found


def _hinders(context: JobContext, one: RunProgress, settled_at: int) -> bool:
    """Whether a run held back a slot that was to be settled at `settled_at`.

    A run without an entry in the status that began later did not: the status that settled the slot
    may not have been seen yet.
    """
    return one.run.since <= settled_at or context.stored.entry(one.run.id) is not None


def _free_at(context: JobContext, all_runs: Iterable[RunProgress], *, hindered: bool) -> int:
    """Since when none of these hinders a run; now, while one does or the template is unknown."""
    ends = [one.finished.ended_at if one.finished else context.now for one in all_runs]
    if hindered or context.view.admission is None:
        ends.append(context.now)
    ends += [time_of(one.get("endTime")) or 0 for one in context.stored.history]
    return min(max(ends, default=0), context.now)


def since(context: JobContext, resumed_at: int | None) -> int:
    """The floor of slots: an edit of the schedule and the end of a suspension move it.

    A slot counts if it could not start before that moment: its start window may have delayed it.
    """
    stored = context.stored
    if context.job.problems:
        return stored.since
    was_edited = stored.schedule_hash not in {"", triggers.schedule_hash(context.spec)}
    moments = [resumed_at, edited(context) if was_edited else None]
    delay = triggers.start_delay(context.job, context.spec)
    return max([stored.since, *(at - delay for at in moments if at is not None)])


def floor_of(context: JobContext, schedule: Schedule | None, since: int) -> int:
    """The moment after which slots count and are not yet settled in the stored status."""
    if schedule is None:
        return context.stored.last_slot
    return max(context.stored.last_slot, context.job.created_at - 1, since - 1)


def passed(
    context: JobContext, resumed_at: int | None, schedule: Schedule | None, since: int
) -> int:
    """How many slots went by while the job was suspended, once it is resumed."""
    if schedule is None or since == context.stored.since or resumed_at is None:
        return 0
    return schedule.count_between(floor_of(context, schedule, context.stored.since), since - 1)
