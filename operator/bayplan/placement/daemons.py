"""Room kept for DaemonSet pods that have yet to come.

Their controller makes one pod for every node that its constraints accept and the cluster's
scheduler places it after our first pods have landed; without kept room it would wait for ever or
push others away (kubernetes.md §5.6).
"""

import numpy as np

from bayplan.model import pod as pods_
from bayplan.model.snapshot import DaemonSet
from bayplan.placement.board import Board
from bayplan.placement.table import NodeTable

# What the DaemonSet controller adds to every pod; network-unavailable only for host networking,
# taken for all: room too much for a moment is harmless.
IMPLICIT = tuple(
    pods_.Toleration(f"node.kubernetes.io/{key}", "Exists")
    for key in (
        "not-ready",
        "unreachable",
        "disk-pressure",
        "memory-pressure",
        "pid-pressure",
        "unschedulable",
        "network-unavailable",
    )
)


def keep_room(board: Board) -> None:
    """Take the requests of DaemonSet pods to come off the free room of the nodes they come to."""
    columns = board.snapshot.columns
    for daemonset in board.snapshot.daemonsets:
        rows = board.snapshot.without_daemon(daemonset.uid, accepting(daemonset, board.table))
        if not rows:
            continue
        for index, column in enumerate(columns):
            board.free[rows, index] -= daemonset.request.amount(column)
    board.before = board.free.copy(order="F")


def accepting(daemonset: DaemonSet, table: NodeTable) -> frozenset[str]:
    """Names of the nodes that get a pod of this DaemonSet."""
    wanted = daemonset.constraints
    key = (wanted.selector, wanted.affinity, wanted.tolerations)
    found = table.daemons.get(key)
    if found is None:
        open_ = np.ones(len(table.nodes), dtype=np.bool_)
        for nodes in table.untolerated((*wanted.tolerations, *IMPLICIT)).values():
            open_ &= ~nodes
        for label, value in wanted.selector:
            open_ &= table.equal(label, value)
        if wanted.affinity is not None:
            open_ &= table.matching_any(wanted.affinity)
        found = frozenset(table.nodes[row].name for row in np.flatnonzero(open_))
        table.daemons[key] = found
    return found
