"""The known state of the cluster, updated by increments; every snapshot is taken from it.

The callers (informers, a folder of manifests, a test) say what exists; this module keeps the
indexes and the sums. It knows no API server, no clock and no threads: only one owner calls it.
"""

import functools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bayplan.model import census, resources, snapshot
from bayplan.model.nodes import Node
from bayplan.model.pods import Claim, Pod, PodTerm
from bayplan.model.snapshot import Awaited
from bayplan.model.workloads import of_companions

PodKey = snapshot.PodKey
_NO_PODS: Mapping[PodKey, Pod] = {}
_BUSY = "*"  # not a resource: the number of pods that are not residents of their node
# The fields of a placed pod that any count depends on; see `Census.count` too.
_counted = operator.attrgetter(
    "node", "terminal", "terminating", "owner", "request", "labels", "constraints", "companions"
)
_ONE_BUSY = resources.Vector({_BUSY: 1})
_PASSING = "~"  # before a resource's name: what pods request that will leave by themselves


@functools.lru_cache(maxsize=4096)
def _as_passing(request: resources.Vector) -> resources.Vector:
    return resources.Vector({_PASSING + name: amount for name, amount in request.items()})


class _Sums:
    """Requested amounts per node as one growing matrix; a new node reuses the row of a gone one."""

    __slots__ = ("_amounts", "_columns", "_free", "_rows")

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._free: list[int] = []  # rows of zeros between the rows in use
        self._columns: dict[str, int] = {}
        self._amounts = np.zeros((64, 8), dtype=np.int64)

    def add(self, node: str, request: resources.Vector, sign: int) -> None:
        row = self._row(node)
        for name in request:
            self._columns.setdefault(name, len(self._columns))
        self._grow()
        line = self._amounts[row]
        for name, amount in request.items():
            line[self._columns[name]] += sign * amount

    def rows(self, nodes: tuple[Node, ...]) -> snapshot.IntVector:
        """The row of each node; valid until the node is released."""
        rows = [self._row(node.name) for node in nodes]
        self._grow()
        return np.array(rows, dtype=np.int64)

    def release(self, node: str) -> None:
        """Free the row of a node that has gone with all its pods, for the next new node."""
        row = self._rows.pop(node, None)
        if row is not None:
            self._free.append(row)

    @property
    def size(self) -> int:
        """The number of rows made so far."""
        return len(self._rows) + len(self._free)

    def _row(self, node: str) -> int:
        row = self._rows.get(node)
        if row is None:
            row = self._free.pop() if self._free else len(self._rows)
            self._rows[node] = row
        return row

    def requested(self, rows: snapshot.IntVector, columns: tuple[str, ...]) -> snapshot.IntMatrix:
        requested = np.zeros((len(rows), len(columns)), dtype=np.int64, order="F")
        for index, column in enumerate(columns):
            source = self._columns.get(column)
            if source is not None:
                requested[:, index] = self._amounts[rows, source]
        return requested

    def _grow(self) -> None:
        rows, columns = self._amounts.shape
        if len(self._rows) <= rows and len(self._columns) <= columns:
            return
        grown = np.zeros(
            (max(rows, 2 * len(self._rows)), max(columns, 2 * len(self._columns))), dtype=np.int64
        )
        grown[:rows, :columns] = self._amounts
        self._amounts = grown


@dataclass(frozen=True, slots=True)
class _Frame:
    """The part of a snapshot that depends on nodes alone, kept until `nodes_version` changes."""

    version: int
    nodes: tuple[Node, ...]
    others: tuple[Node, ...]
    columns: tuple[str, ...]
    allocatable: snapshot.IntMatrix
    rows: Mapping[str, int]
    everywhere: Mapping[str, int]
    sums: snapshot.IntVector  # row of each node in _Sums


