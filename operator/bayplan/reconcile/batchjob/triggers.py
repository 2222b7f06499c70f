"""Which scheduled time is to be taken up now, which are lost, and when the next one comes.

Slots are settled in order: every slot up to `settled` was taken up or is missed for good. A slot
that waits (for an earlier run, for the template to be accepted) is not written down anywhere: it
is due again at each look, until it is taken up, superseded or too late.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache

from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.resource import Resource
from bayplan.schedules.parse import Schedule, together

MOST_CAUGHT_UP = 100  # RunAll keeps at most this many slots waiting, the newest
# With Skip a slot is on time for this long after it could start: a fail-over takes 20 s.
PUNCTUAL_SECONDS = 60

TOO_LATE = "StartingDeadline"
SUPERSEDED = "Superseded"
SKIPPED = "Skipped"
BLOCKED = "Blocked"  # missed while no run could start: the template or the spec is refused


@dataclass(frozen=True, slots=True)
class Due:
    """The state of a schedule at one moment. Times are epoch seconds.

    `slot` may be taken up now; with it, or at `settled`, all earlier slots are settled. `reason`
    says why they were missed. `expires_at` is when the oldest waiting slot becomes too late.
    """

    slot: int | None = None
    settled: int = -1
    reason: str = ""
    next_at: int | None = None
    expires_at: int | None = None


def schedule_hash(spec: BatchJobSpec) -> str:
    """A hash of the schedules, in any order, and their zone; an edit by a person changes it."""
    return _hash("\n".join(sorted(spec.timetable)) or None, spec.time_zone)


def schedule_of(job: Resource, spec: BatchJobSpec) -> Schedule | None:
    """The job's schedule; None for a job that runs once. Its schedules must be readable."""
    if not spec.timetable:
        return None
    key = f"{job.namespace}/{job.name}"
    return together(spec.timetable, spec.time_zone, key=key, anchor=job.created_at)


def start_delay(job: Resource, spec: BatchJobSpec) -> int:
    """Seconds from a slot to its run's start: a moment in the window that never changes."""
    if not spec.start_window_seconds:
        return 0
    return _chance(f"{job.namespace}/{job.name}") % (spec.start_window_seconds + 1)


def delayed(found: Due, seconds: int) -> Due:
    """What is due by the wall clock, where `found` was computed this many seconds behind it."""
    next_at = None if found.next_at is None else found.next_at + seconds
    expires_at = None if found.expires_at is None else found.expires_at + seconds
    return replace(found, next_at=next_at, expires_at=expires_at)


def due(
    schedule: Schedule | None,
    spec: BatchJobSpec,
    *,
    after: int,
    created_at: int,
    free_at: int,
    now: int,
    blocked: bool = False,
) -> Due:
    """What is due of the slots later than `after`.

    `free_at` is the time since which nothing of the job's own hindered a run (now, while something
    does). `blocked`: no run can start whatever is due, so that the slots before the one that waits
    are missed already.
    """
    if schedule is None:
        return Due(slot=created_at) if after < created_at else Due()
    first = next_after(schedule, after)
    if first is None or first > now:
        return Due(next_at=first)
    newest = schedule.latest_at(now)
    next_at = next_after(schedule, now)
    if newest is None:
        return Due(next_at=next_at)
    deadline = spec.starting_deadline_seconds
    if spec.missed_run_policy == "Skip" and now - max(newest, free_at) > PUNCTUAL_SECONDS:
        return Due(settled=newest, reason=SKIPPED, next_at=next_at)
    floor = after if deadline is None else max(after, now - deadline - 1)
    oldest = newest if blocked and newest > floor else schedule.next_after(floor)
    if oldest is None or oldest > now:
        return Due(settled=newest, reason=TOO_LATE, next_at=next_at)
    expires_at = None if deadline is None else oldest + deadline + 1
    slot, reason = newest, SUPERSEDED
    # With Replace, each of many runs would only end the run before it.
    if spec.missed_run_policy == "RunAll" and spec.concurrency_policy != "Replace":
        slot = oldest = schedule.latest(floor, now, MOST_CAUGHT_UP)[0]
    if spec.missed_run_policy == "Skip":
        punctual_until = max(newest, free_at) + PUNCTUAL_SECONDS + 1
        expires_at = punctual_until if expires_at is None else min(expires_at, punctual_until)
        reason = SKIPPED
    before = schedule.latest_at(oldest - 1)
    settled = before if before is not None and before > after else -1
    if settled >= 0 and spec.missed_run_policy != "Skip":
        reason = TOO_LATE if deadline is not None else SUPERSEDED
    return Due(slot, settled, reason, next_at, expires_at)


@lru_cache(maxsize=16384)  # an idle job asks the same question until its slot comes
def next_after(schedule: Schedule, after: int) -> int | None:
    """The first slot after the moment."""
    return schedule.next_after(after)


def missed(
    schedule: Schedule | None, after: int, until: int, taken: frozenset[int]
) -> tuple[int, int | None]:
    """How many slots with after < slot <= until led to no run, and the newest of them."""
    if schedule is None or until <= after:
        return 0, None
    inside = {slot for slot in taken if after < slot <= until and schedule.latest_at(slot) == slot}
    count = schedule.count_between(after, until) - len(inside)
    if count <= 0:
        return 0, None
    newest = schedule.latest_at(until)
    while newest is not None and newest in inside:
        newest = schedule.latest_at(newest - 1)
    return count, newest


def remaining(schedule: Schedule | None, after: int) -> int | None:
    """Number of slots still to come of a schedule that ends."""
    left = None if schedule is None else schedule.remaining_after(after)
    return None if left is None else max(left, 0)


@lru_cache(maxsize=16384)
def _chance(key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"start {key}".encode()).digest()[:8], "big")


@lru_cache(maxsize=16384)
def _hash(schedule: str | None, time_zone: str) -> str:
    return hashlib.sha256(f"{schedule}\n{time_zone}".encode()).hexdigest()[:10]
