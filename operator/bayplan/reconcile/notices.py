"""What a job's receivers are told of a change of its status: facts only, no argument of a run.

They go with the write of the status that accounts for them, as Events do, hence once.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.api.times import time_text
from bayplan.model.intents import EmitEvent, Notice
from bayplan.reconcile import jobevents, triggers
from bayplan.reconcile.course import Course
from bayplan.reconcile.holding import TOO_MANY_FAILURES
from bayplan.reconcile.jobconditions import hindrance, how, too_many
from bayplan.reconcile.ledger import wire_finished
from bayplan.reconcile.runs import Finished, Progress
from bayplan.reconcile.scene import Scene

Told = tuple[str, Mapping[str, Any]]  # what it is about, and the facts


def notices(scene: Scene, course: Course) -> Iterable[Notice | EmitEvent]:
    """For each receiver what it wants to know; a warning of one that nobody has defined."""
    known = scene.view.receivers
    told = list(_told(scene, course)) if scene.spec.notifications else []
    for one in scene.spec.notifications:
        wanted = [(on, facts) for on, facts in told if on in one.when]
        if one.receiver in known:
            for on, facts in wanted:
                yield Notice(one.receiver, on, {"time": time_text(scene.now), **facts})
        elif wanted or scene.job.status.get("observedGeneration") != scene.job.generation:
            yield EmitEvent(
                "UnknownReceiver",
                f"spec.notifications: there is no receiver {one.receiver}; an administrator "
                "defines it in the operator's --notifications-file.",
                warning=True,
            )


def _told(scene: Scene, course: Course) -> Iterable[Told]:
    for one in course.finished:
        if one.outcome in {"Failed", "Cancelled"}:
            yield one.outcome, _run(one)
    if course.missed and course.missed_slot is not None:
        reason = course.due.reason or triggers.SUPERSEDED
        newest = time_text(course.missed_slot)
        count = course.missed
        times = "1 scheduled time" if count == 1 else f"{count} scheduled times"
        message = f"{times} passed without a run, the newest {newest} ({reason})"
        yield (
            "Missed",
            {"message": message, "count": count, "slotTime": newest, "reason": reason},
        )
    for progress in course.runs:
        yield from _of_unfinished(scene, progress)
    before = scene.stored.statistics.get("consecutiveFailures", 0)
    if before and not course.holding.failures:
        good = [one for one in course.finished if one.outcome == "Succeeded"]
        last = _run(good[-1]) if good else {"run": course.marked}
        after = "1 failure" if before == 1 else f"{before} failures in a row"
        yield "Recovered", {**last, "message": f"Run {last['run']} succeeded after {after}"}
    if course.holding.word == TOO_MANY_FAILURES and not jobevents.said(scene, TOO_MANY_FAILURES):
        yield (
            "Suspended",
            {"message": too_many(course.holding), "failures": course.holding.failures},
        )


def _of_unfinished(scene: Scene, progress: Progress) -> Iterable[Told]:
    run = progress.run
    slot = {} if run.slot is None else {"slotTime": time_text(run.slot)}
    if jobevents.is_newly_late(scene, progress):
        expected = scene.spec.expected_duration_seconds
        message = f"Run {run.id} runs longer than the expected {expected} s"
        facts = {"message": message, "run": run.id, "expectedDurationSeconds": expected}
        yield "Late", {**facts, **slot}
    if jobevents.is_newly_hindered(scene, progress):
        facts = {"run": run.id, "reason": run.reason, "node": run.node, "detail": run.detail}
        yield "CannotStart", {**facts, **slot, "message": hindrance(run)}


def _run(finished: Finished) -> Mapping[str, Any]:
    """A finished run's facts; what it was given may be secret."""
    told = wire_finished(finished)
    facts = {name: value for name, value in told.items() if name != "arguments"}
    return {**facts, "message": how(told)}
