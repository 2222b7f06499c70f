"""The rivals behave as published: what is compared with is not a straw man."""

import numpy as np

from bayplan.optimizer.problem import Problem
from bayplan.provisioning import rivals


def problem(demand: list[int], request: list[list[int]]) -> Problem:
    """A small, a large and a dear type; CPU, memory, pods."""
    return Problem.of(
        np.array(demand),
        np.array(request),
        np.array([[4, 8, 10], [16, 32, 20], [16, 64, 20]]),
        np.array([100, 390, 500]),
    )


def test_karpenter_fills_a_claim_while_any_type_could_hold_it() -> None:
    """Four pods of 4 CPU share one claim that ends as the large type, not four small ones."""
    packing = rivals.karpenter(problem([4], [[4, 8, 1]]))

    assert [(1, 1, 390)] == [(packing.node_count, int(packing.types[0]), packing.cost)]


def test_karpenter_tries_the_claim_with_the_fewest_pods_first() -> None:
    """Two large pods open two claims; two small ones go one to each."""
    packing = rivals.karpenter(problem([2, 2], [[12, 8, 1], [1, 1, 1]]))

    assert [[1, 1], [1, 1]] == packing.patterns.tolist()


def test_karpenter_launches_the_cheapest_type_left() -> None:
    """A claim that needs 40 memory keeps the dear type alone."""
    packing = rivals.karpenter(problem([1], [[1, 40, 1]]))

    assert ([2], 500) == (packing.types.tolist(), packing.cost)


def test_most_allocated_packs_what_least_allocated_spreads() -> None:
    """On the same pods and seeds, MostAllocated leaves the squares of node loads larger."""
    question = problem([60, 5], [[1, 1, 1], [9, 8, 1]])
    squares = []
    for most in (False, True):
        packing = rivals.kube_scheduler(question, 1, most=most, seed=1)
        load = np.repeat(packing.patterns, packing.nodes, axis=0) @ question.request[:, 0]
        squares.append(int((load * load).sum()) / len(load))

    assert squares[0] < squares[1]


def test_what_fits_nowhere_stays_out() -> None:
    """A pod larger than the type is unplaced, for both."""
    question = problem([1, 3], [[17, 1, 1], [1, 1, 1]])

    assert [1, 0] == rivals.karpenter(question).unplaced.tolist()
    assert [1, 0] == rivals.kube_scheduler(question, 0, most=True).unplaced.tolist()


def test_most_allocated_needs_no_more_nodes_than_one_pod_each() -> None:
    """Every packing is feasible, pods are counted once."""
    question = problem([30, 20], [[1, 3, 1], [3, 1, 1]])
    for most in (False, True):
        packing = rivals.kube_scheduler(question, 1, most=most, seed=3)

        assert question.holds(packing.types, packing.patterns).all()
        assert [30, 20] == (packing.nodes @ packing.patterns).tolist()


def test_scores_are_of_cpu_and_memory_wherever_they_stand() -> None:
    """A column of disk before them, or pods that ask for neither, change nothing."""
    demand, capacity = np.array([9, 9, 9]), np.array([[4, 1, 8, 10]])
    request = np.array([[1, 0, 1, 1], [2, 0, 1, 1], [1, 0, 4, 1]])
    named = Problem.of(
        demand, request, capacity, np.array([1]), columns=("cpu", "disk", "memory", "pods")
    )
    plain = Problem.of(demand, request[:, [0, 2, 3]], capacity[:, [0, 2, 3]], np.array([1]))
    none = Problem.of(demand, request[:, 3:], capacity[:, 3:], np.array([1]), columns=("pods",))

    for most in (False, True):
        one, other = (rivals.kube_scheduler(each, 0, most=most) for each in (named, plain))
        assert one.patterns.tolist() == other.patterns.tolist()
        assert 3 == rivals.kube_scheduler(none, 0, most=most).node_count
    assert rivals.karpenter(named).patterns.tolist() == rivals.karpenter(plain).patterns.tolist()
    assert 3 == rivals.karpenter(none).node_count
