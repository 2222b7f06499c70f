"""The nodes of a workload that has one pod on each: where one may be, and where one may start.

As the DaemonSet controller has it (kubernetes/pkg/controller/daemon, NodeShouldRunDaemonPod): what
a template and constraints say of a node ends a pod there when it no longer holds; a cordon, a
taint that only keeps new pods off, or silence does not. Unlike there, nothing starts on a node
that is not ready, cordoned or about to go, whatever it tolerates. Room is not looked at.
"""

import numpy as np

from bayplan.model.reasons import Reason
from bayplan.model.workloads import EligibleNodes, PodClass
from bayplan.placement import filters
from bayplan.placement.node_table import NodeTable

_ENDS = frozenset({Reason.SELECTOR, Reason.AFFINITY, Reason.CONSTRAINT})


def eligible(kind: PodClass, table: NodeTable) -> EligibleNodes:
    """The homes of a class. O(nodes), and less while no node changes."""
    verdict = filters.of_nodes(kind, table)
    stay = np.ones(len(table.nodes), dtype=np.bool_)
    for refusal in verdict.refusing:
        if refusal.reason in _ENDS:
            stay &= ~refusal.nodes
    names = table.names()
    return EligibleNodes(frozenset(names[stay].tolist()), frozenset(names[verdict.open].tolist()))
