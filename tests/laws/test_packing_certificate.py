"""The certificate: bound ≤ optimum ≤ cost, against an independent exact solver on small instances.

The exact solver lists every filling of every type by brute force and gives the choice among them to
a mixed-integer program of its own; it shares no line with the optimiser.
"""

import itertools
import math

import highspy
import numpy as np
import pytest

from bayplan.optimizer import bound
from bayplan.optimizer.problem import Budget, IntMatrix, IntVector, Problem
from bayplan.optimizer.provision import provision


def instance(seed: int) -> Problem:
    """Up to 4 classes, 3 types, 3 resources; every fourth with each kind of constraint."""
    dice = np.random.default_rng(seed)
    classes, types = int(dice.integers(1, 5)), int(dice.integers(1, 4))
    capacity = dice.integers(8, 20, (types, 3))
    conflicts = None
    if seed % 4 == 0 and classes > 1:
        conflicts = np.zeros((classes, classes), np.bool_)
        conflicts[0, 1] = conflicts[1, 0] = True
    return Problem.of(
        dice.integers(1, 12, classes),
        dice.integers(0, 9, (classes, 3)) + np.array([1, 0, 0]),
        capacity,
        np.maximum(1, (capacity.sum(axis=1) * dice.uniform(0.8, 1.2, types) * 1000)).astype(
            np.int64
        ),
        eligible=dice.random((classes, types)) < 0.8 if seed % 4 == 1 else None,
        per_node=dice.integers(1, 4, classes) if seed % 4 == 2 else None,
        available=dice.integers(0, 9, types) if seed % 4 == 3 else None,
        conflicts=conflicts,
    )


def fillings(problem: Problem, of_type: int) -> IntMatrix:
    """Every filling of one node, by counting up; nothing is shared with the optimiser."""
    most = []
    for k, request in enumerate(problem.request):
        asked = request > 0
        fits = int((problem.capacity[of_type][asked] // request[asked]).min())
        allowed = min(fits, int(problem.per_node[k]), int(problem.demand[k]))
        most.append(allowed if problem.eligible[k, of_type] else 0)
    found = []
    for counts in itertools.product(*(range(each + 1) for each in most)):
        load = [sum(c * r for c, r in zip(counts, row, strict=True)) for row in problem.request.T]
        apart = problem.conflicts is None or not (counts[0] and counts[1])
        if apart and all(x <= c for x, c in zip(load, problem.capacity[of_type], strict=True)):
            found.append(counts)
    return np.array(found, np.int64)


def optimum(problem: Problem, demand: IntVector) -> float:
    """Least cost of covering `demand`, infinite where that cannot be."""
    patterns = [fillings(problem, t) for t in range(len(problem.price))]
    types = np.repeat(np.arange(len(patterns)), [len(each) for each in patterns])
    columns = np.concatenate(patterns)
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    nodes = [
        highs.addVariable(lb=0, obj=float(problem.price[t]), type=highspy.HighsVarType.kInteger)
        for t in types
    ]
    for k, wanted in enumerate(demand):
        highs.addConstr(
            highs.qsum(int(c) * x for c, x in zip(columns[:, k], nodes, strict=True)) >= int(wanted)
        )
    if problem.available is not None:
        for t, there in enumerate(problem.available):
            own = [x for x, of_type in zip(nodes, types, strict=True) if of_type == t]
            highs.addConstr(highs.qsum(own) <= int(there))
    highs.setOptionValue("mip_rel_gap", 0.0)
    highs.setOptionValue("mip_abs_gap", 0.1)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return math.inf
    return highs.getInfo().objective_function_value


@pytest.mark.parametrize("seeds", [range(first, first + 20) for first in range(0, 200, 20)])
def test_no_plan_beats_the_bound_and_ours_does_not_beat_the_best(seeds: range) -> None:
    """For what the packing places: bound ≤ least possible cost ≤ its cost."""
    for seed in seeds:
        problem = instance(seed)
        packing = provision(problem, Budget(rounds=6), seed)
        best = optimum(problem, problem.demand - packing.unplaced)

        assert packing.bound <= best + 0.5, seed
        assert best - 0.5 <= packing.cost, seed


@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_the_fluid_bound_holds_too(seed: int) -> None:
    """Cutting pods and nodes costs no more than whole ones, whatever `farley` makes of it."""
    problem = instance(seed)
    placeable = problem.placeable()
    whole = Problem.of(
        problem.demand * placeable,
        problem.request,
        problem.capacity,
        problem.price,
        eligible=problem.eligible,
        per_node=problem.per_node,
    )
    start = bound.fluid(whole)
    upper = (start.multipliers * problem.capacity).sum(axis=1)
    reduced = start.value - start.multipliers @ problem.request.T
    upper += (np.maximum(reduced, 0) * whole.limits()).sum(axis=1)

    assert (
        bound.farley(whole, start.value, upper)
        <= optimum(
            Problem.of(
                whole.demand,
                whole.request,
                whole.capacity,
                whole.price,
                eligible=whole.eligible,
                per_node=whole.per_node,
                conflicts=problem.conflicts,
            ),
            whole.demand,
        )
        + 0.5
    )


def test_small_instances_are_nearly_always_solved_to_the_optimum() -> None:
    """Of 40 small instances at least 36 reach the optimum: quality does not rot unseen."""
    reached = 0
    for seed in range(40):
        problem = instance(seed)
        packing = provision(problem, Budget(rounds=12), seed)
        best = optimum(problem, problem.demand - packing.unplaced)
        reached += packing.cost <= best + 0.5

    assert reached >= 36
