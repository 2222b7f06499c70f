"""What other schedulers would buy for the same pods: re-implementations, always named as such.

All start without nodes and ignore constraints between pods, which favours them.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bayplan.optimizer.problem import Packing, Problem
from bayplan.provisioning import rivals

MOST_PODS = 200_000  # they place pods one by one


@dataclasses.dataclass(frozen=True, slots=True)
class Rival:
    """A rival's purchase; `cost` in microdollars an hour, `what` says how it was run."""

    name: str
    what: str
    nodes: int
    cost: int
    unplaced: int


def compared(
    wanted: Sequence[str], problem: Problem, types: Sequence[str], seed: int
) -> tuple[Rival, ...]:
    """The purchase of each wanted rival on the same problem. `types` are names of its types."""
    return tuple(_RUNS[name](name, problem, types, seed) for name in dict.fromkeys(wanted))


def _karpenter(name: str, problem: Problem, types: Sequence[str], seed: int) -> Rival:
    del types, seed
    return _rival(name, "all types, all pods in one batch", problem, rivals.karpenter(problem))


def _kube_scheduler(*, most: bool) -> Callable[..., Rival]:
    def run(name: str, problem: Problem, types: Sequence[str], seed: int) -> Rival:
        of_type = _best_type(problem)
        found = rivals.kube_scheduler(problem, of_type, most=most, seed=seed)
        return _rival(name, f"new {types[of_type]} nodes as needed", problem, found)

    return run


_RUNS: Mapping[str, Callable[..., Rival]] = {
    "kube-scheduler-least": _kube_scheduler(most=False),
    "kube-scheduler-most": _kube_scheduler(most=True),
    "karpenter": _karpenter,
}
NAMES = tuple(_RUNS)


def _best_type(problem: Problem) -> int:
    """The type that takes the most pods; among equals the type that is cheapest when full."""
    limits = problem.limits()
    taken = (problem.demand * (limits > 0)).sum(axis=1)
    asked = (problem.demand[None, :, None] * problem.request * (limits > 0)[:, :, None]).sum(axis=1)
    nodes = (asked / np.maximum(problem.capacity, 1)).max(axis=1)
    return int(np.lexsort((np.maximum(nodes, 1) * problem.price, -taken))[0])


def _rival(name: str, what: str, problem: Problem, found: Packing) -> Rival:
    placed = int((found.patterns * found.nodes[:, None]).sum())
    return Rival(
        name=name,
        what=what,
        nodes=int(found.nodes.sum()),
        cost=int((problem.price[found.types] * found.nodes).sum()),
        unplaced=int(problem.demand.sum()) - placed,
    )
