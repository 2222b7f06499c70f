"""What a job may know of the jobs that it names as parents: their successes, and who leads to whom.

Only what their stored statuses tell, so that a restart changes nothing.
"""

from collections.abc import Callable

from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.resource import Resource, parent_names
from bayplan.model.graph import cycle
from bayplan.reconcile import conditions
from bayplan.reconcile.batchjob.stored_status import fulfilled_of
from bayplan.reconcile.view import ALONE, Parents, ParentSummary

Find = Callable[[str], Resource | None]  # a BatchJob of the namespace by name


def parents_of(job: Resource, find: Find) -> Parents:
    """What is known around a job; O(ancestors), nothing for a job without parents."""
    names = parent_names(job)
    if not names:
        return ALONE
    found = {name: find(name) for name in names}
    parents = {
        name: summary(one) for name, one in found.items() if one is not None and not one.deleting
    }
    return Parents(parents, cycle(job.name, lambda name: parent_names(find(name))))


def summary(parent: Resource) -> ParentSummary:
    spec = parent.spec if isinstance(parent.spec, BatchJobSpec) else None
    stored = parent.status.get("conditions")
    soft = spec is not None and spec.treat_failure_as_success
    return ParentSummary(
        successes=fulfilled_of(parent.status),
        once=spec is not None and spec.runs_once,
        suspended=conditions.status_of(stored, conditions.SUSPENDED) == "True",
        failed=conditions.status_of(stored, conditions.LAST_RUN_SUCCEEDED) == "False" and not soft,
    )
