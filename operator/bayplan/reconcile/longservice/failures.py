"""How instances fail: crashes that their kubelet restarts, containers that cannot start, ends.

It gives the newest failure and one sentence for all of them. It counts nothing; `restart_backoff`
does that.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bayplan.api.times import rfc3339, time_of
from bayplan.model import kubelet_words
from bayplan.model.pods import FRESH, Pod
from bayplan.reconcile import conditions
from bayplan.reconcile.longservice import restart_backoff
from bayplan.reconcile.longservice.instances import Instances

REPEAT_SECONDS = 60  # the same failure again within this time is not news

_LONGEST_WORD = 64
_LONGEST_HINT = 300

_FAILURES_OF_WAITING = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "PostStartHookError",
        "RegistryUnavailable",
        "RunContainerError",
        *kubelet_words.OF_STARTING,
    }
)


def fails(pod: Pod) -> bool:
    """Whether a pod that is not ready shows why: it crashes, or its container cannot start."""
    ending = pod.ending
    crashes = ending.restarts > 0 and not pod.ready and not pod.unmet_gates
    return ending.waiting in _FAILURES_OF_WAITING or crashes


def sentence(failing: Collection[Pod]) -> str:
    """One sentence for all failing pods: how many there are, and the worst of them."""
    worst = max(failing, key=lambda pod: (pod.ending.restarts, pod.name))
    ending = worst.ending
    what = ending.waiting or ending.reason or "not ready"
    if ending.exit_code is not None:
        what = f"exit code {ending.exit_code}"
        if ending.reason not in {"", "Error", "Completed"}:
            what = f"{what}, {ending.reason}"
    if ending.restarts:
        what = f"{what}, {counted(ending.restarts, 'restart')}"
    where = f" on {worst.node}" if worst.node else ""
    said = (ending.message or ending.said).strip().splitlines()
    hint = conditions.cut(f": {said[-1]}", _LONGEST_HINT) if said else ""
    return f"{len(failing)} failing, such as {worst.name}{where} ({what}){hint}"


def unready(instances: Instances) -> str:
    """Why an instance that runs is not ready: its kubelet's words, or a readiness gate.

    Empty if nothing says why.
    """
    return _unready(
        instances, ((pod, pod.ending.said or pod.unmet_gates) for pod in instances.live)
    )


def gated(instances: Instances, revision: str) -> str:
    """Which readiness gate alone keeps an instance of the revision unready; empty if none does."""
    of_it = (pod for pod in instances.live if instances.revision_of(pod) == revision)
    return _unready(instances, ((pod, pod.unmet_gates) for pod in of_it))


def _unready(instances: Instances, said: Iterable[tuple[Pod, str]]) -> str:
    told = ((pod, words) for pod, words in said if words and not instances.healthy(pod))
    pod, words = min(told, key=lambda one: one[0].name, default=(None, ""))
    if pod is None:
        return ""
    where = f" on {pod.node}" if pod.node else ""
    return conditions.cut(f"{pod.name}{where} is not ready: {words}", _LONGEST_HINT)


def newest(instances: Instances, stored: object, now: int) -> Mapping[str, Any] | None:
    """The newest failure; the same failure again within a minute is not news."""
    before = stored if isinstance(stored, Mapping) else None
    failed = max(_failures(instances, now), key=lambda one: (one[0], one[1].name), default=None)
    if failed is None:
        return before
    time, pod = failed
    ending = pod.ending
    reason = pod.reason or ending.reason or ending.waiting or "Failed"
    told: dict[str, Any] = {"pod": pod.name, "node": pod.node, "reason": reason[:_LONGEST_WORD]}
    if ending.exit_code is not None:
        told["exitCode"] = ending.exit_code
    told["message"] = conditions.cut((pod.message or ending.message or ending.said).strip())
    told["time"] = rfc3339(time)
    told = {name: value for name, value in told.items() if value != ""}
    if before is None:
        return told
    same = all(before.get(name) == told.get(name) for name in ("reason", "exitCode"))
    known = time_of(before.get("time")) or 0
    return told if time >= known + (REPEAT_SECONDS if same else 1) else before


def _failures(instances: Instances, now: int) -> Iterable[tuple[int, Pod]]:
    for pod in instances.ended:
        if restart_backoff.counts(pod):
            yield pod.ended_at(now), pod
    for pod in instances.live:
        ending = pod.ending
        if ending is FRESH:
            continue
        if ending.restarts > 0 and ending.finished_at is not None:
            yield min(ending.finished_at, now), pod  # a node's clock may be ahead
        elif ending.waiting in _FAILURES_OF_WAITING:
            yield pod.created_at, pod


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
