"""Labels that only pods have and not their templates, where a constraint asks for them.

Tasks of a resource are alike in all that placing looks at, except for these labels: those that tell
the runs of a job apart, and the revision of an instance. The labels split no class as long as no
affinity, anti-affinity or spread names them, and few do. Where a constraint does
(`matchLabelKeys: [bayplan.dev/run]`), the tasks that it may look at keep the labels.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from bayplan.api import names
from bayplan.model import requirements
from bayplan.model.pods import Constraints, PodTerm
from bayplan.model.workloads import PodClass

Terms = tuple[tuple[str, requirements.Requirement], ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which of these labels constraints name: in every namespace, and in single namespaces."""

    everywhere: frozenset[str] = frozenset()
    of: Mapping[str, frozenset[str]] = field(default_factory=dict)  # by namespace

    def labels(self, namespace: str, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The labels of a task that a constraint may look at."""
        if not (self.everywhere or self.of):
            return ()
        named = self.everywhere | self.of.get(namespace, frozenset())
        return tuple((key, labels[key]) for key in sorted(named) if key in labels)


NOBODY = Asked()
EVERYBODY = Asked(names.ADDED)  # for callers that do not know what is named: right, but slower


class Asking:
    """Gathers the labels that the constraints of waiting and running pods name."""

    def __init__(self) -> None:
        self._everywhere: set[str] = set()
        self._of: dict[str, set[str]] = {}

    def constraints(self, namespace: str, wanted: Constraints) -> None:
        for spread in wanted.spread:
            for key in _named(spread.selector.labels):
                self._of.setdefault(namespace, set()).add(key)
        self.terms(namespace, wanted.pod_affinity)
        self.terms(namespace, wanted.pod_anti_affinity)

    def terms(self, namespace: str, terms: Iterable[PodTerm]) -> None:
        for term in terms:
            for key in _named(term.selector.labels):
                if term.all_namespaces or term.namespace_selector is not None:
                    self._everywhere.add(key)
                else:
                    for near in term.namespaces or (namespace,):
                        self._of.setdefault(near, set()).add(key)

    def asked(self) -> Asked:
        if not (self._everywhere or self._of):
            return NOBODY
        of = {name: frozenset(keys) for name, keys in self._of.items()}
        return Asked(frozenset(self._everywhere), of)


def of_task(kind: PodClass, labels: Mapping[str, str]) -> PodClass:
    """The class of one task, with its own labels; `kind` came from a sample of the template."""
    wanted = kind.constraints
    if not sampled(wanted):
        return kind
    return replace(
        kind,
        constraints=replace(
            wanted,
            spread=tuple(
                replace(one, selector=_own(one.selector, labels)) for one in wanted.spread
            ),
            pod_affinity=_owned(wanted.pod_affinity, labels),
            pod_anti_affinity=_owned(wanted.pod_anti_affinity, labels),
        ),
    )


def sampled(wanted: Constraints) -> bool:
    """Whether the constraints of a sample name labels whose value differs from task to task."""
    selectors = [one.selector for one in wanted.spread]
    selectors += [one.selector for one in (*wanted.pod_affinity, *wanted.pod_anti_affinity)]
    return any(_is_sample(key, value) for one in selectors for key, value in one.labels)


def _named(labels: Terms) -> Iterator[str]:
    return (key for key, _ in labels if key in names.ADDED)


def _is_sample(key: str, wanted: requirements.Requirement) -> bool:
    return key in names.PER_TASK and wanted.values == {names.SAMPLE}


def _owned(terms: tuple[PodTerm, ...], labels: Mapping[str, str]) -> tuple[PodTerm, ...]:
    return tuple(replace(one, selector=_own(one.selector, labels)) for one in terms)


def _own(selector: requirements.Term, labels: Mapping[str, str]) -> requirements.Term:
    """A label that the task lacks is left out, as for any key of matchLabelKeys."""
    return replace(
        selector,
        labels=tuple(
            (key, replace(wanted, values=frozenset({labels[key]})))
            if _is_sample(key, wanted)
            else (key, wanted)
            for key, wanted in selector.labels
            if not _is_sample(key, wanted) or key in labels
        ),
    )
