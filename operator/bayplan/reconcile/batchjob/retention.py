"""How many finished pods of runs the whole cluster keeps, whatever the jobs' `history` adds up to.

The API server slows down with what it holds, and Kubernetes' own collection of finished pods (from
12,500 on) asks nobody. The status is the record; beyond this the oldest pods go, logs and all.
"""

from collections.abc import Iterable

from bayplan.model.pods import Pod
from bayplan.reconcile.view import Mark

MOST_FINISHED = 5_000


def mark_of(pod: Pod) -> Mark:
    """Where a finished pod stands among all; not before its birth, whatever its node says."""
    ended_at = pod.ending.finished_at
    return max(pod.created_at, ended_at or 0), pod.namespace, pod.name


def last_to_go(pods: Iterable[Pod], most: int = MOST_FINISHED) -> Mark | None:
    """The newest of the finished pods that are too many; None while there are few enough."""
    marks = [mark_of(pod) for pod in pods if not pod.terminating]
    if len(marks) <= most:
        return None
    return sorted(marks, reverse=True)[most]
