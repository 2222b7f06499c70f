"""BatchJob: which pods should exist, which may go, what the status is. Level-triggered and pure.

The CREATE of a deterministically named pod starts an attempt; the stored status ends it. So a
crash after any write only repeats a CREATE of a pod that exists, or a status that is the same. A
pod goes only after the status that accounts for it was read back. What is NOT defended against is
a person who removes finalizers or edits the status.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bayplan.api import names, pod_builder, run_names, times
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.resource import Resource
from bayplan.model.admission import Admission
from bayplan.model.intents import Outcome, Task
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.batchjob import (
    conditions,
    events,
    parents,
    requests,
    statistics,
    stored_status,
)
from bayplan.reconcile.batchjob.cleanup import release_orphans, tidied
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.known_runs import pods_by_run
from bayplan.reconcile.batchjob.new_runs import REPLACED
from bayplan.reconcile.batchjob.progress import JobProgress, progress_of
from bayplan.reconcile.batchjob.runs import (
    BY_PEOPLE,
    MOST_DISRUPTIONS,
    MOST_INTERRUPTIONS,
    Rules,
    Run,
    RunProgress,
    avoided,
)
from bayplan.reconcile.batchjob.status import report_of
from bayplan.reconcile.view import View

__all__ = ["reconcile", "release_orphans", "status_now"]

RENEW_SECONDS = 3600  # an answer older than this is asked for again when it is used

_GRACE_SECONDS = 30  # Kubernetes' default of terminationGracePeriodSeconds


def reconcile(job: Resource, pods: Mapping[PodKey, Pod], view: View, now: int) -> Outcome:
    """All that should be true of this job now, and what is missing for it."""
    if job.deleting or view.namespace_deleting:
        return Outcome(releases=release_orphans(pods.values()))
    if not isinstance(job.spec, BatchJobSpec):
        word, message = conditions.problem(job.problems)
        status = conditions.stalled(job.status, word, message, job.generation, now)
        if status == job.status:
            return Outcome()
        told = events.blocked(job.status.get("conditions"), word, message)
        return Outcome(status=status, events=tuple(told))
    context = context_of(job, job.spec, pods, view, now)
    progress = progress_of(context)
    tasks, wake_times = _tasks(context, progress)
    report = report_of(context, progress)
    deletes, releases, leave_at = tidied(context)
    news = report.status != job.status
    marks = [
        report.wake_at,
        progress.due.next_at,
        progress.due.expires_at,
        progress.suspension.until,
        leave_at,
        *wake_times,
        *(one.wake_at for one in progress.runs),
        *_asks_again(view.admission),
    ]
    return Outcome(
        tasks=tasks,
        deletes=deletes,
        releases=releases,
        events=report.events if news else (),
        status=report.status if news else None,
        probe=_wants_probe(context, tasks),
        wake_at=min((mark for mark in marks if mark is not None and mark > now), default=None),
    )


def status_now(
    job: Resource, pods: Mapping[PodKey, Pod], view: View, now: int
) -> Mapping[str, Any]:
    """The status as these pods show it now, also what is not worth a write yet."""
    if not isinstance(job.spec, BatchJobSpec):
        return job.status
    context = replace(context_of(job, job.spec, pods, view, now), at_once=True)
    return report_of(context, progress_of(context)).status


def context_of(
    job: Resource, spec: BatchJobSpec, pods: Mapping[PodKey, Pod], view: View, now: int
) -> JobContext:
    """What one look at a job knows before anything is decided."""
    prefix = run_names.prefix(job.name, job.uid)
    return JobContext(
        job=job,
        spec=spec,
        view=view,
        now=now,
        prefix=prefix,
        stored=stored_status.read(job.status),
        pods_by_run=pods_by_run(prefix, pods),
        samples=statistics.read(job.status.get("samples")),
        rules=Rules(
            retry=spec.retry_policy,
            patience_seconds=spec.unreachable.retry_after_seconds,
            grace_seconds=_grace_seconds(spec.template),
            expected_seconds=spec.expected_duration_seconds,
            nodes=view.nodes,
            success_codes=spec.success_exit_codes,
            final_codes=spec.no_retry_exit_codes,
            once=spec.on_lost == "Fail",
            most_disruptions=MOST_INTERRUPTIONS if spec.interruptible else MOST_DISRUPTIONS,
            start_seconds=spec.start_timeout_seconds,
            template_hash=_accepted_hash(job, view),
        ),
    )


def _accepted_hash(job: Resource, view: View) -> str:
    """The hash of the template for new pods; empty while it is unknown or refused."""
    admission = view.admission
    known = admission is not None and admission.template_hash == job.template_hash
    refused = admission is None or bool(admission.refusal)
    return job.template_hash if known and not refused and not job.problems else ""


def _grace_seconds(template: Mapping[str, object]) -> int:
    """How long the template gives its containers to stop."""
    pod = template.get("spec")
    told = pod.get("terminationGracePeriodSeconds") if isinstance(pod, Mapping) else None
    return told if isinstance(told, int) and told >= 0 else _GRACE_SECONDS


def _tasks(context: JobContext, progress: JobProgress) -> tuple[tuple[Task, ...], list[int]]:
    """The attempts that should begin now, and when the nodes they avoid have cooled down."""
    if not context.accepted:
        return (), []
    tasks, wake_times = [], []
    for one in _may_begin(context, progress):
        cooling: dict[int, tuple[frozenset[str], int | None]] = {}  # computed once for a whole gang
        for index, piece in one.owed:
            if _is_owed(context, progress, one, index, piece):
                of = 0 if one.run.gang else index
                if of not in cooling:
                    before = _pods_before(context, one.run, index, piece)
                    cooling[of] = avoided(piece, before, context.rules, context.now)
                avoid, until = cooling[of]
                tasks.append(_task(context, one.run, index, piece, avoid))
                if until is not None:
                    wake_times.append(until)
    return tuple(tasks), wake_times


def _pods_before(context: JobContext, run: Run, index: int, piece: Run) -> list[Pod]:
    """The remaining pods of the attempt before this one: of the index, or of the whole gang."""
    lanes = context.pods_by_run.get(run.id, {})
    found = lanes.values() if run.gang else [lanes.get(index, {})]
    return [attempts[last] for attempts in found if (last := piece.attempt - 1) in attempts]


def _may_begin(context: JobContext, progress: JobProgress) -> Iterable[RunProgress]:
    """The runs that concurrency allows to have pods: runs that have begun go on."""
    if context.spec.concurrency_policy == "Allow":
        return progress.runs
    replaced = any(one.reason == REPLACED for one in progress.finished)
    if replaced or progress.hindered:
        return []
    begun = [one for one in progress.runs if one.pod is not None]
    return begun or [one for one in progress.runs if not _is_held(progress, one)][:1]


def _is_owed(
    context: JobContext, progress: JobProgress, one: RunProgress, index: int, piece: Run
) -> bool:
    """Whether this attempt is due and may exist.

    A retry waits for the stored status, which must account for the attempt before it.
    """
    if piece.retry_at is not None and context.now < piece.retry_at:
        return False
    if piece.attempt == 0:
        return not _is_held(progress, one)
    entry = context.stored.entry(one.run.id)
    return entry is not None and entry.lane(index).attempt == piece.attempt


def _is_held(progress: JobProgress, one: RunProgress) -> bool:
    """Whether suspension holds back a run that has not begun; never a run people asked for."""
    return bool(progress.suspension) and not one.run.begun and one.run.trigger not in BY_PEOPLE


def _task(context: JobContext, run: Run, index: int, piece: Run, avoid: frozenset[str]) -> Task:
    job = context.job
    labels = {
        names.JOB: names.owner_value(job.name),
        names.RUN: run.id,
        names.ATTEMPT: str(piece.attempt),
        names.TEMPLATE_HASH: job.template_hash,
    }
    if run.slot is not None:
        labels[names.SLOT] = str(run.slot)
    annotations: dict[str, str] = {
        names.TRIGGER: run.trigger,
        **_expectation(context),
        **_protection(context),
    }
    if run.count > 1:
        labels[names.TASK_INDEX] = str(index)
        annotations[names.TASKS] = str(run.count)
    if run.gang:
        annotations[names.GANG] = "true"
    if run.parents:
        annotations[names.PARENTS] = parents.text(run.parents)
    given = requests.Arguments()
    if run.arguments:
        annotations[names.RUN_NOW_ARGS] = run.arguments
        given = requests.arguments(run.arguments) or given
    return Task(
        name=run_names.pod_name(
            context.prefix, run.id, piece.attempt, index if run.count > 1 else None
        ),
        labels=labels,
        annotations=annotations,
        arguments=given.args,
        environment={
            **given.env,
            "BAYPLAN_JOB": job.name,
            "BAYPLAN_SLOT": times.time_text(run.since if run.slot is None else run.slot),
            "BAYPLAN_RUN": run.id,
            "BAYPLAN_ATTEMPT": str(piece.attempt),
            "BAYPLAN_TASK_INDEX": str(index),
            "BAYPLAN_TASKS": str(run.count),
        },
        since=run.since if piece.retry_at is None else piece.retry_at,
        avoid=avoid,
        gang=run.id if run.gang else "",
    )


def _expectation(context: JobContext) -> dict[str, str]:
    """How long the run will take, where the spec or former runs show it: so it may fill a gap."""
    spec = context.spec
    told = spec.expected_duration_seconds or context.samples.usual_seconds
    seconds = told or spec.active_deadline_seconds
    return {names.EXPECTED_SECONDS: str(seconds)} if seconds else {}


def _protection(context: JobContext) -> dict[str, str]:
    """Keeps autoscalers off a run that is known to take long, where the spec says nothing on it.

    Annotations that the template has itself stay as they are.
    """
    spec, usual = context.spec, context.samples.usual_seconds or 0
    told = spec.placement.disruption != "Auto" or spec.expected_duration_seconds
    short = usual < pod_builder.PROTECTED_SECONDS
    if told or spec.active_deadline_seconds or short or spec.interruptible:
        return {}
    metadata = spec.template.get("metadata")
    own = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    wanted = {
        names.DO_NOT_DISRUPT: pod_builder.protection(usual, timed=context.view.timed),
        names.SAFE_TO_EVICT: "false",
    }
    return {name: value for name, value in wanted.items() if name not in (own or {})}


def _wants_probe(context: JobContext, tasks: tuple[Task, ...]) -> bool:
    """Whether to ask the API server what the template really asks for."""
    if context.job.problems:
        return False
    admission = context.view.admission
    if admission is None:
        return True
    if admission.refusal:
        return not admission.final and context.now >= admission.retry_at
    return bool(tasks) and context.now - admission.checked_at >= RENEW_SECONDS


def _asks_again(admission: Admission | None) -> tuple[int, ...]:
    if admission is None or not admission.refusal or admission.final:
        return ()
    return (admission.retry_at,)
