"""What one cycle sees: nodes, pods and free room, frozen at one moment.

You may change a snapshot to ask "what if": every change returns its undo, so that a simulation
leaves the snapshot as it was. Rows of the matrices are nodes, columns are resources (`columns`);
amounts are int64 in the units of `resources`.
"""

import contextlib
import copy
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bayplan.model import requirements, resources
from bayplan.model.census import Census
from bayplan.model.nodes import Node
from bayplan.model.pods import ANYWHERE, Claim, Constraints, Disk, HostPort, Pod, PodTerm
from bayplan.model.workloads import FREELY, PlacementRules, PodClass

IntMatrix = npt.NDArray[np.int64]
IntVector = npt.NDArray[np.int64]
Undo = Callable[[], None]
PodKey = tuple[str, str]  # namespace, name
Attached = Mapping[str, Mapping[str, AbstractSet[str]]]  # driver -> handle -> nodes with it
Aversion = tuple[str, tuple[PodTerm, ...]]  # namespace, required anti-affinity terms


@dataclass(frozen=True, slots=True)
class DaemonSet:
    """Room to keep: one pod of it will come to every node that its constraints accept.

    The constraints include the tolerations that its controller adds (`daemonsets.tolerations`).
    `kind` says which kind of resource owns the pods. The operator itself places those of a
    LongService with one instance on each node: they also follow `placement`, and do not start on a
    node that takes nothing new.
    """

    namespace: str
    name: str
    uid: str
    request: resources.Vector = resources.ONE_POD
    constraints: Constraints = ANYWHERE
    priority: int = 0  # if several have no room together, the higher priority gets it
    kind: str = "DaemonSet"
    placement: PlacementRules = FREELY

    @property
    def title(self) -> str:
        """`DaemonSet default/agent`."""
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Awaited:
    """Companions of a placed pod that are still to come: `count` of this class.

    `leader` is the pod that will make them, on the node `node`.
    """

    leader: PodKey
    node: str
    kind: PodClass
    count: int


