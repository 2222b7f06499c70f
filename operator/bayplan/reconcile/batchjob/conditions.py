"""A BatchJob's conditions: one closed list of reasons, each with its sentence.

Ready of a scheduled job says that the schedule is accepted, not that a run goes on: a nightly
failure must not fail a GitOps sync. A job without a schedule is in progress until its run has a
node. It is stalled when the run has failed, because only a person can ask for another run.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.api import names
from bayplan.api.times import rfc3339
from bayplan.api.validation import Problem
from bayplan.model import kubelet_words
from bayplan.reconcile import conditions, defect, refused_writes
from bayplan.reconcile.batchjob import starting, suspension
from bayplan.reconcile.batchjob.attempt_outcome import START_TIMEOUT
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.progress import JobProgress
from bayplan.reconcile.batchjob.runs import TOO_MANY_DISRUPTIONS, Run, RunProgress
from bayplan.reconcile.batchjob.suspension import Suspension
from bayplan.reconcile.conditions import Condition, false, true, unknown
from bayplan.reconcile.view import NoRoom

COMPLETE = "Complete"
FAILED = "Failed"


class Reason(enum.StrEnum):
    """Every reason that a condition of a BatchJob can have, in addition to those of `problems`."""

    SCHEDULED = "Scheduled"
    SUSPENDED = "Suspended"
    PAUSED = "Paused"
    TOO_MANY_FAILURES = "TooManyFailures"
    INVALID_PAUSE = "InvalidPause"
    NOT_SUSPENDED = "NotSuspended"
    FINISHED = "Finished"
    ON_PARENTS = "OnParents"
    PARENT_MISSING = "ParentMissing"
    PARENT_CYCLE = "ParentCycle"
    CHECKING = "Checking"
    INVALID_TEMPLATE = "InvalidTemplate"
    TEMPLATE_REFUSED = "TemplateRefused"
    QUOTA_EXCEEDED = "QuotaExceeded"
    WEBHOOK_UNAVAILABLE = "WebhookUnavailable"
    API_SERVER_UNAVAILABLE = "ApiServerUnavailable"
    CHILD_REFUSED = refused_writes.CHILD_REFUSED
    STARTING = "Starting"
    RETRYING = "Retrying"
    RUNNING = "Running"
    COMPLETE = "Complete"
    RUN_FAILED = "RunFailed"
    RUN_CANCELLED = "RunCancelled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    TOO_MANY_DISRUPTIONS = TOO_MANY_DISRUPTIONS
    PLACED = "Placed"
    NO_ROOM = "NoRoom"
    VOLUME = "VolumeBinding"
    DEFECT = "OperatorDefect"
    NO_RUN_YET = "NoRunYet"
    SUCCEEDED = "Succeeded"
    CANNOT_START = starting.CANNOT_START
    CRASH_LOOP = "CrashLoopBackOff"
    CREATE_CONFIG = "CreateContainerConfigError"
    CREATE = "CreateContainerError"
    IMAGE_NEVER_PULL = "ErrImageNeverPull"
    IMAGE_INSPECT = "ImageInspectError"
    IMAGE_PULL = "ImagePullBackOff"
    IMAGE_NAME = "InvalidImageName"
    POST_START = "PostStartHookError"
    RUN_CONTAINER = "RunContainerError"
    ATTACH = "FailedAttachVolume"
    MAP = "FailedMapVolume"
    MOUNT = "FailedMount"
    SANDBOX = "FailedCreatePodSandBox"
    UNHEALTHY = kubelet_words.UNHEALTHY
    START_ERROR = "StartError"
    CANNOT_RUN = "ContainerCannotRun"
    START_TIMEOUT = START_TIMEOUT
    FAILED = "Failed"
    CANCELLED = "Cancelled"


_MOST_LISTED = 10
_LONGEST_DETAIL = 300
_A_TIME = "2026-01-31T06:00:00Z"
_KEPT = (conditions.READY, conditions.RECONCILING, conditions.STALLED)
_OUTCOMES = {
    "Succeeded": Reason.SUCCEEDED,
    "Failed": Reason.FAILED,
    "Cancelled": Reason.CANCELLED,
}
_ENDS = {str(one): one for one in (Reason.DEADLINE_EXCEEDED, Reason.TOO_MANY_DISRUPTIONS)}


def stalled(
    status: Mapping[str, Any], word: str, message: str, generation: int, now: int
) -> Mapping[str, Any]:
    """The stored status plus the one fault that a person has to mend; the rest stays as it is."""
    before = status.get("conditions")
    kept = _kept(before, exclude=_KEPT)
    wanted = [*conditions.stalled(word, message), *kept]
    return {
        **status,
        "conditions": conditions.merged(before, wanted, generation, now),
        "observedGeneration": generation,
    }


def job_conditions(
    context: JobContext,
    progress: JobProgress,
    shown: Iterable[RunProgress],
    history: list[Mapping[str, Any]],
    placement: NoRoom | None,
) -> list[dict[str, Any]]:
    before = context.job.status.get("conditions")
    newest = next((one for one in history if one.get("outcome") != "Missed"), None)
    wanted = [
        *_ready(context, progress, tuple(shown), newest),
        _placed(placement),
        _last_run(newest),
        _suspended(progress.suspension),
    ]
    if context.spec.runs_once:
        wanted += _ended(newest, before)
    return conditions.merged(before, wanted, context.job.generation, context.now)


def _ready(
    context: JobContext,
    progress: JobProgress,
    shown: tuple[RunProgress, ...],
    newest: Mapping[str, Any] | None,
) -> Iterable[Condition]:
    job, admission = context.job, context.view.admission
    if job.problems:
        return conditions.stalled(*problem(job.problems))
    if admission is None:
        before = job.status.get("conditions")
        if job.status.get("observedGeneration") == job.generation:
            kept = _kept(before, only=_KEPT)
            if any(one.type == conditions.READY for one in kept):
                return kept  # after a restart nothing was asked yet; the stored answer still holds
        return conditions.unseen()
    if admission.final:
        return conditions.stalled(admission.refusal, admission.message)
    if admission.refusal:
        return [false(conditions.READY, admission.refusal, admission.message)]
    refusals = context.view.refusals
    if refusals:
        return [
            false(
                conditions.READY, refused_writes.word(refusals), refused_writes.sentence(refusals)
            )
        ]
    hindered = next((one.run for one in shown if _is_hindered(one)), None)
    if context.spec.runs_once:
        return _ready_once(progress.suspension, shown, newest, hindered)
    if hindered is not None and not context.view.parents.cycle:
        return [false(conditions.READY, hindered.reason, hindrance(hindered))]
    return _ready_without(context) or [_ready_again(context, progress)]


def _is_hindered(one: RunProgress) -> bool:
    """Whether a run cannot start, or its last attempt could not and the next has not started."""
    if one.run.reason in starting.HINDERED:
        return True
    started = one.pod is not None and starting.is_complete(one.pod)
    return one.run.reason in starting.NEVER_STARTED and not started


def hindrance(run: Run) -> str:
    """`Run s1 cannot start on n1: ImagePullBackOff: container a: …`, and what to do about it."""
    where = f" on {run.node}" if run.node else ""
    said = f": {run.detail}" if run.detail else ""
    does = "did not start" if run.reason in starting.NEVER_STARTED else "cannot start"
    what = conditions.cut(f"Run {run.id} {does}{where}: {run.reason}{said}", 800)
    return f"{what}; mend that, or the template: an attempt that has begun nothing follows it."


def _ready_again(context: JobContext, progress: JobProgress) -> Condition:
    """Ready of a job that runs repeatedly: it means that its schedule or its parents are known."""
    if progress.suspension:
        why = _held(progress.suspension)
        return true(conditions.READY, progress.suspension.word, f"No run starts by itself: {why}.")
    if context.spec.parents:
        message = "Runs each time its parents have succeeded"
        parents = context.view.parents.known.items()
        blocked = (
            ("suspended", [name for name, parent in parents if parent.suspended]),
            ("failed last", [name for name, parent in parents if parent.failed]),
        )
        told = [f"{_listed(some)} {why}" for why, some in blocked if some]
        return true(conditions.READY, Reason.ON_PARENTS, f"{'; '.join([message, *told])}.")
    if not progress.runs and progress.due.slot is None and progress.due.next_at is None:
        return true(conditions.READY, Reason.FINISHED, "The schedule has come to its end.")
    return true(conditions.READY, Reason.SCHEDULED, "Runs start by the schedule.")


def _ready_without(context: JobContext) -> Iterable[Condition]:
    """What keeps the parents from ever leading to a run; empty for most jobs.

    An absent parent may still come (GitOps applies in any order); only a person can end a circle.
    """
    parents = context.view.parents
    if parents.cycle:
        way = conditions.cut(" → ".join(reversed(parents.cycle)), 512)
        return conditions.stalled(
            Reason.PARENT_CYCLE, f"spec.parents: {way} is a circle; remove one of these parents"
        )
    missing = [one.name for one in context.spec.parents if one.name not in parents.known]
    if not missing:
        return ()
    message = f"There is no BatchJob {_listed(missing)} in this namespace."
    return [false(conditions.READY, Reason.PARENT_MISSING, message)]


def _listed(some: list[str]) -> str:
    told = ", ".join(some[:_MOST_LISTED])
    more = len(some) - _MOST_LISTED
    return f"{told} and {more} more" if more > 0 else told


def _ready_once(
    held: Suspension,
    shown: tuple[RunProgress, ...],
    newest: Mapping[str, Any] | None,
    hindered: Run | None,
) -> Iterable[Condition]:
    """A job without a schedule is in progress until its run has a node and can start there."""
    if hindered is not None:
        word, message = hindered.reason, hindrance(hindered)
        return [false(conditions.READY, word, message), true(conditions.RECONCILING, word, message)]
    if any(one.pod is not None and one.pod.node for one in shown):
        return [true(conditions.READY, Reason.RUNNING, "The run has a node.")]
    if shown or newest is None:
        if held and not shown:
            return [true(conditions.READY, held.word, f"No run starts: {_held(held)}.")]
        retrying = any(one.run.retry_at is not None for one in shown)
        word = Reason.RETRYING if retrying else Reason.STARTING
        message = "The next attempt waits for its time." if retrying else "The run gets a node."
        return [false(conditions.READY, word, message), true(conditions.RECONCILING, word, message)]
    if newest.get("outcome") == "Succeeded":
        return [true(conditions.READY, Reason.COMPLETE, "The run succeeded.")]
    return conditions.stalled(Reason.RUN_FAILED, f"{how(newest)}; ask for another with run-now.")


def _placed(placement: NoRoom | None) -> Condition:
    if placement is None:
        return true(conditions.PLACED, Reason.PLACED, "Nothing waits for room.")
    count = placement.pending
    if placement.funnel.making:
        word = "task waits" if count == 1 else "tasks wait"
        return false(conditions.PLACED, Reason.VOLUME, f"{count} {word} for a volume to be made.")
    if placement.funnel.defect:
        return false(conditions.PLACED, Reason.DEFECT, defect.of_tasks(count, "task"))
    return false(
        conditions.PLACED,
        Reason.NO_ROOM,
        f"{count} {'task finds' if count == 1 else 'tasks find'} no room.",
    )


def _last_run(newest: Mapping[str, Any] | None) -> Condition:
    if newest is None:
        return unknown(conditions.LAST_RUN_SUCCEEDED, Reason.NO_RUN_YET, "No run has finished yet.")
    reason = _OUTCOMES[str(newest["outcome"])]
    if reason is Reason.SUCCEEDED:
        return true(conditions.LAST_RUN_SUCCEEDED, reason, how(newest))
    return false(conditions.LAST_RUN_SUCCEEDED, reason, how(newest))


def _suspended(held: Suspension) -> Condition:
    if held:
        return true(conditions.SUSPENDED, held.word, f"{_held(held)}.")
    if held.unread:
        message = f"The annotation {names.PAUSED_UNTIL} is no time; write such as {_A_TIME}."
        return false(conditions.SUSPENDED, Reason.INVALID_PAUSE, message)
    return false(conditions.SUSPENDED, Reason.NOT_SUSPENDED)


def _held(held: Suspension) -> str:
    match held.word:
        case suspension.PAUSED:
            return f"paused until {rfc3339(held.until or 0)}"
        case suspension.TOO_MANY_FAILURES:
            return too_many(held)
    return "spec.suspend is true"


def too_many(held: Suspension) -> str:
    count = held.failures - held.forgiven
    told = "the last run failed" if count == 1 else f"the last {count} runs failed"
    return f"{told}; change the spec or ask for a run with run-now, which has to succeed"


def _ended(newest: Mapping[str, Any] | None, before: object) -> list[Condition]:
    """Complete or Failed of a job without a schedule: the way its newest run ended."""
    if newest is None:
        return list(_kept(before, only=(COMPLETE, FAILED)))
    if newest.get("outcome") == "Succeeded":
        return [true(COMPLETE, Reason.COMPLETE, how(newest))]
    cancelled = newest.get("outcome") == "Cancelled"
    other = Reason.RUN_CANCELLED if cancelled else Reason.RUN_FAILED
    return [true(FAILED, _ENDS.get(str(newest.get("reason")), other), how(newest))]


def problem(problems: Iterable[Problem]) -> tuple[str, str]:
    """The reason of the most serious problem, and a sentence that names fields and remedies."""
    listed = list(problems)
    message = "; ".join(f"{one.field}: {one.message}" for one in listed)
    return listed[0].reason, message


def how(finished: Mapping[str, Any]) -> str:
    """`Run s1abc2 failed: OOMKilled, exit code 137, attempt 3, on ip-10-0-3-7`."""
    told = f"Run {finished.get('run')} {str(finished.get('outcome')).lower()}"
    details = []
    if finished.get("outcome") != "Succeeded":
        details = [str(finished.get("reason") or "Error")]
        if isinstance(finished.get("exitCode"), int):
            details.append(f"exit code {finished['exitCode']}")
    attempts = finished.get("attempts")
    if isinstance(attempts, int) and attempts > 1:
        details.append(f"{attempts} attempts")
    if finished.get("failedTasks"):
        details.append(f"tasks {finished['failedTasks']} of {finished.get('tasks')}")
    if finished.get("node"):
        details.append(f"on {finished['node']}")
    if finished.get("detail"):
        details.append(conditions.cut(str(finished["detail"]), _LONGEST_DETAIL))
    return f"{told}: {', '.join(details)}" if details else told


def _kept(
    before: object, *, only: tuple[str, ...] = (), exclude: tuple[str, ...] = ()
) -> list[Condition]:
    """The stored conditions that are sound, unchanged."""
    kept = []
    for one in before if isinstance(before, list) else ():
        type_ = one.get("type") if isinstance(one, Mapping) else None
        if not isinstance(type_, str) or type_ in exclude or (only and type_ not in only):
            continue
        sound = conditions.stored([one], type_)
        if sound is not None:
            kept.append(sound)
    return kept
