"""Finds the cheapest nodes for a demand, and improves the plan until the budget ends; with a bound.

First a greedy plan, so that there always is a plan; then patterns by column generation; then whole
nodes by completion and diving; then groups of nodes are removed and built again. The same problem,
budget of rounds and seed give the same packing.
"""

import dataclasses

import numpy as np

from bayplan.optimizer import work
from bayplan.optimizer.bound import farley
from bayplan.optimizer.columns import Generator, Pool, Proof
from bayplan.optimizer.problem import Budget, FloatVector, IntVector, Packing, Problem, undominated
from bayplan.optimizer.rounding import Draft, Source, clipped, completed, dived

_GOOD_ENOUGH = 1e-5
# shares of the time after which the next step begins: first bound, patterns, trials
_STARTING, _GENERATING, _ROUNDING = 0.35, 0.5, 0.55
_TRIALS, _TRIAL_NOISE = 24, 0.15
_NEAR_WHOLE = 1e-6
_TORN = (6, 30)  # nodes torn out at once
_LEAST_CHANCE = 1e-3  # of a node that is filled to its price


def provision(problem: Problem, budget: Budget, seed: int = 0) -> Packing:
    """The best packing found, never dearer than the greedy packing; misfits are unplaced."""
    return proven(problem, budget, seed)[0]


def proven(problem: Problem, budget: Budget, seed: int) -> tuple[Packing, FloatVector]:
    """The same, with the class values [K] from which its bound follows."""
    chosen = _types_in_order(problem, undominated(problem))
    wanted = np.flatnonzero((problem.demand > 0) & problem.placeable())
    classes = _classes_in_order(problem, wanted, chosen)
    small = _restricted(problem, classes, chosen)
    types = np.zeros(0, np.int64)
    patterns = np.zeros((0, len(problem.demand)), np.int64)
    nodes, bound = types, 0
    value = np.zeros(len(problem.demand))
    if len(classes):
        best, proof = _packed(small, budget, np.random.default_rng(seed))
        bound = farley(small.with_demand(small.demand - best.rest), *proof)
        types, inner, nodes = best.rows()
        patterns = np.zeros((len(types), len(problem.demand)), np.int64)
        patterns[:, classes] = inner
        types = chosen[types]
        value[classes] = proof[0]
    return Packing.of(problem, types, patterns, nodes, bound), value


def _types_in_order(problem: Problem, types: IntVector) -> IntVector:
    """The types by price, then capacity, so that the caller's order has no effect."""
    keys = np.column_stack((problem.price, problem.capacity, problem.eligible.sum(axis=0)))
    return types[np.lexsort(keys[types].T[::-1])]


def _classes_in_order(problem: Problem, classes: IntVector, types: IntVector) -> IntVector:
    """The classes by request, cap, count, then by the types that they may use."""
    rows = (problem.request, problem.per_node, problem.demand, problem.eligible[:, types])
    return classes[np.lexsort(np.column_stack(rows)[classes].T[::-1])]


def _restricted(problem: Problem, classes: IntVector, types: IntVector) -> Problem:
    """The same problem for some classes and types, and the resources that these classes request."""
    used = problem.request[classes].any(axis=0)
    conflicts = problem.conflicts
    return Problem(
        demand=problem.demand[classes],
        request=problem.request[classes][:, used],
        capacity=problem.capacity[types][:, used],
        price=problem.price[types],
        eligible=problem.eligible[np.ix_(classes, types)],
        per_node=problem.per_node[classes],
        available=None if problem.available is None else problem.available[types],
        conflicts=None if conflicts is None else conflicts[np.ix_(classes, classes)],
        columns=tuple(problem.columns[column] for column in np.flatnonzero(used)),
    )


def _packed(problem: Problem, budget: Budget, dice: np.random.Generator) -> tuple[Draft, Proof]:
    pool = Pool(problem)
    generator = Generator(problem, pool, dice, seconds=budget.limit() * _STARTING)
    generator.seed()
    blank = best = Draft.blank(problem)
    if problem.available is None:
        best = completed(blank.copy(), Source(pool, generator.worth, generator.prices, dice))
    generated = generator.run(budget.until(_GENERATING))
    source = Source(pool, generated.mixed.value, generator.prices, dice)
    whole = np.floor(generated.mixed.nodes + _NEAR_WHOLE).astype(np.int64)
    base = blank.copy()
    base.take_mix(pool, whole, source.worth)
    fraction = generated.mixed.nodes - whole
    best = _tried(best, base, fraction, source, budget.until(_ROUNDING))
    if budget.left() > 0 and _open(best, generated.bound):
        best = _better(best, dived(base.copy(), source, budget))
    for _ in budget.turns():
        if not _open(best, generated.bound):
            break
        best = _better(best, _rebuilt(best, source, budget))
    return best, generator.proof


def _open(best: Draft, bound: int) -> bool:
    """Whether the packing can still become cheaper."""
    return bool(best.rest.any()) or best.cost > bound * (1 + _GOOD_ENOUGH)


def _better(one: Draft, other: Draft) -> Draft:
    """The packing with more placed pods, then with less cost; the first of equals."""
    keys = [(int(each.rest.sum()), each.cost) for each in (one, other)]
    return one if keys[0] <= keys[1] else other


def _tried(
    best: Draft, base: Draft, fraction: FloatVector, source: Source, budget: Budget
) -> Draft:
    """The best of several roundings of a mix; the first is plain, the others are randomised."""
    rest = dataclasses.replace(best.problem, demand=base.rest, available=base.left)
    small = dataclasses.replace(source, pool=clipped(source, rest))
    for turn in range(_TRIALS):
        if turn and budget.left() <= 0:
            break
        draft = base.copy()
        if turn:
            up = source.dice.random(len(fraction)) < fraction * source.dice.random()
            draft.take_mix(source.pool, up.astype(np.int64), source.worth)
        best = _better(best, completed(draft, small, noise=_TRIAL_NOISE * (turn > 0)))
    return best


def _rebuilt(best: Draft, source: Source, budget: Budget) -> Draft:
    """Remove a group of nodes, badly filled nodes more likely, and pack their pods again."""
    work.did(20, 0)
    types, patterns, nodes = best.rows()
    filled = (patterns @ source.worth) / best.problem.price[types]
    chance = np.repeat(np.maximum(1 - filled, _LEAST_CHANCE), nodes)
    rows = np.repeat(np.arange(len(types)), nodes)
    size = min(len(rows), int(source.dice.integers(*_TORN)))
    torn = source.dice.choice(len(rows), size, replace=False, p=chance / chance.sum())
    kept = nodes - np.bincount(rows[torn], minlength=len(nodes))
    draft = Draft.blank(best.problem)
    draft.take_all(types, patterns, kept)
    return dived(draft, source, budget)
