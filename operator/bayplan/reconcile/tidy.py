"""Which run pods may go: only what the STORED status accounts for is released or deleted.

A pod is released (our finalizer removed) as soon as its attempt is accounted for. It is deleted
when its run has ended and `history` is full, when a later attempt exists, or when it still runs
though its run is over (replaced, lost with its node, missed).
"""

from collections.abc import Iterable, Mapping

from bayplan.api import names
from bayplan.model import pod as pods_
from bayplan.reconcile import identity
from bayplan.reconcile.action import DeletePod, ReleasePod
from bayplan.reconcile.course import tracked
from bayplan.reconcile.scene import Scene
from bayplan.reconcile.verdict import Standing


def release_orphans(pods: Iterable[pods_.Pod]) -> tuple[ReleasePod, ...]:
    """Let go of pods whose BatchJob is being deleted or is gone: garbage collection ends then."""
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


def tidied(scene: Scene) -> tuple[tuple[DeletePod, ...], tuple[ReleasePod, ...], int | None]:
    """What to delete, what to release, and when time alone makes more of it go."""
    accounted: list[pods_.Pod] = []
    going: list[tuple[pods_.Pod, str]] = []
    records: list[pods_.Pod] = []  # the last pods of runs that have ended
    for run, attempts in scene.book.items():
        entry = scene.stored.entry(run)
        if entry is not None:
            over = {at: pod for at, pod in attempts.items() if at < entry.attempt}
            accounted += over.values()
            going += _superseded(over, newer=entry.attempt in attempts)
        elif scene.stored.took_up(run) or _forgotten(run, attempts):
            accounted += attempts.values()
            last = attempts[max(attempts)]
            going += _superseded(
                {at: one for at, one in attempts.items() if one is not last}, newer=True
            )
            if not last.terminal:
                going.append((last, "its run is over"))
            elif not last.terminating:
                records.append(last)
    going += [(pod, "beyond spec.history") for pod in _beyond(scene, records)]
    marks = []
    if scene.spec.ttl_seconds_after_finished is not None:
        marks = [_ended_at(scene, pod) + scene.spec.ttl_seconds_after_finished for pod in records]
    gone = [pod for pod, at in zip(records, marks, strict=False) if at <= scene.now]
    going += [(pod, "spec.ttlSecondsAfterFinished is over") for pod in gone]
    reasons = {pod.key: (pod, why) for pod, why in going if pod.uid and not pod.terminating}
    deletes = tuple(
        DeletePod(pod.namespace, pod.name, pod.uid, why)
        for _, (pod, why) in sorted(reasons.items())
    )
    wake_at = min((at for at in marks if at > scene.now), default=None)
    return deletes, release_orphans(accounted), wake_at


def _ended_at(scene: Scene, pod: pods_.Pod) -> int:
    """When it ended; a node's clock that is ahead must not keep it for ever."""
    told = pod.ending.finished_at
    return pod.created_at if told is None or told > scene.now else told


def _superseded(over: Mapping[int, pods_.Pod], *, newer: bool) -> Iterable[tuple[pods_.Pod, str]]:
    """Of attempts that are over: the newest stays for its logs until a newer one exists."""
    newest = max(over, default=-1)
    for attempt, pod in over.items():
        if not pod.terminal:
            yield pod, "its attempt was lost with its node"
        elif newer or attempt != newest:
            yield pod, "a later attempt exists"


def _forgotten(run: str, attempts: Mapping[int, pods_.Pod]) -> bool:
    """Whether it was accounted for so long ago that the status has forgotten its token."""
    return identity.slot_of(run) is None and not any(map(tracked, attempts.values()))


def _beyond(scene: Scene, records: Iterable[pods_.Pod]) -> list[pods_.Pod]:
    """Those that `history` has no place for, the oldest ends first to go."""
    keep = {True: scene.spec.history.successful, False: scene.spec.history.failed}
    newest_first = sorted(
        records,
        key=lambda pod: (pod.ending.finished_at or pod.created_at, pod.created_at, pod.name),
        reverse=True,
    )
    beyond = []
    for pod in newest_first:
        succeeded = scene.rules.verdict(pod, scene.now).standing is Standing.SUCCEEDED
        if keep[succeeded]:
            keep[succeeded] -= 1
        else:
            beyond.append(pod)
    return beyond
