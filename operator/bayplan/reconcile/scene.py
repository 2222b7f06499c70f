"""What is known of one job with a readable spec, at one moment."""

from collections.abc import Mapping
from dataclasses import dataclass

from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.resource import Resource
from bayplan.model import pod as pods_
from bayplan.reconcile.action import View
from bayplan.reconcile.figures import Samples
from bayplan.reconcile.ledger import Ledger
from bayplan.reconcile.runs import Rules

Book = Mapping[str, Mapping[int, pods_.Pod]]  # run -> attempt -> pod


@dataclass(frozen=True, slots=True)
class Scene:
    """What is known of one job with a readable spec, at one moment."""

    job: Resource
    spec: BatchJobSpec
    view: View
    now: int
    prefix: str
    stored: Ledger
    book: Book
    rules: Rules
    samples: Samples

    @property
    def accepted(self) -> bool:
        """Whether pods may be created: no problems, and the API server took the template."""
        admission = self.view.admission
        return not self.job.problems and admission is not None and not admission.refusal
