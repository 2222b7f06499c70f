"""Nodes as columns: what filters ask of nodes alone, answered for all nodes in one pass.

Labels become codes (one integer per distinct value), so that a requirement is tested once per
distinct value instead of once per node. Nothing here looks at pods or at free room; therefore one
table serves every cycle until a node changes (`Memo`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bayplan.model import requirements, resources
from bayplan.model.nodes import LEAVING_TAINTS, LOST_TAINTS, Node, Taint
from bayplan.model.pods import Toleration
from bayplan.model.reasons import Reason

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]

BLOCKING = frozenset({"NoSchedule", "NoExecute"})
# The assumed cost of an hour of a node without a known price: the slope of EC2's general purpose
# types, where a CPU is worth about 7 GiB. Only the order of nodes depends on it.
_MICRODOLLARS_PER_CPU_MILLI = 30.0
_MICRODOLLARS_PER_BYTE = 4_300.0 / (1 << 30)
_MOST_VERDICTS = 4096  # ~5 kB each at 5,000 nodes


# Taints that mean the same as what a node says in other fields.
_MEANT = {
    Reason.CORDONED: (Taint("node.kubernetes.io/unschedulable"),),
    Reason.NOT_READY: tuple(Taint(key) for key in sorted(LOST_TAINTS)),
}


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """One label over our nodes: `codes[n]` is the code of node n's value, -1 if it is absent.

    `values` include those of nodes that are not ours; `everywhere` has their codes after ours.
    """

    codes: IntVector
    values: tuple[str, ...]  # sorted; the value of code c is values[c]
    index: dict[str, int]
    everywhere: IntVector

    @property
    def alone(self) -> bool:
        """Whether no two nodes share a value, as with hostnames."""
        return len(self.values) == int((self.everywhere >= 0).sum())

    def sums(self, amounts: IntVector) -> IntVector:
        """Amounts per node (ours or everywhere), added up per value."""
        codes = self.codes if len(amounts) == len(self.codes) else self.everywhere
        known = codes >= 0
        sums = np.bincount(codes[known], amounts[known], minlength=len(self.values))
        return sums.astype(np.int64)

    def of_nodes(self, flags: BoolVector, *, absent: bool = False) -> BoolVector:
        """Flags per value as flags per node; `absent` is the flag of nodes without the label."""
        return np.append(flags, absent)[self.codes]

    def accepted(self, wanted: requirements.Requirement) -> BoolVector:
        """[N]: where a requirement on this label holds."""
        if wanted.above is None and wanted.below is None:
            flags = np.full(len(self.values), wanted.complement)
            for value in wanted.values:
                code = self.index.get(value)
                if code is not None:
                    flags[code] = not wanted.complement
        else:
            flags = np.array([wanted.has(value) for value in self.values], dtype=np.bool_)
        return self.of_nodes(flags, absent=wanted.absent_ok)


@dataclass(frozen=True, slots=True, eq=False)
class Refusing:
    """Nodes that refuse a class for one reason."""

    reason: Reason
    detail: str
    nodes: BoolVector


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The answer of nodes alone to some constraints: every refusal, and the nodes left open."""

    refusing: tuple[Refusing, ...]
    open: BoolVector


