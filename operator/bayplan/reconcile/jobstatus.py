"""A BatchJob's whole status.

A status says where the runs stand; the start of a run is no news until it has run for ten
seconds, so a short run costs one write. Numbers change in the write that moves a run to the
history, hence exactly once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api.times import time_text
from bayplan.model.intents import EmitEvent, Notice
from bayplan.reconcile import backfill, effective, figures, triggers, waiting
from bayplan.reconcile.course import Course
from bayplan.reconcile.gaps import Gaps, between, more, without
from bayplan.reconcile.jobconditions import job_conditions
from bayplan.reconcile.jobevents import events, is_newly_late
from bayplan.reconcile.ledger import (
    MOST_HISTORY,
    Backfill,
    counted,
    wire_backfill,
    wire_finished,
    wire_fulfilled,
    wire_gaps,
    wire_missed,
    wire_run,
)
from bayplan.reconcile.notices import notices
from bayplan.reconcile.runs import BY_PEOPLE, MARKED, OF_LIVE, Progress, Run
from bayplan.reconcile.scene import Scene
from bayplan.reconcile.view import Success

# A run that ends before this age is written once, at its end; where runs are known to take longer,
# this waits as long, so that a run of ten minutes or less costs four writes.
QUIET_SECONDS = 10
LONGEST_QUIET_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Report:
    """The status wanted, what is told beside it, and when it will have more to say."""

    status: Mapping[str, Any]
    events: tuple[EmitEvent | Notice, ...] = ()
    wake_at: int | None = None


def report(scene: Scene, course: Course) -> Report:
    news = _is_news(scene, course)
    shown = course.runs if news else _known_before(scene, course.runs)
    last_slot = course.last_slot if news else scene.stored.last_slot
    history = _history(scene, course)
    samples = scene.samples.grown(course.finished)
    left, gaps = _unfilled(scene, course, last_slot, news=news)
    placement = waiting.shown(scene.view.placement, scene.now)
    body: dict[str, Any] = {
        "conditions": job_conditions(scene, course, shown, history, placement),
        "observedGeneration": scene.job.generation,
        "nextSlotTime": _next_slot(scene, course, last_slot),
        "lastSlotTime": time_text(last_slot) if last_slot >= 0 else None,
        **_schedule_seen(scene, course),
        "gaps": wire_gaps(gaps),
        "backfill": wire_backfill(left),
        "remainingRuns": triggers.remaining(
            course.schedule, max(last_slot, course.since - 1, scene.job.created_at - 1)
        ),
        "running": len(shown),
        "active": [_entry(scene, one) for one in shown] or None,
        "history": history or None,
        "fulfilled": _fulfilled(scene, course) or None,
        "statistics": _statistics(scene, course, samples),
        "samples": samples.wire(),
        "effectiveRequests": effective.requests(scene.view.admission, scene.job.status),
        "forgivenFailures": course.holding.forgiven or None,
        "pausedUntil": None if course.holding.until is None else time_text(course.holding.until),
        "consumed": _consumed(scene, course, news=news) or None,
        "handledTokens": list(course.handled if news else scene.stored.handled) or None,
        "placement": waiting.wire(placement, scene.job.status.get("placement")),
    }
    status = {name: value for name, value in body.items() if value is not None}
    told = (
        *events(scene, course),
        *effective.news(scene.job.status, status),
        *notices(scene, course),
    )
    return Report(status, told, _wake_at(scene, course))


def is_young(scene: Scene, one: Progress) -> bool:
    """Whether a run's present attempt began too lately to be worth a write."""
    return scene.now - _began_at(one) < _quiet_seconds(scene)


def _quiet_seconds(scene: Scene) -> int:
    """For how long a start is no news: as long as the run will likely end by itself.

    With `onLost: Fail` a pod that is removed by force must not be what alone tells of it.
    """
    if scene.spec.on_lost == "Fail":
        return QUIET_SECONDS
    told, usual = scene.spec.expected_duration_seconds, scene.samples.usual_seconds or 0
    likely = usual + usual // 4 if told is None else told
    return min(max(likely + 1, QUIET_SECONDS), LONGEST_QUIET_SECONDS)


def _began_at(one: Progress) -> int:
    """When its containers started, as the usual time is counted from; before, when its pod came.

    A node whose clock is ahead may put that off by the longest quiet time and no further.
    """
    if one.pod is None:
        return one.run.since
    came_at = one.pod.created_at or one.run.since
    started_at = one.pod.ending.started_at
    return came_at if started_at is None else min(started_at, came_at + LONGEST_QUIET_SECONDS)


