"""When the next pod may follow a pod that ended: the back-off per revision, read from the status.

A container that crashes is restarted in place by its kubelet, with the kubelet's own back-off.
This back-off is for pods that ended for good. The rule needs no memory besides the status: a
failure counts when it happened after the stored `retryTime`, so failures within one waiting time
count once, and a pod that ended is deleted only when the stored status covers it. A crash between
the two writes loses nothing and counts nothing twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api.longservice import RestartBackoff
from bayplan.api.times import rfc3339, time_of
from bayplan.model.pods import Pod
from bayplan.reconcile.kubelet_refusals import is_refusal

# A node that refused or evicted one of our pods gets no other for this many seconds. The ended
# pod is kept that long, because it is the only record of the refusal.
COOLING_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Backoff:
    """The back-off of a revision: its n-th failure in a row was at `failed_at`. Epoch seconds."""

    revision: str
    failures: int
    failed_at: int
    retry_at: int

    def covers(self, pod: Pod, now: int) -> bool:
        """Whether this pod's end is counted, so that the pod may be deleted.

        A delay is at least a second, so the failure itself lies before `retry_at`. A pod that was
        created at that moment and fails within the same second is a new failure.
        """
        return pod.ended_at(now) < self.retry_at

    def wire(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "failures": self.failures,
            "retryTime": rfc3339(self.retry_at),
            "failureTime": rfc3339(self.failed_at),
        }


def refused_by_node(pod: Pod) -> bool:
    """Whether a pod ended because of its node, not of itself: refused before its start, or evicted.

    An eviction without DisruptionTarget is for the pod's own excess (its storage limit).
    """
    if pod.reason == "Evicted":
        return bool(pod.disrupted)
    return is_refusal(pod.reason)


def counts(pod: Pod) -> bool:
    """Whether a pod's end is the workload's failure: drains, refusals, lost nodes are not."""
    return not pod.disrupted and pod.reason != "NodeLost" and not refused_by_node(pod)


def stored(status: Mapping[str, Any], revision: str) -> Backoff | None:
    """The back-off of this revision in the status; None when it has none that can be used."""
    told = status.get("restartBackoff")
    if not isinstance(told, Mapping) or told.get("revision") != revision:
        return None
    failures = told.get("failures")
    retry_at, failed_at = time_of(told.get("retryTime")), time_of(told.get("failureTime"))
    if type(failures) is not int or failures < 1 or retry_at is None or failed_at is None:
        return None
    return Backoff(revision, failures, failed_at, retry_at)


def advanced(
    before: Backoff | None,
    ended: Iterable[Pod],
    revision: str,
    rules: RestartBackoff,
    now: int,
) -> Backoff | None:
    """The back-off after these ends of the revision's pods; None when there is none.

    It is forgotten when `maxSeconds` have passed since a pod could start again (Marathon's rule).
    """
    if before is not None and forgotten_at(before, rules) <= now:
        before = None
    new = [pod for pod in ended if counts(pod) and (before is None or not before.covers(pod, now))]
    if not new:
        return before
    failed_at = max(pod.ended_at(now) for pod in new)
    if before is not None and forgotten_at(before, rules) <= failed_at:
        before = None
    failures = before.failures + 1 if before is not None else 1
    delay_ms = rules.delay_milliseconds_after(failures)
    return Backoff(revision, failures, failed_at, failed_at - (-delay_ms // 1000))


def forgotten_at(backoff: Backoff, rules: RestartBackoff) -> int:
    return backoff.retry_at + rules.max_seconds


def cooling_until(pod: Pod, now: int) -> int:
    """Until when (epoch seconds) the node of this ended pod gets no other pod; 0: no wait."""
    return pod.ended_at(now) + COOLING_SECONDS if refused_by_node(pod) else 0
