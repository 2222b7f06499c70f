"""How many finished pods of runs the whole cluster keeps, whatever the jobs' `history` adds up to.

The API server slows down with the objects that it holds, and Kubernetes' own collection of finished
pods (from 12,500 on) asks nobody. The status is the record; above this number the oldest pods go,
with their logs.
"""

from collections.abc import Iterable

from bayplan.model.pods import Pod
from bayplan.reconcile.view import Mark

MOST_FINISHED = 5_000


def mark_of(pod: Pod, now: int) -> Mark:
    """The sort key of a finished pod among all; a later `now` never gives an earlier place."""
    return pod.ended_at(now), pod.namespace, pod.name


def last_to_go(pods: Iterable[Pod], now: int, most: int = MOST_FINISHED) -> Mark | None:
    """The newest of the finished pods that are too many; None while there are few enough."""
    marks = [mark_of(pod, now) for pod in pods if not pod.terminating]
    if len(marks) <= most:
        return None
    return sorted(marks, reverse=True)[most]
