"""Which reconcile function decides for each kind of `api.kinds`."""

from collections.abc import Callable, Mapping

from bayplan.api import names
from bayplan.api.resource import Resource
from bayplan.model import intents
from bayplan.model.pods import Pod
from bayplan.model.workloads import TaskKey
from bayplan.reconcile.batchjob.reconcile import reconcile as reconcile_batchjob
from bayplan.reconcile.longservice.reconcile import reconcile as reconcile_longservice
from bayplan.reconcile.view import View

Decide = Callable[
    [Resource, Mapping[TaskKey, Pod], View, int], intents.Outcome
]  # (resource, its pods, the cluster, now)

DECIDERS: Mapping[str, Decide] = {
    names.BATCHJOB: reconcile_batchjob,
    names.LONGSERVICE: reconcile_longservice,
}