@dataclass(slots=True, eq=False)
class Snapshot:
    """Nodes in name order and what is free on them: allocatable minus the requests of every pod.

    `free` counts every non-terminal pod on a node, no matter who placed it: terminating pods until
    they are gone, and assumed pods. It may be negative where others over-committed. Room for
    DaemonSet pods still to come is *not* yet subtracted (that needs filters; `solve` does it).
    `nodes_version` changes when a node's labels, taints or readiness or the set of nodes change:
    what was computed from nodes alone stays valid while it is the same. `busy` counts the pods of
    a node that are not its residents: a node without such pods costs money for nothing. `passing`
    is the sum of requests of pods that will leave by themselves.

    `others` are nodes that are not ours to fill. Affinity, anti-affinity and spread look at pods
    there too: vectors that count pods everywhere have the others behind our nodes.
    """

    nodes: tuple[Node, ...]
    columns: tuple[str, ...]
    allocatable: IntMatrix
    free: IntMatrix
    busy: IntVector
    passing: IntMatrix
    rows: Mapping[str, int]  # node name -> row
    on_node: Mapping[str, Mapping[PodKey, Pod]]  # node name -> non-terminal pods there
    others: tuple[Node, ...] = ()
    everywhere: Mapping[str, int] = field(default_factory=dict)  # row of our nodes, then of others
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # name -> labels
    # Pods that another scheduler has made room for: (row, request, priority).
    nominated: tuple[tuple[int, resources.Vector, int], ...] = ()
    daemonsets: tuple[DaemonSet, ...] = ()
    awaited: tuple[Awaited, ...] = ()  # in the order of their leaders; their room is not taken off
    claims: Mapping[PodKey, Claim] = field(default_factory=dict)
    attach_limits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # node -> driver
    migrated: Mapping[str, frozenset[str]] = field(default_factory=dict)  # node -> plug-ins
    attached: Attached = field(default_factory=dict)
    known: Mapping[str, Node] = field(default_factory=dict)  # all nodes by name, ours or not
    nodes_version: int = 0
    census: Census = field(default_factory=Census)
    _changed: dict[str, dict[PodKey, Pod]] = field(default_factory=dict)
    _delta: Census = field(default_factory=Census)  # what-if changes, signed

    def with_nodes(self, nodes: Sequence[Node]) -> "Snapshot":
        """The same cluster with more nodes of ours, empty, behind the present ones.

        Their names must be new. What-if changes are copied: later changes of one snapshot are not
        seen in the other. `nodes_version` is one that no `State` gives.
        """
        taken = sorted(node.name for node in nodes if node.name in self.known)
        names = {node.name for node in nodes}
        if taken or len(names) < len(nodes):
            raise ValueError(f"names must be new and distinct: {', '.join(taken or sorted(names))}")
        ours = (*self.nodes, *nodes)
        named = {*self.columns, *(name for node in nodes for name in node.allocatable)}
        columns = (*resources.STANDARD, *sorted(named.difference(resources.STANDARD)))
        more = np.array(
            [[node.allocatable.amount(column) for column in columns] for node in nodes],
            dtype=np.int64,
        ).reshape(len(nodes), len(columns))

        def extended(amounts: IntMatrix, below: IntMatrix) -> IntMatrix:
            wide = np.zeros((len(ours), len(columns)), dtype=np.int64, order="F")
            wide[: len(self.nodes), [columns.index(column) for column in self.columns]] = amounts
            wide[len(self.nodes) :] = below
            return wide

        return replace(
            self,
            nodes=ours,
            columns=columns,
            allocatable=extended(self.allocatable, more),
            free=extended(self.free, more),
            busy=np.append(self.busy, np.zeros(len(nodes), dtype=np.int64)),
            passing=extended(self.passing, np.zeros_like(more)),
            rows={node.name: row for row, node in enumerate(ours)},
            everywhere={node.name: row for row, node in enumerate((*ours, *self.others))},
            known={**self.known, **{node.name: node for node in nodes}},
            nodes_version=-1 - abs(self.nodes_version),
            _changed=dict(self._changed),
            _delta=copy.deepcopy(self._delta),
        )

    def without_nodes(self, names: AbstractSet[str]) -> "Snapshot":
        """The same cluster as if these nodes of ours had gone, and with them their pods.

        What-if changes are copied, as in `with_nodes`.
        """
        kept = [row for row, node in enumerate(self.nodes) if node.name not in names]
        ours = tuple(self.nodes[row] for row in kept)
        rows = {node.name: row for row, node in enumerate(ours)}
        return replace(
            self,
            nodes=ours,
            allocatable=self.allocatable[kept],
            free=self.free[kept],
            busy=self.busy[kept],
            passing=self.passing[kept],
            rows=rows,
            everywhere={node.name: row for row, node in enumerate((*ours, *self.others))},
            known={name: node for name, node in self.known.items() if name not in names},
            on_node={name: pods for name, pods in self.on_node.items() if name not in names},
            nominated=tuple(
                (rows[self.nodes[row].name], request, priority)
                for row, request, priority in self.nominated
                if self.nodes[row].name not in names
            ),
            awaited=tuple(one for one in self.awaited if one.node not in names),
            nodes_version=-1 - abs(self.nodes_version),
            _changed={name: pods for name, pods in self._changed.items() if name not in names},
            _delta=copy.deepcopy(self._delta),
        )

    def vector(self, request: resources.Vector) -> IntVector | None:
        """A request as a row over `columns`; None when no node has one of its resources."""
        row = self.amounts(request)
        return row if int(np.count_nonzero(row)) == len(request) else None

    def amounts(self, request: resources.Vector) -> IntVector:
        """A request as a row over `columns`, without the resources that no node has."""
        return np.array([request.amount(column) for column in self.columns], dtype=np.int64)

    def pods_on(self, name: str) -> Collection[Pod]:
        """Non-terminal pods on a node, what-if changes included."""
        changed = self._changed.get(name)
        return (changed if changed is not None else self.on_node.get(name, {})).values()

    def pods(self) -> Iterator[Pod]:
        """Every non-terminal pod that has a node, what-if changes included."""
        for name in self.on_node.keys() | self._changed.keys():
            yield from self.pods_on(name)

    def peers(
        self, namespaces: frozenset[str] | None, wanted: requirements.Term, *, terminating: bool
    ) -> IntVector:
        """Everywhere: how many pods of these namespaces (None: all) a label selector matches."""
        counts = np.zeros(len(self.nodes) + len(self.others), dtype=np.int64)
        for census in (self.census, self._delta):
            for group in census.matching(wanted):
                inside = namespaces is None or group.namespace in namespaces
                if inside and (terminating or not group.terminating):
                    _add(counts, group.nodes, self.everywhere)
        return counts

    def averse(self) -> list[Aversion]:
        """Required anti-affinity of placed pods: the namespace of the pods and their terms."""
        return list(self.census.averse.keys() | self._delta.averse.keys())

    def bearers(self, aversion: Aversion) -> IntVector:
        """Everywhere: how many placed pods have this anti-affinity."""
        counts = np.zeros(len(self.nodes) + len(self.others), dtype=np.int64)
        for census in (self.census, self._delta):
            _add(counts, census.averse.get(aversion, {}), self.everywhere)
        return counts

    def exclusive(self) -> IntVector:
        """[N]: how many pods want no other workload beside them."""
        counts = np.zeros(len(self.nodes), dtype=np.int64)
        for census in (self.census, self._delta):
            _add(counts, census.exclusive, self.rows)
        return counts

    def with_port(self, wanted: HostPort) -> IntVector:
        """[N]: how many pods hold a host port that collides with this one."""
        counts = np.zeros(len(self.nodes), dtype=np.int64)
        for census in (self.census, self._delta):
            for port, nodes in census.ports.items():
                if port.collides(wanted):
                    _add(counts, nodes, self.rows)
        return counts

    def mounting(self, claim: PodKey) -> Mapping[str, int]:
        """Node -> how many placed pods mount a claim there; also for nodes that are not ours.

        Nodes that no longer exist are left out: pods there have lost the claim.
        """
        nodes = _merged(self.census.claims.get(claim), self._delta.claims.get(claim))
        return {name: count for name, count in nodes.items() if name in self.known}

    def claims_in_use(self) -> Iterator[tuple[PodKey, Mapping[str, int]]]:
        """Claims that placed pods mount: (namespace, claim), and where, as in `mounting`."""
        for key in self.census.claims.keys() | self._delta.claims.keys():
            yield key, self.mounting(key)

    def disks_in_use(self) -> Iterator[tuple[Disk, Mapping[str, int]]]:
        """Disks that placed pods name in place, each with node -> how many pods name it there."""
        for disk in self.census.disks.keys() | self._delta.disks.keys():
            yield disk, _merged(self.census.disks.get(disk), self._delta.disks.get(disk))

    def with_disk(self, wanted: Disk) -> IntVector:
        """[N]: how many pods name a disk that a node cannot have together with this disk."""
        counts = np.zeros(len(self.nodes), dtype=np.int64)
        for disk, nodes in self.disks_in_use():
            if disk.collides(wanted):
                _add(counts, nodes, self.rows)
        return counts

    def without_daemon(self, uid: str, among: frozenset[str]) -> list[int]:
        """Rows of the nodes in `among` where a DaemonSet has no pod."""
        there = self.census.daemons.get(uid, {})
        lacking = among.difference(there)
        change = self._delta.daemons.get(uid)
        if change is not None:
            after = {name: there.get(name, 0) + count for name, count in change.items()}
            lacking -= {name for name, count in after.items() if count > 0}
            lacking |= {name for name, count in after.items() if count <= 0} & among
        return sorted(self.rows[name] for name in lacking)

    def place(self, pod: Pod, name: str) -> Undo:
        """Look as if this pod ran on that node; returns the undo."""
        return self._change(pod, name, joins=True)

    def remove(self, pod: Pod) -> Undo:
        """Look as if this placed pod had left its node; returns the undo."""
        return self._change(pod, pod.node, joins=False)

    @contextlib.contextmanager
    def without(self, pods: Collection[Pod]) -> Iterator[None]:
        """Look as if these pods had left; restored on exit, after an exception too."""
        with contextlib.ExitStack() as undo:
            for pod in pods:
                undo.callback(self.remove(pod))
            yield

    def _change(self, pod: Pod, name: str, *, joins: bool) -> Undo:
        before = self._changed.get(name)
        after = dict(before if before is not None else self.on_node.get(name, {}))
        if joins:
            after[pod.key] = pod
        else:
            del after[pod.key]
        self._changed[name] = after
        self._count(pod, name, 1 if joins else -1)

        def undo() -> None:
            if before is None:
                self._changed.pop(name, None)
            else:
                self._changed[name] = before
            self._count(pod, name, -1 if joins else 1)

        return undo

    def _count(self, pod: Pod, name: str, sign: int) -> None:
        self._delta.count(pod, name, sign)
        row = self.rows.get(name)
        if row is None:
            return
        for index, column in enumerate(self.columns):
            amount = sign * pod.request.amount(column)
            self.free[row, index] -= amount
            self.passing[row, index] += amount if pod.passing else 0
        self.busy[row] += 0 if pod.resident else sign

    def _counts(self, index: str, key: Hashable) -> IntVector:
        counts = np.zeros(len(self.nodes), dtype=np.int64)
        for census in (self.census, self._delta):
            _add(counts, getattr(census, index).get(key, {}), self.rows)
        return counts


def _add(counts: IntVector, nodes: Mapping[str, int], rows: Mapping[str, int]) -> None:
    for name, count in nodes.items():
        row = rows.get(name)
        if row is not None:
            counts[row] += count


def _merged(
    before: Mapping[str, int] | None, change: Mapping[str, int] | None
) -> Mapping[str, int]:
    """Counts with their what-if changes added; no zeros."""
    if not change:
        return before or {}
    total = {name: (before or {}).get(name, 0) + count for name, count in change.items()}
    return {name: count for name, count in {**(before or {}), **total}.items() if count}