@dataclass(slots=True)
class State:
    """Nodes and pods with what is requested on each node.

    Assumed pods (counted on before their write is seen) are kept with the other pods; `forget`
    takes them back, and the first sight of the real pod confirms them.
    """

    scheduler: str = "bayplan"
    eligible: Callable[[Node], bool] = lambda _: True  # which nodes are ours to fill
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[PodKey, Pod] = field(default_factory=dict)
    by_owner: dict[str, dict[PodKey, Pod]] = field(default_factory=dict)  # owner uid -> pods
    on_node: dict[str, dict[PodKey, Pod]] = field(default_factory=dict)  # non-terminal
    finished: dict[PodKey, Pod] = field(default_factory=dict)  # terminal, with an owner
    unplaced: dict[PodKey, Pod] = field(default_factory=dict)  # ours to place
    assumed: dict[PodKey, str] = field(default_factory=dict)  # pod -> node counted on
    daemonsets: dict[str, snapshot.DaemonSet] = field(default_factory=dict)  # uid -> DaemonSet
    namespaces: dict[str, Mapping[str, str]] = field(default_factory=dict)  # name -> labels
    nominated: dict[PodKey, Pod] = field(default_factory=dict)  # another scheduler's
    leading: dict[PodKey, Pod] = field(default_factory=dict)  # placed, and will make companions
    claims: dict[PodKey, Claim] = field(default_factory=dict)
    attach_limits: dict[str, Mapping[str, int]] = field(default_factory=dict)
    migrated: dict[str, frozenset[str]] = field(default_factory=dict)  # node -> plug-ins
    attached: dict[str, dict[str, set[str]]] = field(default_factory=dict)  # driver -> handle
    nodes_version: int = 0
    _census: census.Census = field(default_factory=census.Census)
    _sums: _Sums = field(default_factory=_Sums)
    _frame: _Frame | None = None

    def set_node(self, node: Node) -> None:
        before = self.nodes.get(node.name)
        self.nodes[node.name] = node
        if node.emptying:
            self._uproot(node)
        if before is None or replace(before, resource_version=node.resource_version) != node:
            self.nodes_version += 1

    def drop_node(self, name: str) -> None:
        gone = self.nodes.pop(name, None)
        if gone is not None:
            self._uproot(gone, always=True)
            self.nodes_version += 1
            self._release(name)

    def set_pod(self, pod: Pod) -> Pod | None:
        """Keep this sight of the pod; returns the sight before it.

        An unplaced sight of a pod whose binding is on its way does not take the assumption back.
        A sight with a node confirms the assumption; the pod's end ends it.
        """
        key = pod.key
        counted_on = self.assumed.get(key)
        if counted_on is not None:
            if pod.uid and (pod.node or pod.terminal or pod.terminating or not counted_on):
                del self.assumed[key]
            elif pod.uid:
                pod = replace(pod, node=counted_on)
        before = self.pods.get(key)
        if pod.terminating and not pod.uprooted and self._was_uprooted(pod, before):
            pod = replace(pod, uprooted=True)
        self.pods[key] = pod
        if before is not None and self._stands(before) == self._stands(pod):
            self._swap(pod)  # most news (it runs, it is ready) changes no count
        else:
            self._unlink(before)
            self._link(pod)
        return before

    def _was_uprooted(self, pod: Pod, before: Pod | None) -> bool:
        """Whether its node was being emptied when the pod was asked to go, or we asked the pod.

        This is remembered: when the pod has ended, its node may be gone or in use again.
        """
        if before is not None and before.uid == pod.uid and before.uprooted:
            return True
        node = self.nodes.get(pod.node)
        return node is not None and node.took(pod.asked_at)

    def _uproot(self, node: Node, *, always: bool = False) -> None:
        """Mark pods whose delete was seen before the news that their node is being emptied."""
        for key, pod in tuple(self.on_node.get(node.name, {}).items()):
            if pod.terminating and not pod.uprooted and (always or node.took(pod.asked_at)):
                self.pods[key] = replace(pod, uprooted=True)
                self._swap(self.pods[key])

    def drop_pod(self, key: PodKey) -> Pod | None:
        self.assumed.pop(key, None)
        before = self.pods.pop(key, None)
        self._unlink(before)
        return before

    def assume(self, pod: Pod) -> None:
        """Count on this pod from now: its CREATE (no uid yet) or its binding is on its way.

        A pod created without a node is assumed too, so that nobody creates it twice; it is not
        `unplaced` (nobody can bind it) until it has been seen.
        """
        self.set_pod(pod)
        self.assumed[pod.key] = pod.node

    def forget(self, key: PodKey) -> None:
        """Take an assumption back: the write failed. A pod seen since then stays as it was seen."""
        if self.assumed.pop(key, None) is None:
            return
        pod = self.pods[key]
        if pod.assumed:
            self.drop_pod(key)
        else:
            self.set_pod(replace(pod, node=""))

    def set_daemonset(self, daemonset: snapshot.DaemonSet) -> None:
        self.daemonsets[daemonset.uid] = daemonset

    def drop_daemonset(self, uid: str) -> None:
        self.daemonsets.pop(uid, None)

    @property
    def rows_made(self) -> int:
        """The largest number of nodes for which sums have been kept at once so far."""
        return self._sums.size

    @property
    def aversions(self) -> Iterable[tuple[str, tuple[PodTerm, ...]]]:
        """Required anti-affinity of placed pods: the namespace of the pods and their terms."""
        return self._census.averse

    def owned(self, uid: str) -> Mapping[PodKey, Pod]:
        """The pods whose controller has this uid, assumed and terminal ones too."""
        return self.by_owner.get(uid, _NO_PODS)

    def fullness(self, name: str) -> int:
        """How full of staying pods a node is, by its scarcest resource; in thousandths.

        Pods of DaemonSets and mirror pods come with every node and do not count. O(pods there).
        """
        node = self.nodes.get(name)
        if node is None:
            return 0
        sums: Counter[str] = Counter()
        for pod in self.on_node.get(name, {}).values():
            if not (pod.resident or pod.terminating):
                sums.update(pod.request)
        offered = node.allocatable
        return max(
            (
                amount * 1000 // offered.amount(what)
                for what, amount in sums.items()
                if offered.amount(what)
            ),
            default=0,
        )

    def snapshot(self) -> snapshot.Snapshot:
        """Freeze what is known. A few vector passes; the indexes are shared until the next change.

        A node that differs from its last sight only in its resourceVersion may appear with the
        older resourceVersion.
        """
        frame = self._frame
        if frame is None or frame.version != self.nodes_version:
            frame = self._frame = self._framed()
        columns = (*frame.columns, *(_PASSING + column for column in frame.columns), _BUSY)
        requested = self._sums.requested(frame.sums, columns)
        width = len(frame.columns)
        return snapshot.Snapshot(
            nodes=frame.nodes,
            others=frame.others,
            columns=frame.columns,
            allocatable=frame.allocatable,
            free=frame.allocatable - requested[:, :width],
            busy=requested[:, -1],
            passing=requested[:, width:-1],
            rows=frame.rows,
            everywhere=frame.everywhere,
            on_node=self.on_node,
            namespaces=self.namespaces,
            nominated=tuple(
                (frame.rows[pod.nominated], pod.request, pod.priority)
                for _, pod in sorted(self.nominated.items())
                if pod.nominated in frame.rows
            ),
            daemonsets=tuple(self.daemonsets.values()),
            awaited=tuple(self._awaited()),
            claims=self.claims,
            attach_limits=self.attach_limits,
            migrated=self.migrated,
            known=self.nodes,
            attached=self.attached,
            nodes_version=self.nodes_version,
            census=self._census,
        )

    def _awaited(self) -> Iterator[Awaited]:
        """The companions of placed pods that are still to come."""
        for key, pod in sorted(self.leading.items()):
            asked = pod.companions
            if asked is None or asked.problem:
                continue
            there = self.owned(pod.uid).values() if pod.uid else ()
            live = sum(bool(one.node) and not (one.terminal or one.terminating) for one in there)
            if live < asked.count:
                kind = of_companions(key, pod.constraints, pod.priority, asked)
                yield Awaited(key, pod.node, kind, asked.count - live)

    def _framed(self) -> _Frame:
        known = [node for _, node in sorted(self.nodes.items())]
        nodes = tuple(node for node in known if self.eligible(node))
        rows = {node.name: row for row, node in enumerate(nodes)}
        others = tuple(node for node in known if node.name not in rows)
        extended = {name for node in nodes for name in node.allocatable}
        columns = (*resources.STANDARD, *sorted(extended - set(resources.STANDARD)))
        allocatable = np.zeros((len(nodes), len(columns)), dtype=np.int64, order="F")
        for index, column in enumerate(columns):
            allocatable[:, index] = [node.allocatable.amount(column) for node in nodes]
        allocatable.setflags(write=False)
        return _Frame(
            version=self.nodes_version,
            nodes=nodes,
            others=others,
            columns=columns,
            allocatable=allocatable,
            rows=rows,
            everywhere={node.name: row for row, node in enumerate((*nodes, *others))},
            sums=self._sums.rows(nodes),
        )

    def _place(self, pod: Pod, sign: int) -> None:
        self._sums.add(pod.node, pod.request, sign)
        if not pod.resident:
            self._sums.add(pod.node, _ONE_BUSY, sign)
        if pod.passing:
            self._sums.add(pod.node, _as_passing(pod.request), sign)
        self._census.count(pod, pod.node, sign)

    def _release(self, name: str) -> None:
        """Forget the sums of a node when neither the node nor a pod on it is left."""
        if name not in self.nodes and name not in self.on_node:
            self._sums.release(name)

    def _stands(self, pod: Pod) -> tuple[object, ...]:
        """Everything about a pod that the indexes and sums depend on."""
        may_be_bound = not pod.node and self._may_be_bound(pod)
        return (*_counted(pod), may_be_bound, self._nominated(pod))

    def _swap(self, pod: Pod) -> None:
        """Replace a pod by a newer sight of it that counts in the same places."""
        key = pod.key
        if pod.owner is not None:
            self.by_owner[pod.owner.uid][key] = pod
        if pod.terminal:
            self._finish(pod)
            return
        if pod.node:
            self.on_node[pod.node][key] = pod
            if key in self.leading:
                self.leading[key] = pod
        elif key in self.unplaced:
            self.unplaced[key] = pod

    def _link(self, pod: Pod) -> None:
        if pod.owner is not None:
            self.by_owner.setdefault(pod.owner.uid, {})[pod.key] = pod
        if pod.terminal:
            self._finish(pod)
            return
        if pod.node:
            self.on_node.setdefault(pod.node, {})[pod.key] = pod
            self._place(pod, 1)
            if pod.companions is not None and not pod.terminating:
                self.leading[pod.key] = pod
        elif self._may_be_bound(pod):
            self.unplaced[pod.key] = pod
        if self._nominated(pod):
            self.nominated[pod.key] = pod

    def _nominated(self, pod: Pod) -> str:
        """The node on which another scheduler has made room for the pod; empty without one."""
        waits = not (pod.node or pod.terminal or pod.terminating)
        return pod.nominated if waits and pod.scheduler != self.scheduler else ""

    def _finish(self, pod: Pod) -> None:
        if pod.owner is not None:
            self.finished[pod.key] = pod

    def _may_be_bound(self, pod: Pod) -> bool:
        ours = pod.scheduler == self.scheduler and not pod.assumed
        return ours and not pod.gated and not pod.terminating

    def _unlink(self, pod: Pod | None) -> None:
        if pod is None:
            return
        if pod.owner is not None:
            siblings = self.by_owner.get(pod.owner.uid, {})
            siblings.pop(pod.key, None)
            if not siblings:
                self.by_owner.pop(pod.owner.uid, None)
        self.nominated.pop(pod.key, None)
        self.leading.pop(pod.key, None)
        if pod.terminal:
            self.finished.pop(pod.key, None)
            return
        if pod.node:
            there = self.on_node.get(pod.node, {})
            there.pop(pod.key, None)
            self._place(pod, -1)
            if not there:
                self.on_node.pop(pod.node, None)
                self._release(pod.node)
        else:
            self.unplaced.pop(pod.key, None)
