"""What is known of one job with a readable spec, at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from bayplan.api import run_names
from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.resource import Resource
from bayplan.model.pods import Pod
from bayplan.reconcile.batchjob.runs import Rules
from bayplan.reconcile.batchjob.statistics import Samples
from bayplan.reconcile.batchjob.stored_status import MOST_ACTIVE, StoredStatus
from bayplan.reconcile.view import View

# run -> index -> attempt -> pod
PodsByRun = Mapping[str, Mapping[int, Mapping[int, Pod]]]


@dataclass(frozen=True, slots=True)
class JobContext:
    """What is known of one job with a readable spec, at one moment.

    `at_once`: each start is news, as for a person who asks what is true now.
    """

    job: Resource
    spec: BatchJobSpec
    view: View
    now: int
    prefix: str
    stored: StoredStatus
    pods_by_run: PodsByRun
    rules: Rules
    samples: Samples
    at_once: bool = False

    def pods_of(self, run: str) -> list[Pod]:
        """All pods of a run."""
        return [pod for lane in self.pods_by_run.get(run, {}).values() for pod in lane.values()]

    @property
    def most_active(self) -> int:
        """Most unfinished runs; fewer for runs of many tasks, to limit the pods and the status."""
        return min(MOST_ACTIVE, max(run_names.MOST_TASKS // self.spec.tasks, 1))

    @property
    def accepted(self) -> bool:
        """Whether pods may be created: no problems, and the API server took the template."""
        admission = self.view.admission
        return not self.job.problems and admission is not None and not admission.refusal

    @property
    def blocked(self) -> bool:
        """Whether no pod can be created until somebody mends something."""
        admission = self.view.admission
        return bool(self.job.problems) or (admission is not None and bool(admission.refusal))

    @property
    def crowded_out(self) -> bool:
        """Whether a full quota is the only thing that prevents new pods."""
        admission = self.view.admission
        return not self.job.problems and admission is not None and admission.lacks_quota
