"""Computes when runs of a job are due, and which scheduled times a backfill would run.

It uses the operator's own functions on a BatchJob from the API server or from a file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.resource import parse_resource
from bayplan.api.times import rfc3339, time_of
from bayplan.inputs import InputError
from bayplan.reconcile.batchjob import stored_status, triggers
from bayplan.reconcile.batchjob.backfill import open_slots
from bayplan.schedules import gaps
from bayplan.schedules.parse import Schedule

MOST_MADE_UP_FOR = stored_status.MOST_BACKFILLED  # times of a request

_TO_THE_END = 2**53
_OF_THE_SCHEDULE = frozenset({"InvalidSchedule", "InvalidTimeZone", "InvalidSpec"})


@dataclass(frozen=True, slots=True)
class Upcoming:
    """When runs are due (epoch seconds), and until when the job is paused."""

    time_zone: str
    slots: list[int]
    paused_until: str | None


@dataclass(frozen=True, slots=True)
class Timetable:
    """The schedule of a job, and which of its past times had no run."""

    time_zone: str
    schedule: Schedule
    gaps: gaps.Gaps
    settled: int  # the schedule itself still handles later times

    def without_run(self, first: int, last: int) -> list[int]:
        """Scheduled times from first to last without a run; at most one more than is allowed."""
        return list(open_slots(self.schedule, self.gaps, first, min(last, self.settled), ()))


def upcoming(body: Mapping[str, Any], now: int, count: int) -> Upcoming:
    """The next times after `now`; an `InputError` names what is wrong with the schedule."""
    about = body.get("metadata") or {}
    body = {
        **body,
        "metadata": {"namespace": "default", "creationTimestamp": rfc3339(now), **about},
    }
    read = parse_resource(body)
    for problem in read.problems:
        if problem.reason in _OF_THE_SCHEDULE:
            raise InputError(problem.field, problem.message)
    if not isinstance(read.spec, BatchJobSpec):
        raise InputError(read.name, "is not a BatchJob")
    found = triggers.schedule_of(read, read.spec)
    paused = (body.get("status") or {}).get("pausedUntil")
    if found is None or read.spec.suspend:
        return Upcoming(read.spec.time_zone, [], paused)
    since = max(now, (time_of(paused) or 0) - 1)
    delay = triggers.start_delay(read, read.spec)
    slots = found.slots_between(since - delay, _TO_THE_END, count)
    return Upcoming(read.spec.time_zone, [slot + delay for slot in slots], paused)


def timetable(body: Mapping[str, Any]) -> Timetable | None:
    """The timetable, or None without a schedule; `InputError` if the spec has problems."""
    job = parse_resource(body)
    if not isinstance(job.spec, BatchJobSpec) or job.problems:
        raise InputError(job.name, "the spec has problems")
    schedule = triggers.schedule_of(job, job.spec)
    if schedule is None:
        return None
    stored = stored_status.read(job.status)
    settled = max(stored.last_slot, job.created_at - 1, stored.since - 1)
    known = gaps.before(job.created_at) if stored.gaps is None else stored.gaps
    return Timetable(job.spec.time_zone, schedule, known, settled)
