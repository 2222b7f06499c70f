"""The nodes of a workload with one pod on each node: where a pod may be, and where it may start.

The rules are the DaemonSet controller's (kubernetes/pkg/controller/daemon, NodeShouldRunDaemonPod):
a pod ends when the template and constraints no longer accept its node; a cordon, a taint that only
keeps new pods off, or a silent node does not end it. Unlike there, nothing starts on a node that is
not ready, cordoned or about to go, whatever the pod tolerates. Room is not considered.
"""

import numpy as np

from bayplan.model.reasons import Reason
from bayplan.model.workloads import EligibleNodes, PodClass
from bayplan.placement import filters
from bayplan.placement.node_table import NodeTable

_ENDS = frozenset({Reason.SELECTOR, Reason.AFFINITY, Reason.CONSTRAINT})


def eligible(kind: PodClass, table: NodeTable) -> EligibleNodes:
    """The eligible nodes of a class. O(nodes), and less while no node changes."""
    verdict = filters.of_nodes(kind, table)
    stay = np.ones(len(table.nodes), dtype=np.bool_)
    for refusal in verdict.refusing:
        if refusal.reason in _ENDS:
            stay &= ~refusal.nodes
    names = table.names()
    return EligibleNodes(frozenset(names[stay].tolist()), frozenset(names[verdict.open].tolist()))
