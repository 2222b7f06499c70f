"""What a job may know of its parent jobs: their successes, and the parents of each parent.

All of it comes from their stored statuses, so that a restart changes nothing.
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
    """The parents of a job and a cycle through it; O(ancestors), nothing without parents."""
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
