"""Who is where, counted by what other pods' constraints ask for.

Anti-affinity, spread, host ports and volumes look at pods that run already. Scanning fifty thousand
pods for each of them would cost more than the whole solve, so the counts are kept as pods come and
go. Counts are signed: a snapshot's what-if is a second census that is added to the first.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bayplan.model import pod as pods_

Counts = dict[str, int]  # node name -> how many pods; never zero
Labels = tuple[tuple[str, str], ...]  # sorted
PodKey = tuple[str, str]  # namespace, name
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Group:
    """Placed pods of one namespace with equal labels; those being deleted stand apart."""

    labels: Mapping[str, str]
    terminating: bool
    nodes: Counts = field(default_factory=dict)


@dataclass(slots=True)
class Census:
    """Non-terminal pods that have a node."""

    groups: dict[str, dict[tuple[Labels, bool], Group]] = field(default_factory=dict)
    averse: dict[tuple[str, tuple[pods_.PodTerm, ...]], Counts] = field(default_factory=dict)
    ports: dict[pods_.HostPort, Counts] = field(default_factory=dict)
    claims: dict[PodKey, Counts] = field(default_factory=dict)
    daemons: dict[str, Counts] = field(default_factory=dict)  # DaemonSet uid -> nodes that have it

    def count(self, pod: pods_.Pod, node: str, sign: int) -> None:
        """Count a pod that joins (1) or leaves (-1) this node."""
        labels = tuple(sorted(pod.labels.items()))
        group_key = (labels, pod.terminating)
        groups = self.groups.setdefault(pod.namespace, {})
        group = groups.get(group_key)
        if group is None:
            group = groups[group_key] = Group(pod.labels, pod.terminating)
        _step(group.nodes, node, sign)
        if not group.nodes:
            del groups[group_key]
            if not groups:
                del self.groups[pod.namespace]
        constraints = pod.constraints
        if constraints.pod_anti_affinity:
            terms = tuple(term for term in constraints.pod_anti_affinity if not term.weight)
            if terms:
                _step_in(self.averse, (pod.namespace, terms), node, sign)
        for port in constraints.host_ports:
            _step_in(self.ports, port, node, sign)
        for claim in constraints.claims:
            _step_in(self.claims, (pod.namespace, claim), node, sign)
        if pod.owner is not None and pod.owner.kind == "DaemonSet":
            _step_in(self.daemons, pod.owner.uid, node, sign)

    def matching(
        self,
        namespaces: frozenset[str] | None,
        wanted: Callable[[Mapping[str, str]], bool],
        *,
        terminating: bool,
    ) -> Iterator[Group]:
        """Groups whose labels are wanted; None looks at every namespace."""
        for namespace in sorted(self.groups.keys() if namespaces is None else namespaces):
            for group in self.groups.get(namespace, {}).values():
                if (terminating or not group.terminating) and wanted(group.labels):
                    yield group


def _step(counts: Counts, node: str, sign: int) -> None:
    after = counts.get(node, 0) + sign
    if after:
        counts[node] = after
    else:
        del counts[node]


def _step_in(index: dict[K, Counts], key: K, node: str, sign: int) -> None:
    counts = index.setdefault(key, {})
    _step(counts, node, sign)
    if not counts:
        del index[key]
