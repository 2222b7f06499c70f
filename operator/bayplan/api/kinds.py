"""The kinds of workloads that Bayplan serves: one row each. Adding a kind begins here.

Code that lists, watches, reads, checks, explains or completes all workloads goes through `KINDS`.
It holds only texts and loads no model: a row names the module with the models.
`scheduler.deciders` says how a kind is reconciled, because this package must not import the code
that decides. `DEFINED` has all kinds with a definition: the workloads, and Pool, which has no pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bayplan.api import names


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinedKind:
    """A kind that has a definition, of the group and version in `names`.

    `name` is the kind in manifests, `short` is kubectl's short name. `module` has the kind's models
    and printed columns as its `DEFINITION`. `namespaced` says whether its resources are in
    namespaces, or belong to the cluster.
    """

    name: str
    plural: str
    short: str
    module: str
    namespaced: bool = True

    @property
    def singular(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadKind(DefinedKind):
    """One kind of workload.

    `word` is its name in our commands. `label` is the label that names the owner on each pod.
    `references` is the field of the spec that lists other resources of the same kind by name.

    `runs` says whether its pods are runs that end: the kubelet never restarts such pods, and they
    carry the run-tracking finalizer and have labels of their own.
    """

    word: str
    label: str
    references: str
    runs: bool = False

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
POOL = DefinedKind(
    name=names.POOL_KIND,
    plural="pools",
    short="bpool",
    module="bayplan.api.pool",
    namespaced=False,
)
DEFINED: tuple[DefinedKind, ...] = (*KINDS, POOL)
DEFINED_BY_NAME: Mapping[str, DefinedKind] = {kind.name: kind for kind in DEFINED}
BY_NAME: Mapping[str, WorkloadKind] = {kind.name: kind for kind in KINDS}
NAMES = tuple(BY_NAME)
RUNS = frozenset(kind.name for kind in KINDS if kind.runs)
