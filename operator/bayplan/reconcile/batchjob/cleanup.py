"""Which run pods may go: only what the STORED status accounts for is released or deleted.

A pod is released (our finalizer removed) as soon as its attempt is accounted for. A pod is deleted
when its run has ended and `history` or the whole cluster is full, when a later attempt exists and
`history` keeps no more failed attempts, when it has not started in time, or when it still runs
though its run is over (replaced, lost with its node, missed).
"""

from collections.abc import Iterable, Mapping

from bayplan.api import names, run_names
from bayplan.model.intents import DeletePod, ReleasePod
from bayplan.model.pods import Phase, Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.batchjob import retention
from bayplan.reconcile.batchjob.attempt_outcome import Standing
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.known_runs import tracked
from bayplan.reconcile.batchjob.runs import Lane, Run

Attempts = Mapping[int, Pod]
Record = tuple[Pod, ...]  # the pods that describe an ended run, one for each task
Going = tuple[Pod, str]  # a pod that goes, and the reason


def release_orphans(pods: Iterable[Pod]) -> tuple[ReleasePod, ...]:
    """Release pods whose BatchJob is being deleted or is gone, so garbage collection can finish."""
    return tuple(
        ReleasePod(
            pod.namespace,
            pod.name,
            pod.uid,
            tuple(one for one in pod.finalizers if one != names.RUN_TRACKING),
        )
        for pod in sorted(pods, key=lambda pod: pod.key)
        if pod.uid and tracked(pod)
    )


def tidied(context: JobContext) -> tuple[tuple[DeletePod, ...], tuple[ReleasePod, ...], int | None]:
    """What to delete, what to release, and when the clock alone will make more pods go."""
    now = context.now
    accounted: list[Pod] = []
    going: list[Going] = []
    earlier: list[Pod] = []  # ended attempts that a later one has followed
    records: list[Record] = []  # the last pods of runs that have ended
    for run, lanes in context.pods_by_run.items():
        entry = context.stored.entry(run)
        if entry is not None or not context.stored.took_up(run):
            going += _late_starters(context, entry, lanes)
        if entry is not None:
            for index, attempts in lanes.items():
                over, followed, ends = _of_unfinished(entry.lane(index), attempts)
                accounted += over
                earlier += followed
                going += ends
        elif context.stored.took_up(run) or _forgotten(context, run):
            accounted += context.pods_of(run)
            lasts = []
            for attempts in lanes.values():
                last, followed, ends = _of_ended(attempts)
                earlier += followed
                going += ends
                lasts += [last] if last.terminal and not last.terminating else []
            if lasts:
                records.append(tuple(lasts))
    going += [(pod, "beyond spec.history") for one in _beyond(context, records) for pod in one]
    kept = _kept(context, earlier)
    records += [(pod,) for pod in kept.values()]
    going += [(pod, "a later attempt exists") for pod in earlier if pod.key not in kept]
    marks = []
    if context.spec.ttl_seconds_after_finished is not None:
        marks = [_ended_at(one, now) + context.spec.ttl_seconds_after_finished for one in records]
    gone = [one for one, at in zip(records, marks, strict=False) if at <= now]
    going += [(pod, "spec.ttlSecondsAfterFinished is over") for one in gone for pod in one]
    limit = context.view.last_to_go
    if limit is not None:
        many = [one for one in records if min(retention.mark_of(pod, now) for pod in one) <= limit]
        going += [(pod, "the cluster keeps no more finished pods") for one in many for pod in one]
    reasons = {pod.key: (pod, why) for pod, why in going if pod.uid and not pod.terminating}
    deletes = tuple(
        DeletePod(pod.namespace, pod.name, pod.uid, why)
        for _, (pod, why) in sorted(reasons.items())
    )
    wake_at = min((at for at in marks if at > now), default=None)
    return deletes, release_orphans(accounted), wake_at