def _is_news(scene: Scene, course: Course) -> bool:
    """Whether anything happened beside the start of short runs."""
    if course.finished or course.missed or course.refused or course.marked:
        return True
    if course.order.backfill != scene.stored.backfill:
        return True
    asked = (run for run in course.handled if run.startswith("r"))
    if any(run not in scene.stored.handled for run in asked):
        return True
    return any(_moved(scene, one) for one in course.runs)


def _moved(scene: Scene, one: Progress) -> bool:
    entry = scene.stored.entry(one.run.id)
    if entry is None:
        old = one.pod is not None and not is_young(scene, one)
        told = one.run.trigger in BY_PEOPLE or one.run.reason in OF_LIVE
        # An index of an array may have ended for good while the others are at their first attempt.
        tried = one.run.attempt > 0 or one.run.failures > 0 or one.run.disruptions > 0
        return tried or told or old
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
    began = one.pod is not None and not entry.pod and is_young(scene, one)
    return began and one.run.reason not in OF_LIVE


def _unfilled(
    scene: Scene, course: Course, last_slot: int, *, news: bool
) -> tuple[Backfill, Gaps | None]:
    """What is left of a backfill, and the gaps; None for those that a new job has."""
    stored = scene.stored.gaps
    known = backfill.known_gaps(scene)
    if course.schedule is None:
        return course.order.backfill, stored
    until = max(last_slot, course.since - 1)
    left, after = course.order.backfill, known
    if until > course.floor:
        new = between(course.schedule, course.floor, until, course.slots)
        after = more(known, new)
    for slot in course.slots:  # a run that an edit of the schedule overtook
        after = without(after, slot, course.schedule)
    if news:
        begun = backfill.slots_of([*(one.run for one in course.runs), *_runs_ended(course)])
        left, after = backfill.left(course.order, course.schedule, after, begun)
    return left, stored if after == known else after


def _runs_ended(course: Course) -> Iterable[Run]:
    return (one.run for one in course.finished)


def _next_slot(scene: Scene, course: Course, last_slot: int) -> str | None:
    """The next slot to be taken up; in the past while it waits for something."""
    if course.schedule is None or course.holding:
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
    history: list[Mapping[str, Any]] = [
        {**one, "outcome": "Succeeded", "reason": MARKED} if one["run"] == course.marked else one
        for one in scene.stored.history
    ]
    for one in sorted(course.finished, key=lambda one: (one.ended_at, one.run.id)):
        history.insert(0, wire_finished(one))
    if course.missed and course.missed_slot is not None:
        if history and history[0].get("outcome") == "Missed":
            del history[0]  # one entry tells of a row of misses, or they would push out the runs
        reason = course.due.reason or triggers.SUPERSEDED
        history.insert(0, wire_missed(course.missed_slot, reason))
    return history[:MOST_HISTORY]


def _consumed(scene: Scene, course: Course, *, news: bool) -> list[dict[str, str]]:
    """The parents' successes that it last ran on; a young run's pod tells of its own."""
    told = course.consumed if news else scene.stored.consumed
    return [{"name": name, "run": run} for name, run in sorted(told.items())]


def _fulfilled(scene: Scene, course: Course) -> list[dict[str, Any]]:
    """What the job's children may count as a success."""
    new = [
        Success(one.run.id, one.ended_at, one.run.slot if one.run.trigger == "Retry" else None)
        for one in course.finished
        if one.outcome == "Succeeded"
        or (one.outcome == "Failed" and scene.spec.treat_failure_as_success)
    ]
    if course.marked:
        new.append(Success(course.marked, scene.now))
    return wire_fulfilled(scene.stored.fulfilled, new)


def _statistics(scene: Scene, course: Course, samples: figures.Samples) -> Mapping[str, int] | None:
    before = scene.stored.statistics
    lost = 0
    for run in [one.run for one in course.runs] + [one.run for one in course.finished]:
        entry = scene.stored.entry(run.id)
        lost += run.disruptions - (entry.disruptions if entry is not None else 0)
    late = sum(is_newly_late(scene, one) for one in course.runs)
    if not (before or course.finished or course.missed or lost or late):
        return None
    told = counted(before, course.finished, course.missed, lost, late)
    told |= samples.quantiles()
    return {**told, "consecutiveFailures": course.holding.failures}


def _wake_at(scene: Scene, course: Course) -> int | None:
    """When what is kept quiet becomes worth a write."""
    marks = [_began_at(one) + _quiet_seconds(scene) for one in course.runs if one.pod is not None]
    placement = scene.view.placement
    if placement is not None:
        marks.append(placement.since + waiting.PATIENCE_SECONDS)
    return min((mark for mark in marks if mark > scene.now), default=None)
