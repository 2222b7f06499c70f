"""`placement.constraints` and the strategies, as filters on nodes and rules between pods.

`model.constraints` defines what each operator asks. An operator that tests only the node is a
filter; an operator that couples pods counts the pods of the same workload and revision. A node
without the label is refused, unless the operator is negated. A value that cannot be read (a broken
pattern, not a number) refuses every node: the task waits with a reason and does not run anywhere.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bayplan.model.constraints import AllTogether, AtMost, EvenShares, PlaceConstraint
from bayplan.model.nodes import HOSTNAME, ZONE
from bayplan.model.reasons import Reason
from bayplan.model.workloads import PlacementRules, PodClass, Strategy
from bayplan.placement.node_table import NodeTable, Refusing
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.rules import Cap, Even, Groups, Rule, Together

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]


def of_nodes(wanted: PlacementRules, table: NodeTable) -> Iterator[Refusing]:
    """Nodes whose own label fails a constraint."""
    for constraint in wanted.constraints:
        test = constraint.accepts()
        if test is None:
            continue
        domains = table.domains(constraint.label)
        flags = np.array([test(value) for value in domains.values], dtype=np.bool_)
        absent = constraint.accepts_absence()
        yield Refusing(
            Reason.CONSTRAINT, _detail(constraint), ~domains.of_nodes(flags, absent=absent)
        )


def company(kind: PodClass, occupancy: Occupancy) -> Iterator[Refusing]:
    """Nodes refused because pods of other workloads, or this class, want a node to themselves."""
    everyone = occupancy.exclusive()
    alone = kind.placement.strategy is Strategy.EXCLUSIVE
    if not alone and not everyone.any():
        return
    own = frozenset({kind.namespace})
    mates = occupancy.peers(own, kind.placement.mates, terminating=True, awaited=True)
    mates = mates[: len(everyone)]
    others = (occupancy.pods if alone else everyone) > mates
    if others.any():
        yield Refusing(Reason.CONSTRAINT, Strategy.EXCLUSIVE.value, others)


def rules(kind: PodClass, open_: BoolVector, waiting: int, occupancy: Occupancy) -> list[Rule]:
    """Constraints between pods of the workload. `open_` are the nodes that could take a pod."""
    found: list[Rule] = []
    own, wanted = frozenset({kind.namespace}), kind.placement
    for constraint in wanted.constraints:
        coupling = constraint.coupling
        if coupling is None:
            continue
        domains = occupancy.table.domains(constraint.label)
        # A terminating pod still takes its place, but no share of the pods to come.
        stays = not isinstance(coupling, EvenShares)
        taken = isinstance(coupling, AtMost)
        peers = occupancy.peers(own, wanted.peers, terminating=stays, awaited=taken)
        shared = (Reason.CONSTRAINT, _detail(constraint), domains, domains.sums(peers))
        match coupling:
            case AtMost():
                found.append(Cap(*shared, limit=constraint.count))
            case AllTogether():
                found.append(Together(*shared))
            case EvenShares():
                known = domains.sums(open_.astype(np.int64)) > 0
                known |= domains.sums(peers) > 0
                found.append(
                    Groups(
                        *shared,
                        instances=max(wanted.instances, int(peers.sum()) + waiting),
                        expected=constraint.count or int(known.sum()),
                    )
                )
    return found


def wishes(kind: PodClass, occupancy: Occupancy) -> list[list[Rule]]:
    """The strategy Spread: what to keep as long as possible, the most wanted rules first."""
    if kind.placement.strategy is not Strategy.SPREAD:
        return []
    own = frozenset({kind.namespace})
    peers = occupancy.peers(own, kind.placement.peers, terminating=False)

    def even(label: str) -> Rule:
        domains = occupancy.table.domains(label)
        counts = domains.sums(peers)
        known = domains.sums(np.ones(len(domains.codes), dtype=np.int64)) > 0
        return Even(Reason.SPREAD, label, domains, counts, known=known)

    return [[even(ZONE), even(HOSTNAME)], [even(HOSTNAME)]]


def _detail(constraint: PlaceConstraint) -> str:
    return f"{constraint.key} {constraint.operator.value}"