def _of_unfinished(lane: Lane, attempts: Attempts) -> tuple[list[Pod], list[Pod], list[Going]]:
    """For an index of an unfinished run: pods accounted for, pods followed by others, and goers."""
    if lane.outcome:
        _, followed, going = _of_ended(attempts)
        return list(attempts.values()), followed, going
    over = {at: pod for at, pod in attempts.items() if at < lane.attempt}
    newer = lane.attempt in attempts
    heard = [pod for at, pod in over.items() if newer or at < lane.attempt - 1 or _is_known(pod)]
    return heard, *_superseded(over, newer=newer)


def _late_starters(
    context: JobContext, entry: Run | None, lanes: Mapping[int, Attempts]
) -> Iterable[Going]:
    """The present attempts of an unfinished run that have not started in time.

    Our finalizer keeps such a pod and its report until it is accounted for.
    """
    for index, attempts in lanes.items():
        pod = attempts.get(0 if entry is None else entry.lane(index).attempt)
        due = None if pod is None or pod.terminal else context.rules.starts_by(pod)
        if pod is not None and due is not None and due <= context.now and tracked(pod):
            yield pod, "it has not started within spec.startTimeoutSeconds"


def _is_known(pod: Pod) -> bool:
    """Whether nothing that the pod may still report would end its run.

    An attempt that was given up with its node may yet report a success; the pod is kept for that
    until the next attempt exists. Garbage collection of pods marks the pod as failed before that.
    """
    return pod.terminal and pod.phase is not Phase.SUCCEEDED


def _of_ended(attempts: Attempts) -> tuple[Pod, list[Pod], list[Going]]:
    """For an index or run that has ended: its last pod, pods before it, and the pods that go."""
    last = attempts[max(attempts)]
    over = {at: pod for at, pod in attempts.items() if pod is not last}
    followed, going = _superseded(over, newer=True)
    return last, followed, going if last.terminal else [*going, (last, "its run is over")]


def _ended_at(record: Record, now: int) -> int:
    """When the last of its tasks ended."""
    return max(pod.ended_at(now) for pod in record)


def _superseded(over: Mapping[int, Pod], *, newer: bool) -> tuple[list[Pod], list[Going]]:
    """Of attempts that are over: the ended ones that a later attempt has followed, and goers.

    The newest is in neither list, and stays for its logs, until a later one exists.
    """
    newest = max(over, default=-1)
    followed = [
        pod for attempt, pod in over.items() if pod.terminal and (newer or attempt != newest)
    ]
    given_up = [pod for pod in over.values() if not pod.terminal]
    return followed, [(pod, "its attempt was given up") for pod in given_up]


def _kept(context: JobContext, earlier: Iterable[Pod]) -> Mapping[PodKey, Pod]:
    """The failed attempts whose pods stay for their logs: the newest, as `history.failed` says."""
    failed = [
        pod
        for pod in earlier
        if not pod.terminating
        and context.rules.verdict(pod, context.now).standing is Standing.FAILED
    ]
    failed.sort(key=lambda pod: (pod.ended_at(context.now), pod.name), reverse=True)
    return {pod.key: pod for pod in failed[: context.spec.history.failed]}


def _forgotten(context: JobContext, run: str) -> bool:
    """Whether it was accounted for so long ago that the status has forgotten its token."""
    return run_names.slot_of(run) is None and not any(map(tracked, context.pods_of(run)))


def _beyond(context: JobContext, records: Iterable[Record]) -> list[Record]:
    """The records that `history` has no place for; records with the oldest ends go first."""
    keep = {True: context.spec.history.successful, False: context.spec.history.failed}
    newest_first = sorted(
        records,
        key=lambda one: max((pod.ended_at(context.now), pod.created_at, pod.name) for pod in one),
        reverse=True,
    )
    beyond = []
    for one in newest_first:
        succeeded = all(
            context.rules.verdict(pod, context.now).standing is Standing.SUCCEEDED for pod in one
        )
        if keep[succeeded]:
            keep[succeeded] -= 1
        else:
            beyond.append(one)
    return beyond
