"""From when on the start of an attempt is written, and which runs really run.

The start of a run that ends soon is not worth a write of its own: such a run is written once, at
its end. The start of every other run is written within a quarter of a minute.
"""

from bayplan.model.pods import Phase
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.runs import RunProgress

QUIET_SECONDS = 10  # after the start of the containers, where nothing says that the run is short
PENDING_SECONDS = 12  # after the pod's creation, whether its containers have started or not
SHORT_SECONDS = 30  # a run that probably ends within this time may end before its start is written
LONGEST_QUIET_SECONDS = SHORT_SECONDS + 2  # a kubelet tells an end a second or two late


def is_young(context: JobContext, one: RunProgress) -> bool:
    """Whether a run's present attempt began too recently to be worth a write."""
    return not context.at_once and context.now < told_at(context, one)


def told_at(context: JobContext, one: RunProgress) -> int:
    """When the start of the run's present attempt is worth a write.

    A node's clock may be ahead: the pod's creation, by the API server's clock, sets the limit.
    """
    pod, created_at = one.pod, one.run.since
    running, waiting = _likely_seconds(context, one)
    if pod is not None and pod.created_at:
        created_at = pod.created_at
    latest = created_at + _quiet(None if running is None else running + waiting, PENDING_SECONDS)
    if pod is None or pod.ending.started_at is None:
        return latest
    return min(pod.ending.started_at + _quiet(running, QUIET_SECONDS), latest)


def is_running(context: JobContext, one: RunProgress) -> bool:
    """Whether a present attempt of the run is at work: a pod that only waits to start is not."""
    lanes = context.pods_by_run.get(one.run.id, {})
    present = (attempts.get(one.run.lane(index).attempt) for index, attempts in lanes.items())
    return any(pod is not None and pod.phase is Phase.RUNNING for pod in present)


def _likely_seconds(context: JobContext, one: RunProgress) -> tuple[int | None, int]:
    """How long the run will probably run, None if that is unknown, and wait for its start.

    With `onLost: Fail` a pod that is removed by force must not be the only record of its run. A
    run that was tried before is no longer a usual run.
    """
    if context.spec.on_lost == "Fail" or one.run.attempt:
        return None, 0
    told = context.spec.expected_duration_seconds
    return (context.samples.usual_seconds if told is None else told), context.samples.usual_wait


def _quiet(likely: int | None, otherwise: int) -> int:
    """For how long a start is not news: until the run has probably ended, where that is soon."""
    if likely is None or likely > SHORT_SECONDS:
        return otherwise
    return min(max(likely + likely // 4 + 1, otherwise), LONGEST_QUIET_SECONDS)
