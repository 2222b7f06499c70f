"""Laws of provisioning: nothing beyond capacity, all constraints kept, order does not matter."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.optimizer.problem import Budget, Packing, Problem, undominated
from bayplan.optimizer.provision import provision

ROUNDS = Budget(rounds=4)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Up to 6 classes and 4 types, with any mixture of constraints."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    classes, types = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    conflicts = dice.random((classes, classes)) < 0.2
    return Problem.of(
        dice.integers(0, 60, classes),
        dice.integers(0, 50, (classes, 3)) + np.array([0, 0, 1]),
        dice.integers(20, 300, (types, 3)),
        dice.integers(1, 10**6, types),
        eligible=dice.random((classes, types)) < 0.8 if draw(st.booleans()) else None,
        per_node=dice.integers(1, 5, classes) if draw(st.booleans()) else None,
        available=dice.integers(0, 20, types) if draw(st.booleans()) else None,
        conflicts=np.triu(conflicts, 1) | np.triu(conflicts, 1).T if draw(st.booleans()) else None,
    )


def violations(problem: Problem, packing: Packing) -> list[str]:
    """What is wrong with a packing, node pattern by node pattern, in plain loops."""
    wrong = []
    for of_type, pattern in zip(packing.types, packing.patterns.tolist(), strict=True):
        for d in range(problem.request.shape[1]):
            load = sum(n * int(problem.request[k, d]) for k, n in enumerate(pattern))
            if load > problem.capacity[of_type, d]:
                wrong.append(f"resource {d} of type {of_type}")
        for k, n in enumerate(pattern):
            if n and not problem.eligible[k, of_type]:
                wrong.append(f"class {k} on type {of_type}")
            if n > problem.per_node[k]:
                wrong.append(f"{n} of class {k}")
            if n and problem.conflicts is not None:
                wrong += [
                    f"{k} with {j}" for j, m in enumerate(pattern) if m and problem.conflicts[k, j]
                ]
    used = np.bincount(packing.types, packing.nodes, minlength=len(problem.price))
    if problem.available is not None and (used > problem.available).any():
        wrong.append("nodes that do not exist")
    placed = packing.nodes @ packing.patterns
    if not ((placed + packing.unplaced == problem.demand) & (packing.unplaced >= 0)).all():
        wrong.append("pods lost or doubled")
    return wrong


@settings(max_examples=60, deadline=None)
@given(problems())
def test_a_packing_keeps_every_constraint(problem: Problem) -> None:
    """Capacity, eligibility, caps, conflicts, availability and the count of pods all hold."""
    packing = provision(problem, ROUNDS)

    assert [] == violations(problem, packing)
    assert packing.bound <= packing.cost == int(packing.nodes @ problem.price[packing.types])


@settings(max_examples=40, deadline=None)
@given(problems())
def test_with_nodes_without_limit_all_that_fits_somewhere_is_placed(problem: Problem) -> None:
    """Unplaced are only the classes of which no pod fits any type."""
    free = Problem.of(
        problem.demand,
        problem.request,
        problem.capacity,
        problem.price,
        eligible=problem.eligible,
        per_node=problem.per_node,
        conflicts=problem.conflicts,
    )

    assert (free.demand * ~free.placeable()).tolist() == provision(free, ROUNDS).unplaced.tolist()


@settings(max_examples=25, deadline=None)
@given(problems(), st.integers(0, 2**32 - 1))
def test_the_order_of_classes_and_types_does_not_change_the_cost(
    problem: Problem, seed: int
) -> None:
    """Shuffled rows are the same question."""
    dice = np.random.default_rng(seed)
    k, t = dice.permutation(len(problem.demand)), dice.permutation(len(problem.price))
    shuffled = Problem.of(
        problem.demand[k],
        problem.request[k],
        problem.capacity[t],
        problem.price[t],
        eligible=problem.eligible[np.ix_(k, t)],
        per_node=problem.per_node[k],
        available=None if problem.available is None else problem.available[t],
        conflicts=None if problem.conflicts is None else problem.conflicts[np.ix_(k, k)],
    )
    one, other = provision(problem, ROUNDS), provision(shuffled, ROUNDS)

    assert (one.cost, one.bound) == (other.cost, other.bound)


@settings(max_examples=15, deadline=None)
@given(problems(), st.integers(0, 9))
def test_the_same_question_has_the_same_answer(problem: Problem, seed: int) -> None:
    """Rounds and seed decide, not the machine's mood."""
    first, again = provision(problem, ROUNDS, seed), provision(problem, ROUNDS, seed)

    assert first.types.tolist() == again.types.tolist()
    assert first.patterns.tolist() == again.patterns.tolist()
    assert first.nodes.tolist() == again.nodes.tolist()


@given(problems())
def test_a_dominated_type_has_a_better_one_that_stays(problem: Problem) -> None:
    """Each type left out has one kept with as much of everything, open to as many, no dearer."""
    kept = undominated(problem)
    better = [
        any(
            (problem.capacity[k] >= problem.capacity[t]).all()
            and problem.price[k] <= problem.price[t]
            and (problem.eligible[:, k] >= problem.eligible[:, t]).all()
            for k in kept
        )
        for t in range(len(problem.price))
    ]

    assert all(better)
