"""Budgets of counted work: the same input gives the same plan, however busy the machine is."""

import threading

import numpy as np

from bayplan.optimizer import work
from bayplan.optimizer.problem import Budget, Problem
from bayplan.optimizer.purchase import Purchase, purchase

BUSY = 6  # threads that take the core from each other


def asked(classes: int) -> Problem:
    """So many classes of pods, and types whose prices are not quite in proportion to their room."""
    dice = np.random.default_rng(classes)
    request = dice.integers(1, 60, (classes, 2)) * 50
    capacity = np.array([[2, 4], [4, 8], [8, 16], [16, 32], [8, 32], [16, 64]]) * 1000
    price = np.array([70, 141, 279, 551, 330, 655])
    return Problem.of(dice.integers(1, 9, classes), request, capacity, price)


def same(one: Purchase, other: Purchase) -> bool:
    """Whether two purchases agree in every number."""
    pairs = ((one.types, other.types), (one.node, other.node), (one.kind, other.kind))
    return (one.cost, one.bound) == (other.cost, other.bound) and all(
        np.array_equal(mine, theirs) for mine, theirs in pairs
    )


def test_a_busy_machine_gives_the_same_plan() -> None:
    """Searches that hinder each other end where a search alone ends; few and many classes."""
    problems = [asked(30), asked(200)]
    alone = [purchase(problem, Budget.of_work(0.1)) for problem in problems]
    together: list[list[Purchase]] = []

    def search() -> None:
        together.append([purchase(problem, Budget.of_work(0.1)) for problem in problems])

    threads = [threading.Thread(target=search) for _ in range(BUSY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert BUSY == len(together)
    for plans in together:
        assert all(same(*pair) for pair in zip(alone, plans, strict=True))


def test_more_work_is_not_dearer() -> None:
    """What `--seconds` trades: a longer search of the same seed has seen more."""
    little, much = (purchase(asked(30), Budget.of_work(seconds)) for seconds in (0.02, 0.6))

    assert much.cost <= little.cost
    assert little.bound <= much.bound


def test_work_is_counted_once_for_each_thread() -> None:
    """Another thread's work does not shorten ours."""
    before = work.done()
    other = threading.Thread(target=lambda: work.did(10, 1_000_000))
    other.start()
    other.join()

    assert work.done() == before

    work.did(10, 1_000_000)

    assert work.done() > before


def test_by_work_the_solver_has_no_clock() -> None:
    """Its own time limit would bring the machine's speed back."""
    assert float("inf") == Budget.of_work(1.0).limit()
    assert 1.0 == Budget(seconds=1.0).limit()
    assert float("inf") == Budget.of_work(1.0).until(0.5).limit()
