"""The nodes of a workload that has one pod on each: where one may be, and where one may start.

As the DaemonSet controller has it (kubernetes/pkg/controller/daemon, NodeShouldRunDaemonPod): what
a template and constraints say of a node ends a pod there when it no longer holds; a cordon, a
taint that only keeps new pods off, or silence does not. Unlike there, nothing starts on a node
that is not ready, cordoned or about to go, whatever it tolerates. Room is not looked at.
"""

from dataclasses import dataclass

import numpy as np

from bayplan.model.reasons import Reason
from bayplan.model.workloads import PodClass
from bayplan.placement import filters
from bayplan.placement.node_table import NodeTable

_ENDS = frozenset({Reason.SELECTOR, Reason.AFFINITY, Reason.CONSTRAINT})


@dataclass(frozen=True, slots=True)
class Homes:
    """Names of nodes: those where a pod of the workload may stay, of them those that take one."""

    stay: frozenset[str] = frozenset()
    open: frozenset[str] = frozenset()


NOWHERE = Homes()


def of(kind: PodClass, table: NodeTable) -> Homes:
    """The homes of a class. O(nodes), and less while no node changes."""
    verdict = filters.of_nodes(kind, table)
    stay = np.ones(len(table.nodes), dtype=np.bool_)
    for refusal in verdict.refusing:
        if refusal.reason in _ENDS:
            stay &= ~refusal.nodes
    names = table.names()
    return Homes(frozenset(names[stay].tolist()), frozenset(names[verdict.open].tolist()))
