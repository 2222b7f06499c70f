"""The working state of one solve: free room and placed pods, updated as classes land.

The snapshot stays as it was. What this solve has placed so far is kept beside it, per class and
not per pod, so that later classes see earlier classes in free room, ports, spread and affinity.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bayplan.model import requirements
from bayplan.model.pods import Disk, HostPort, PodTerm
from bayplan.model.snapshot import Aversion, Snapshot
from bayplan.model.workloads import EXCLUSIVE, PodClass, TaskKey, Waiting
from bayplan.placement import attachments
from bayplan.placement.attachments import Attachments
from bayplan.placement.node_table import NodeTable

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]
IntMatrix = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]
Namespaces = frozenset[str] | None  # None: all

_NAME = "kubernetes.io/metadata.name"  # the label that the API server sets on every namespace


@dataclass(frozen=True, slots=True, eq=False)
class Landed:
    """A class that this solve has placed, with how many pods on each node."""

    kind: PodClass
    labels: dict[str, str]
    request: IntVector
    nodes: IntVector
    aversions: tuple[PodTerm, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Hold:
    """The task for which a node is held, and how many seconds it is not expected to fit there.

    A run that takes at most `spare` seconds is not in its way.
    """

    key: TaskKey
    waiting: Waiting
    spare: int = 0


@dataclass(slots=True, eq=False)
class Occupancy:
    snapshot: Snapshot
    table: NodeTable
    free: IntMatrix  # room for DaemonSet pods to come is already kept
    before: IntMatrix  # the same before anything landed
    pods: IntVector  # [N] pods that are not their node's residents
    scale: FloatVector  # [D] the largest allocatable of each resource
    cost: FloatVector  # [N] share of the dearest node's cost
    landed: list[Landed] = field(default_factory=list)
    averse: list[Aversion] = field(default_factory=list)  # of running pods
    averse_landed: list[Landed] = field(default_factory=list)
    exclusive_landed: list[Landed] = field(default_factory=list)
    planned: BoolVector | None = None  # [N] nodes to open before other empty nodes
    closing: BoolVector | None = None  # [N] nodes to use after all other nodes
    awaited: dict[PodClass, Landed] = field(default_factory=dict)  # to come; their room is kept
    held: dict[int, Hold] = field(default_factory=dict)  # row -> the task it is held for
    _peers: dict[object, IntVector] = field(default_factory=dict)
    _mounting: list[Landed] = field(default_factory=list)  # with claims or disks
    _claimed: Counter[tuple[str, str]] = field(default_factory=Counter)  # claim -> landed pods
    _attached: dict[str, Attachments] = field(default_factory=dict)  # by driver
    _reached: dict[PodTerm, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot, table: NodeTable) -> "Occupancy":
        return cls(
            snapshot=snapshot,
            table=table,
            free=np.array(snapshot.free, order="F"),
            before=snapshot.free,
            pods=snapshot.busy.copy(),
            scale=np.maximum(snapshot.allocatable.max(axis=0, initial=1), 1).astype(np.float64),
            cost=table.costs(),
            averse=snapshot.averse(),
        )

    def land(self, kind: PodClass, request: IntVector, nodes: IntVector) -> None:
        """Count `nodes[n]` more pods of this class on node n."""
        self._take(request, nodes)
        aversions = tuple(term for term in kind.constraints.pod_anti_affinity if not term.weight)
        landed = Landed(kind, dict(kind.labels), request, nodes, aversions)
        self.landed.append(landed)
        if aversions:
            self.averse_landed.append(landed)
        if EXCLUSIVE in landed.labels:
            self.exclusive_landed.append(landed)
        if kind.constraints.claims or kind.constraints.disks:
            self._mounting.append(landed)
            for claim in kind.constraints.claims:
                self._claimed[kind.namespace, claim] += int(nodes.sum())
            for driver in self._attached:
                self._attach(landed, driver)

    def keep(self, kind: PodClass, request: IntVector, nodes: IntVector) -> None:
        """Keep room for `nodes[n]` pods of this class on node n, which are still to come.

        Nobody else gets the room, the host ports or the disks, nor a place that a pod of the class
        would not stand beside. No pod is drawn to a node by pods that are not there yet.
        """
        aversions = tuple(term for term in kind.constraints.pod_anti_affinity if not term.weight)
        self.awaited[kind] = Landed(kind, dict(kind.labels), request, nodes, aversions)
        self._take(request, nodes)

    def release(self, kind: PodClass) -> None:
        """Keep no room for this class any more."""
        awaited = self.awaited.pop(kind, None)
        if awaited is not None:
            self._take(awaited.request, -awaited.nodes)

    def back_to(self, count: int, without: Collection[Landed] = ()) -> None:
        """Restore the state after `count` landed classes, even if a change stopped half-way.

        `without` are to be taken out as well.
        """
        gone = {id(landed) for landed in without}
        kept = [other for other in self.landed[:count] if id(other) not in gone]
        for landed in (self.landed, self.averse_landed, self.exclusive_landed, self._mounting):
            landed.clear()
        self._claimed.clear()
        self._attached.clear()
        self.free = self.before.copy(order="F")
        self.pods = self.snapshot.busy.copy()
        for other in kept:
            self.land(other.kind, other.request, other.nodes)
        for other in self.awaited.values():
            self._take(other.request, other.nodes)

    def lift(self) -> None:
        """Take back the class that landed last."""
        last = self.landed.pop()
        if last.aversions:
            self.averse_landed.pop()
        if EXCLUSIVE in last.labels:
            self.exclusive_landed.pop()
        if last.kind.constraints.claims or last.kind.constraints.disks:
            self._mounting.pop()
            for claim in last.kind.constraints.claims:
                self._claimed[last.kind.namespace, claim] -= int(last.nodes.sum())
            self._attached.clear()
        self._take(last.request, -last.nodes)

    @property
    def busy(self) -> BoolVector:
        """[N]: nodes in use."""
        return self.pods > 0

    def peers(
        self,
        namespaces: Namespaces,
        wanted: requirements.Term,
        *,
        terminating: bool,
        awaited: bool = False,
    ) -> IntVector:
        """Everywhere: how many pods a selector matches, both running and landed by this solve.

        With `awaited`, pods count too for which room is kept.
        """
        found = self._running(namespaces, wanted, terminating=terminating).copy()
        found[: len(self.table.nodes)] += self._landed(
            lambda other: (
                (namespaces is None or other.kind.namespace in namespaces)
                and wanted.matches(other.labels)
            ),
            awaited=awaited,
        )
        return found

    def room_kept(self) -> IntMatrix:
        """[N, D]: what is kept for pods that are still to come."""
        kept = np.zeros_like(self.free)
        for other in self.awaited.values():
            kept += other.nodes[:, None] * other.request
        return kept

    def free_for(self, priority: int) -> IntMatrix:
        """[N, D]: free room minus what other schedulers keep for pods of this priority or more."""
        ahead = [one for one in self.snapshot.nominated if one[2] >= priority]
        if not ahead:
            return self.free
        free = self.free.copy(order="F")
        for row, request, _ in ahead:
            free[row] -= self.snapshot.amounts(request)
        return free

    def reach(self, term: PodTerm, own: str) -> Namespaces:
        """The namespaces that a pod affinity term of a pod in namespace `own` looks at."""
        if term.all_namespaces:
            return None
        if term.namespace_selector is None:
            return term.namespaces or frozenset({own})
        found = self._reached.get(term)
        if found is None:
            spaces = self._spaces()
            found = self._reached[term] = term.namespaces | {
                name for name, labels in spaces.items() if term.namespace_selector.matches(labels)
            }
        return found

    def _spaces(self) -> dict[str, Mapping[str, str]]:
        """Labels per namespace; one known only from its pods has just the label with its name."""
        names = {group.namespace for group in self.snapshot.census.groups.values()}
        names.update(other.kind.namespace for other in (*self.landed, *self.awaited.values()))
        named: dict[str, Mapping[str, str]] = {name: {_NAME: name} for name in names}
        return {**named, **self.snapshot.namespaces}

    def exclusive(self) -> IntVector:
        """[N]: how many pods want no other workload beside them."""
        total = self.snapshot.exclusive()
        for other in self.exclusive_landed:
            total += other.nodes
        for other in self.awaited.values():
            if EXCLUSIVE in other.labels:
                total += other.nodes
        return total

    def with_port(self, wanted: HostPort) -> BoolVector:
        """[N]: where a host port that collides with this one is taken."""
        taken = self.snapshot.with_port(wanted) + self._landed(
            lambda other: any(port.collides(wanted) for port in other.kind.constraints.host_ports),
            awaited=True,
        )
        return taken > 0

    def with_disk(self, wanted: Disk) -> BoolVector:
        """[N]: where a disk is in use that the node cannot have together with this disk."""
        used = self.snapshot.with_disk(wanted) + self._landed(
            lambda other: any(disk.collides(wanted) for disk in other.kind.constraints.disks),
            awaited=True,
        )
        return used > 0

    def mounts(self, namespace: str, claim: str) -> bool:
        """Whether a pod mounts this claim, on any node, or a landed pod will."""
        key = namespace, claim
        return self._claimed[key] > 0 or bool(self.snapshot.mounting(key))

    def landed_with(self, namespace: str, claim: str) -> IntVector:
        """[N]: how many landed pods will mount this claim."""
        if not self._claimed[namespace, claim]:
            return np.zeros(len(self.table.nodes), dtype=np.int64)
        return self._landed(
            lambda other: (
                other.kind.namespace == namespace and claim in other.kind.constraints.claims
            )
        )

    def attachments(self, driver: str) -> Attachments:
        """The volumes of a driver on each node, including those of landed pods."""
        found = self._attached.get(driver)
        if found is None:
            found = self._attached[driver] = Attachments.of(driver, self.snapshot)
            for landed in self._mounting:
                self._attach(landed, driver)
        return found

    def _attach(self, landed: Landed, driver: str) -> None:
        for of_driver, volume in attachments.mounts(landed.kind, self.snapshot):
            if of_driver == driver:
                rows = np.flatnonzero(landed.nodes).tolist()
                self._attached[driver].add(volume, rows)

    def _running(
        self, namespaces: Namespaces, wanted: requirements.Term, *, terminating: bool
    ) -> IntVector:
        key = (namespaces, wanted, terminating)
        running = self._peers.get(key)
        if running is None:
            running = self.snapshot.peers(namespaces, wanted, terminating=terminating)
            self._peers[key] = running
        return running

    def _take(self, request: IntVector, nodes: IntVector) -> None:
        taken = np.flatnonzero(nodes)
        for column in np.flatnonzero(request):
            self.free[taken, column] -= nodes[taken] * request[column]
        self.pods[taken] += nodes[taken]

    def _landed(self, counts: Callable[[Landed], bool], *, awaited: bool = False) -> IntVector:
        total = np.zeros(len(self.table.nodes), dtype=np.int64)
        for other in (*self.landed, *self.awaited.values()) if awaited else self.landed:
            if counts(other):
                total += other.nodes
        return total
