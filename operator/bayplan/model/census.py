"""How many placed pods each node has, counted by what the constraints of other pods ask for.

Anti-affinity, spread, host ports and volumes depend on pods that run already. Scanning fifty
thousand pods for each of them would cost more than the whole solve, so the counts are updated as
pods come and go. Counts are signed: a snapshot's what-if is a second census, added to the first.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from bayplan.model import requirements
from bayplan.model.pods import Disk, HostPort, Pod, PodTerm
from bayplan.model.workloads import EXCLUSIVE

Counts = dict[str, int]  # node name -> how many pods; never zero
Labels = tuple[tuple[str, str], ...]  # sorted
GroupKey = tuple[str, Labels, bool]  # namespace, labels, terminating
PodKey = tuple[str, str]  # namespace, name
K = TypeVar("K")


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Placed pods of one namespace with equal labels; terminating pods form groups of their own."""

    namespace: str
    labels: Mapping[str, str]
    terminating: bool
    nodes: Counts = field(default_factory=dict)


@dataclass(slots=True)
class Census:
    """Non-terminal pods that have a node."""

    groups: dict[GroupKey, Group] = field(default_factory=dict)
    averse: dict[tuple[str, tuple[PodTerm, ...]], Counts] = field(default_factory=dict)
    ports: dict[HostPort, Counts] = field(default_factory=dict)
    claims: dict[PodKey, Counts] = field(default_factory=dict)
    disks: dict[Disk, Counts] = field(default_factory=dict)
    daemons: dict[str, Counts] = field(default_factory=dict)  # DaemonSet uid -> nodes that have it
    exclusive: Counts = field(default_factory=dict)  # pods that want a node to themselves
    _by_label: dict[str, dict[str, dict[GroupKey, Group]]] = field(default_factory=dict)

    def count(self, pod: Pod, node: str, sign: int) -> None:
        """Count a pod that joins (1) or leaves (-1) this node."""
        self._count_labels(pod, node, sign)
        constraints = pod.constraints
        if constraints.pod_anti_affinity:
            terms = tuple(term for term in constraints.pod_anti_affinity if not term.weight)
            if terms:
                _step_in(self.averse, (pod.namespace, terms), node, sign)
        for port in constraints.host_ports:
            _step_in(self.ports, port, node, sign)
        for claim in constraints.claims:
            _step_in(self.claims, (pod.namespace, claim), node, sign)
        for disk in constraints.disks:
            _step_in(self.disks, disk, node, sign)
        if pod.owner is not None and pod.owner.kind == "DaemonSet":
            _step_in(self.daemons, pod.owner.uid, node, sign)
        if EXCLUSIVE in pod.labels:
            _step(self.exclusive, node, sign)

    def matching(self, wanted: requirements.Term) -> Iterable[Group]:
        """Groups whose labels a selector matches, in any namespace.

        Runs carry labels of their own, so there may be as many groups as pods. A selector that
        lists values of a label looks only at the groups with these values: the first selector for
        a label builds that label's index, which is kept from then on.
        """
        named = (
            (key, values) for key, one in wanted.labels if (values := _values(one)) is not None
        )
        key, values = next(named, ("", frozenset[str]()))
        if not key:
            return (one for one in self.groups.values() if wanted.matches(one.labels))
        index = self._by_label.get(key)
        if index is None:
            index = self._by_label[key] = {}
            for group_key, group in self.groups.items():
                if key in group.labels:
                    index.setdefault(group.labels[key], {})[group_key] = group
        return (
            group
            for value in sorted(values)
            for group in index.get(value, {}).values()
            if wanted.matches(group.labels)
        )

    def _count_labels(self, pod: Pod, node: str, sign: int) -> None:
        key = (pod.namespace, tuple(sorted(pod.labels.items())), pod.terminating)
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(pod.namespace, pod.labels, pod.terminating)
            for label, index in self._by_label.items():
                if label in pod.labels:
                    index.setdefault(pod.labels[label], {})[key] = group
        _step(group.nodes, node, sign)
        if not group.nodes:
            del self.groups[key]
            for label, index in self._by_label.items():
                if label in pod.labels:
                    _drop(index, pod.labels[label], key)


def _values(wanted: requirements.Requirement) -> frozenset[str] | None:
    """The only values that a requirement accepts; None if they cannot be listed."""
    return None if wanted.complement or wanted.absent_ok else wanted.values


def _drop(index: dict[str, dict[GroupKey, Group]], value: str, key: GroupKey) -> None:
    groups = index[value]
    del groups[key]
    if not groups:
        del index[value]


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
