"""Marathon's seven operators and the strategies, as filters on nodes and rules between pods.

`Like`, `Unlike`, `Is` and `Cluster` with a value ask the node alone. `Unique`, `MaxPer`, `GroupBy`
and `Cluster` without a value count the pods of the same workload and revision (mesos-semantics.md
§1.2 with §6.1's corrections). A missing label refuses, but for `Unlike`. What cannot be read (a
broken pattern, no number) refuses every node: a task waits with a reason rather than run wherever.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from bayplan.model import constraints
from bayplan.model.nodes import HOSTNAME, ZONE
from bayplan.model.reasons import Reason
from bayplan.model.workloads import Operator, PlaceConstraint, PlacementRules, PodClass, Strategy
from bayplan.placement.node_table import NodeTable, Refusing
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.rules import Cap, Even, Groups, Rule, Together

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]


def of_nodes(wanted: PlacementRules, table: NodeTable) -> Iterator[Refusing]:
    """Nodes whose own label fails a constraint."""
    for constraint in wanted.constraints:
        test = constraints.accepts(constraint)
        if test is None:
            continue
        domains = table.domains(constraint.label)
        flags = np.array([test(value) for value in domains.values], dtype=np.bool_)
        absent = constraints.accepts_absence(constraint)
        yield Refusing(
            Reason.CONSTRAINT, _detail(constraint), ~domains.of_nodes(flags, absent=absent)
        )


def company(kind: PodClass, occupancy: Occupancy) -> Iterator[Refusing]:
    """Nodes that pods of other workloads, or this one, want to themselves."""
    everyone = occupancy.exclusive()
    alone = kind.placement.strategy is Strategy.EXCLUSIVE
    if not alone and not everyone.any():
        return
    own = frozenset({kind.namespace})
    mates = occupancy.peers(own, kind.placement.mates, terminating=True)[: len(everyone)]
    others = (occupancy.pods if alone else everyone) > mates
    if others.any():
        yield Refusing(Reason.CONSTRAINT, Strategy.EXCLUSIVE.value, others)


def rules(kind: PodClass, open_: BoolVector, waiting: int, occupancy: Occupancy) -> list[Rule]:
    """Constraints between pods of the workload. `open_` are the nodes that could take one."""
    found: list[Rule] = []
    own, wanted = frozenset({kind.namespace}), kind.placement
    for constraint in wanted.constraints:
        domains = occupancy.table.domains(constraint.label)
        stays = constraint.operator is not Operator.GROUP_BY
        peers = occupancy.peers(own, wanted.peers, terminating=stays)
        shared = (Reason.CONSTRAINT, _detail(constraint), domains, domains.sums(peers))
        match constraint.operator:
            case Operator.UNIQUE:
                found.append(Cap(*shared, limit=1))
            case Operator.MAX_PER:
                found.append(Cap(*shared, limit=constraints.count(constraint.value)))
            case Operator.CLUSTER if not constraint.value:
                found.append(Together(*shared))
            case Operator.GROUP_BY:
                known = domains.sums(open_.astype(np.int64)) > 0
                known |= domains.sums(peers) > 0
                found.append(
                    Groups(
                        *shared,
                        instances=max(wanted.instances, int(peers.sum()) + waiting),
                        expected=constraints.count(constraint.value) or int(known.sum()),
                    )
                )
            case _:
                pass
    return found


def wishes(kind: PodClass, occupancy: Occupancy) -> list[list[Rule]]:
    """The strategy Spread: what to keep as long as it can be, the most wanted first."""
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
