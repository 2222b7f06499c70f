"""What to buy for a demand, by the method that suits it.

Column generation works best with a few dozen classes; beyond that its time goes into classes
instead of patterns. Many classes (in the extreme, each pod has its own size) are grouped by size.
In between it depends on the demand which method is cheaper, so both are tried.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterator

import numpy as np

from bayplan.optimizer.problem import Budget, IntVector, Packing, Problem
from bayplan.optimizer.provision import provision
from bayplan.optimizer.rightsize import rightsized

# Measured in two seconds on classes of 1, 10 and 100 pods each: with 30 classes both cost the same,
# with 120 grouping is 2 to 9 points cheaper, with 500 it is 24 to 80 points cheaper. With 46 to 76
# classes of very different counts, or with 125 classes that are shares by zone, the patterns are
# cheaper by 0.1 to 3 points.
FEW_CLASSES, MANY_CLASSES = 64, 160
_FOR_GROUPS = 0.6  # share of the time, if both methods are tried


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Purchase:
    """Nodes and the pods on them: pod i of class `kind[i]` is on node `node[i]`.

    `bound` is proven: no plan that places as many pods of each class costs less.
    """

    types: IntVector  # [M] of each node
    node: IntVector  # [N] only of pods that have a place
    kind: IntVector  # [N]
    cost: int  # microdollars an hour
    bound: int  # microdollars an hour

    def contents(self) -> Iterator[tuple[int, Counter[int]]]:
        """For each node its type, and how many pods of which class it holds."""
        held: list[Counter[int]] = [Counter() for _ in self.types]
        for node, kind in zip(self.node.tolist(), self.kind.tolist(), strict=True):
            held[node][kind] += 1
        return zip(self.types.tolist(), held, strict=True)


def purchase(problem: Problem, budget: Budget, seed: int = 0) -> Purchase:
    """The cheapest nodes found for a demand; a pod that fits nowhere gets no place."""
    classes = np.count_nonzero(problem.demand)
    limited = problem.available is not None or problem.conflicts is not None
    if limited or classes < FEW_CLASSES:
        return _by_patterns(provision(problem, budget, seed))
    if classes >= MANY_CLASSES:
        return _by_size(problem, budget, seed)
    by_size = _by_size(problem, _part(budget, _FOR_GROUPS), seed)
    by_patterns = _by_patterns(provision(problem, _part(budget, 1.0), seed))
    best = min(by_patterns, by_size, key=lambda each: each.cost)
    return dataclasses.replace(best, bound=max(by_size.bound, by_patterns.bound))


def _part(budget: Budget, share: float) -> Budget:
    """A share of what is left of a budget, with its own stopwatch."""
    start = budget.spent()
    return dataclasses.replace(
        budget, seconds=budget.left() * share, spent=lambda: budget.spent() - start
    )


def _by_size(problem: Problem, budget: Budget, seed: int) -> Purchase:
    plan = rightsized(problem, budget, seed)
    kind = np.repeat(np.arange(len(problem.demand)), problem.demand)
    placed = plan.node >= 0
    return Purchase(plan.types, plan.node[placed], kind[placed], plan.cost, plan.bound)


def _by_patterns(packing: Packing) -> Purchase:
    row = np.repeat(np.arange(len(packing.nodes)), packing.nodes)
    node, kind = np.nonzero(packing.patterns[row])
    copies = packing.patterns[row[node], kind]
    return Purchase(
        types=packing.types[row],
        node=np.repeat(node, copies),
        kind=np.repeat(kind, copies),
        cost=packing.cost,
        bound=packing.bound,
    )