@dataclass(slots=True, eq=False)
class NodeTable:
    """The nodes of one `nodes_version`. Columns are made on first use.

    `others` are nodes that are not ours: nothing lands there, but some constraints count their
    pods.
    """

    nodes: tuple[Node, ...]
    version: int
    others: tuple[Node, ...] = ()
    verdicts: dict[object, Verdict] = field(default_factory=dict)
    wishes: dict[object, FloatVector | None] = field(default_factory=dict)
    daemons: dict[object, frozenset[str]] = field(default_factory=dict)  # names of nodes
    _domains: dict[str, Domains] = field(default_factory=dict)
    _taints: tuple[IntVector, tuple[tuple[Taint, ...], ...]] | None = None
    _leaving: tuple[Refusing, ...] | None = None
    _names: Domains | None = None
    _picked: npt.NDArray[np.object_] | None = None
    _costs: FloatVector | None = None
    _around: "NodeTable | None" = None

    def domains(self, key: str) -> Domains:
        found = self._domains.get(key)
        if found is None:
            found = self._domains[key] = _domains(
                [node.labels.get(key) for node in (*self.nodes, *self.others)], len(self.nodes)
            )
        return found

    @property
    def around(self) -> "NodeTable":
        """The table of the nodes that are not ours, for the same questions."""
        if self._around is None:
            self._around = NodeTable(self.others, self.version)
        return self._around

    def names(self) -> npt.NDArray[np.object_]:
        """[N]: names of the nodes, as an array to index by rows."""
        if self._picked is None:
            self._picked = np.array([node.name for node in self.nodes], dtype=np.object_)
        return self._picked

    def each(self) -> Domains:
        """Each node as a domain of its own, by its name."""
        if self._names is None:
            self._names = _domains([node.name for node in self.nodes], len(self.nodes))
        return self._names

    def equal(self, label: str, value: str) -> BoolVector:
        """[N]: where a label has this value."""
        domains = self.domains(label)
        equal: BoolVector = domains.codes == domains.index.get(value, -2)
        return equal

    def matching(self, term: requirements.Term) -> BoolVector:
        """[N]: where a node selector term holds."""
        if term.never:
            return np.zeros(len(self.nodes), dtype=np.bool_)
        holds = np.ones(len(self.nodes), dtype=np.bool_)
        if term.name != requirements.ANYTHING:
            holds &= self.each().accepted(term.name)
        for key, wanted in term.labels:
            holds &= self.domains(key).accepted(wanted)
        return holds

    def matching_any(self, terms: Iterable[requirements.Term]) -> BoolVector:
        holds = np.zeros(len(self.nodes), dtype=np.bool_)
        for term in terms:
            holds |= self.matching(term)
        return holds

    def untolerated(self, tolerations: tuple[Toleration, ...]) -> dict[str, BoolVector]:
        """Taint key -> nodes whose first untolerated taint is of that key."""
        codes, distinct = self._taint_codes()
        blocked: dict[str, BoolVector] = {}
        for code, taints in enumerate(distinct):
            for taint in taints:
                if taint.effect in BLOCKING and not _tolerated(taint, tolerations):
                    nodes = blocked.setdefault(taint.key, np.zeros(len(codes), dtype=np.bool_))
                    nodes |= codes == code
                    break
        return dict(sorted(blocked.items()))

    def disliked(self, tolerations: tuple[Toleration, ...]) -> IntVector:
        """[N]: how many PreferNoSchedule taints are not tolerated."""
        codes, distinct = self._taint_codes()
        counts = [
            sum(
                taint.effect == "PreferNoSchedule" and not _tolerated(taint, tolerations)
                for taint in taints
            )
            for taints in distinct
        ]
        return np.array(counts, dtype=np.int64)[codes]

    def leaving_for_plain(
        self, tolerations: tuple[Toleration, ...], *, named: bool
    ) -> Iterator[Refusing]:
        """Nodes that refuse a plain pod: as in Kubernetes, except that silence needs no taint.

        A pod tolerates a cordon (plugin NodeUnschedulable) or silence if it tolerates the taints
        that stand for them; other signs that a node is to go are themselves taints. No pod lands
        on a node whose object is being deleted. Whatever a pod tolerates, it does not land on a
        node that a Pool gives back, unless it asks for its nodes by name (`named`), as pods of a
        DaemonSet do.
        """
        for refusal in self.leaving():
            taints = _MEANT.get(refusal.reason)
            if taints is None:
                gone = np.array(
                    [node.deleting or (node.given_back and not named) for node in self.nodes],
                    dtype=np.bool_,
                )
                yield Refusing(refusal.reason, refusal.detail, gone)
            elif not all(_tolerated(taint, tolerations) for taint in taints):
                yield refusal

    def leaving(self) -> tuple[Refusing, ...]:
        """Nodes on which nothing new of ours lands, whatever it tolerates."""
        if self._leaving is None:
            flags = [
                (Reason.NOT_READY, [not node.ready for node in self.nodes]),
                (Reason.CORDONED, [node.unschedulable for node in self.nodes]),
                (Reason.LEAVING, [_emptied(node) for node in self.nodes]),
            ]
            self._leaving = tuple(
                Refusing(reason, "", np.array(nodes, dtype=np.bool_))
                for reason, nodes in flags
                if any(nodes)
            )
        return self._leaving

    def costs(self) -> FloatVector:
        """[N]: a node's cost as a share of the dearest node's; by size if its price is unknown."""
        if self._costs is None:
            costs = np.array([_price(node) for node in self.nodes], dtype=np.float64)
            self._costs = costs / max(costs.max(initial=0.0), 1.0)
        return self._costs

    def remember(self, key: object, verdict: Verdict) -> Verdict:
        """Keep a verdict; when there are too many, all are dropped."""
        if len(self.verdicts) >= _MOST_VERDICTS:
            self.verdicts.clear()
            self.wishes.clear()
        self.verdicts[key] = verdict
        return verdict

    def _taint_codes(self) -> tuple[IntVector, tuple[tuple[Taint, ...], ...]]:
        if self._taints is None:
            codes: dict[tuple[Taint, ...], int] = {}
            rows = [codes.setdefault(node.taints, len(codes)) for node in self.nodes]
            self._taints = np.array(rows, dtype=np.int64), tuple(codes)
        return self._taints


def _domains(values: list[str | None], ours: int) -> Domains:
    distinct = tuple(sorted({value for value in values if value is not None}))
    index = {value: code for code, value in enumerate(distinct)}
    codes = np.array([-1 if value is None else index[value] for value in values], dtype=np.int64)
    return Domains(codes[:ours], distinct, index, codes)


def _price(node: Node) -> float:
    if node.price_microdollars is not None:
        return float(node.price_microdollars)
    cpu = node.allocatable.amount(resources.CPU) * _MICRODOLLARS_PER_CPU_MILLI
    return cpu + node.allocatable.amount(resources.MEMORY) * _MICRODOLLARS_PER_BYTE


def _tolerated(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    return any(toleration.tolerates(taint) for toleration in tolerations)


def _emptied(node: Node) -> bool:
    return node.deleting or any(taint.key in LEAVING_TAINTS for taint in node.taints)
