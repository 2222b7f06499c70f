"""Room kept for DaemonSet pods that are still to come.

The DaemonSet controller makes one pod for each node that the constraints accept, and kube-scheduler
places it after our first pods have landed. Without kept room it would wait for ever or preempt
others (kubernetes/kubernetes issue 140984).
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from bayplan.model import resources
from bayplan.model.snapshot import DaemonSet
from bayplan.model.workloads import EligibleNodes, Fault, PodClass
from bayplan.placement.eligible_nodes import eligible
from bayplan.placement.node_table import NodeTable
from bayplan.placement.occupancy import Occupancy

IntVector = npt.NDArray[np.int64]


def keep_room(occupancy: Occupancy) -> list[Fault]:
    """Subtract the requests of DaemonSet pods to come from the free room of their nodes.

    A DaemonSet pod that a node could not hold even without other work never runs there: no room is
    kept for it, because that would only keep other pods off. No room is kept either for a DaemonSet
    that meets a defect of ours; it is among the returned faults.
    """
    snapshot, faults = occupancy.snapshot, []
    coming: list[tuple[DaemonSet, frozenset[int]]] = []
    total = np.zeros_like(occupancy.free)
    for one in ordered(snapshot.daemonsets):
        try:
            request = snapshot.amounts(one.request)
            rows = snapshot.without_daemon(one.uid, accepting(one, occupancy.table))
        except Exception as error:  # noqa: BLE001  one of them must not stop all the others
            faults.append(Fault("daemonset", f"{one.namespace}/{one.name}", error))
            continue
        if rows:
            coming.append((one, frozenset(rows)))
            total[rows] += request
    short = np.flatnonzero(((occupancy.free < total) & (total > 0)).any(axis=1))
    for row in short.tolist():
        room = snapshot.allocatable[row] - _resident(occupancy, row)
        named = resources.Vector(dict(zip(snapshot.columns, room.tolist(), strict=True)))
        here = fitting((one for one, rows in coming if row in rows), named)[0]
        total[row] = sum(snapshot.amounts(one.request) for one in here)
    occupancy.free -= total
    occupancy.before = occupancy.free.copy(order="F")
    return faults


def ordered(daemonsets: Iterable[DaemonSet]) -> list[DaemonSet]:
    """DaemonSets in the order in which they find room: the higher priority first, then by name."""
    return sorted(daemonsets, key=lambda one: (-one.priority, one.namespace, one.name))


def fitting(
    daemonsets: Iterable[DaemonSet], room: resources.Vector
) -> tuple[list[DaemonSet], resources.Vector]:
    """The DaemonSets that find room one after another, and the room that is left."""
    found = []
    for one in ordered(daemonsets):
        if one.request.fits(room):
            found.append(one)
            room = room - one.request
    return found, room


def _resident(occupancy: Occupancy, row: int) -> IntVector:
    """What a node's resident pods request, in the snapshot's columns."""
    taken = np.zeros(len(occupancy.snapshot.columns), dtype=np.int64)
    for pod in occupancy.snapshot.pods_on(occupancy.table.nodes[row].name):
        if pod.resident:
            taken += occupancy.snapshot.amounts(pod.request)
    return taken


def accepting(daemonset: DaemonSet, table: NodeTable) -> frozenset[str]:
    """Names of the nodes that get a pod of this DaemonSet, by its controller's rules."""
    if daemonset.kind != "DaemonSet":
        return homes(daemonset, table).open
    wanted = daemonset.constraints
    key = (wanted.selector, wanted.affinity, wanted.tolerations)
    found = table.daemons.get(key)
    if found is None:
        open_ = np.ones(len(table.nodes), dtype=np.bool_)
        for nodes in table.untolerated(wanted.tolerations).values():
            open_ &= ~nodes
        for label, value in wanted.selector:
            open_ &= table.equal(label, value)
        if wanted.affinity is not None:
            open_ &= table.matching_any(wanted.affinity)
        found = frozenset(table.nodes[row].name for row in np.flatnonzero(open_))
        table.daemons[key] = found
    return found


def homes(service: DaemonSet, table: NodeTable) -> EligibleNodes:
    """The nodes of a LongService with one instance on each node, by the operator's rules."""
    kind = PodClass(
        service.namespace, service.request, service.constraints, placement=service.placement
    )
    return eligible(kind, table)
