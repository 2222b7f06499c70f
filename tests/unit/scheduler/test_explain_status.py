"""Which reason a waiting task is counted for."""

import time

from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import state
from bayplan.model.reasons import Funnel, Reason, Refusal
from bayplan.reconcile.view import NoRoom
from bayplan.scheduler.explain_status import ExplainStatus
from bayplan.scheduler.inbox import Inbox
from tests.builders import NOON
from tests.double.bell import Bell


def test_tasks_are_counted_for_the_reason_that_is_told_first() -> None:
    """For what nodes lack, though the filters meet the taint first and more nodes have it."""
    told = ExplainStatus(Cache(state.State(), Bell()), Inbox(time.monotonic), Metrics())
    refusals = Refusal(Reason.TAINT, "dedicated", 5), Refusal(Reason.RESOURCES, "cpu", 2)
    told.settle({("LongService", "default", "web"): NoRoom(3, NOON, Funnel(7, refusals))})
    [metric] = told.metrics.pending.collect()

    assert [({"reason": "InsufficientResources"}, 3.0)] == [
        (one.labels, one.value) for one in metric.samples
    ]
