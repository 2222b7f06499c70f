"""The kinds of workloads that Bayplan serves: one row each. Adding a kind begins here.

Code that lists, watches, reads, checks, explains or completes all kinds goes through this table. It
holds only texts and loads no model: a row names the module with the models. `scheduler.deciders`
says how a kind is reconciled, because this package must not import the code that decides.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bayplan.api import names


@dataclass(frozen=True, slots=True)
class WorkloadKind:
    """One kind of workload, of the group and version in `names`.

    `name` is the kind in manifests, `short` is kubectl's short name, `word` is its name in our
    commands. `module` has the kind's models and printed columns as its `DEFINITION`. `label` is the
    label that names the owner on each pod. `references` is the field of the spec that lists other
    resources of the same kind by name.

    `runs` says whether its pods are runs that end: the kubelet never restarts such pods, and they
    carry the run-tracking finalizer and have labels of their own.
    """

    name: str
    plural: str
    short: str
    word: str
    module: str
    label: str
    references: str
    runs: bool = False

    @property
    def singular(self) -> str:
        return self.name.lower()

    @property
    def words(self) -> tuple[str, ...]:
        """The words for this kind before a `/` on the command line, in lower case."""
        return self.singular, self.plural, self.short, self.word

    @property
    def restart_policy(self) -> str:
        return "Never" if self.runs else "Always"


KINDS = (
    WorkloadKind(
        name=names.BATCHJOB,
        plural="batchjobs",
        short="bj",
        word="job",
        module="bayplan.api.batchjob",
        label=names.JOB,
        references="parents",
        runs=True,
    ),
    WorkloadKind(
        name=names.LONGSERVICE,
        plural="longservices",
        short="lsvc",
        word="service",
        module="bayplan.api.longservice",
        label=names.SERVICE,
        references="dependsOn",
    ),
)
BY_NAME: Mapping[str, WorkloadKind] = {kind.name: kind for kind in KINDS}
NAMES = tuple(BY_NAME)
RUNS = frozenset(kind.name for kind in KINDS if kind.runs)
