"""What a consolidation answers for pools that are small enough to think through."""

import asyncio
from itertools import count

import numpy as np
import pytest

from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers, Share
from bayplan.optimizer.consolidation.search import consolidated
from bayplan.optimizer.problem import Budget, IntMatrix
from bayplan.runtime.solver_process import SolverProcess, unhurried

DOLLAR = 1_000_000
GOOD_ENOUGH = 1e-5


def holding(held: list[list[int]], wanted: list[int], **named: object) -> Holding:
    """Nodes of one dollar with room for four pods of size one."""
    nodes = len(held)
    arguments = {
        "price": np.full(nodes, DOLLAR),
        "room": np.full((nodes, 1), 4),
        "held": np.array(held),
        "wanted": np.array(wanted),
        "request": np.ones((len(wanted), 1), np.int64),
    }
    return Holding.of(**(arguments | named))  # type: ignore[arg-type]


def answered(question: Holding, offers: Offers | None = None, **named: int | None) -> Consolidated:
    return consolidated(
        question,
        offers or Offers.none(question),
        Budget(rounds=4),
        **named,  # type: ignore[arg-type]
    )


def test_leavers_of_all_classes_are_chosen_together() -> None:
    """Two classes lose half of their pods: one node empties, and nothing moves."""
    answer = answered(holding([[2, 2], [2, 2]], [2, 2]), most_moves=0)

    assert (1, 0, DOLLAR) == (answer.keep.sum(), answer.moves, answer.cost)
    assert [4] == answer.leave.sum(axis=1)[~answer.keep].tolist()


def test_a_move_must_save_its_price() -> None:
    """One pod keeps a node: it moves if the move costs less than the node."""
    for price, moves in ((DOLLAR * 9 // 10, 1), (DOLLAR * 11 // 10, 0)):
        answer = answered(holding([[3], [1]], [4], move_price=np.array([price])))

        assert moves == answer.moves
        assert min(DOLLAR + price, 2 * DOLLAR) == answer.cost
        assert answer.gap < GOOD_ENOUGH


def test_moves_are_limited_by_number() -> None:
    """Two moves would free a node, one frees none."""
    question = holding([[2], [2]], [4])

    assert [2, 0] == [answered(question, most_moves=most).moves for most in (2, 1)]


def test_a_smaller_node_replaces_a_large_one() -> None:
    """The pods of a node that is too large move to a bought node that costs half."""
    question = holding([[1]], [1])
    half = Offers(np.array([DOLLAR // 2]), np.array([[2]]), np.ones((1, 1), np.bool_))
    answer = answered(question, half)

    assert (0, [0], [[1]]) == (answer.keep.sum(), answer.types.tolist(), answer.bought.tolist())


def test_who_may_not_move_keeps_its_node() -> None:
    """Of two nodes with the same load the one whose pod may move is given back."""
    answer = answered(holding([[1], [1]], [2], movable=np.array([[0], [1]])))

    assert [True, False] == answer.keep.tolist()


def test_a_node_that_stays_is_filled_by_the_others() -> None:
    """The node that stays in any case takes the pod of the other."""
    answer = answered(holding([[1], [1]], [2], stays=np.array([True, False])))

    assert [True, False] == answer.keep.tolist()
    assert [[1], [0]] == answer.into.tolist()


def test_of_equal_nodes_the_one_that_was_to_go_goes() -> None:
    """`lean` decides between equal nodes and is no part of the cost."""
    for given_back in (0, 1):
        lean = np.zeros(2, np.int64)
        lean[given_back] = 1000
        answer = answered(holding([[1], [1]], [1], lean=lean))

        assert not answer.keep[given_back]
        assert answer.cost == DOLLAR


def test_more_wanted_than_held_is_refused() -> None:
    with pytest.raises(ValueError, match="more pods are wanted than are held"):
        holding([[1]], [2])


def test_the_search_ends_with_its_budget() -> None:
    """A stopwatch that advances at each look ends the search."""
    held: IntMatrix = np.random.default_rng(0).integers(0, 3, (30, 6))
    question = holding(held.tolist(), (held.sum(axis=0) // 2).tolist(), room=np.full((30, 1), 20))
    ticks = count()
    consolidated(
        question, Offers.none(question), Budget(seconds=200, spent=lambda: float(next(ticks)))
    )

    assert next(ticks) < 1000


def test_a_busy_machine_gets_the_same_answer_later() -> None:
    """The wall clock says that the time is over, but the process has hardly run."""
    dice = np.random.default_rng(1)
    held = dice.integers(0, 4, (30, 6))
    question = holding(held.tolist(), (held.sum(axis=0) // 2).tolist(), room=np.full((30, 1), 20))
    over = Budget(seconds=1, rounds=4, spent=lambda: 3.0)
    hurried = consolidated(question, Offers.none(question), over)
    answer = unhurried(question, Offers.none(question), over)

    assert answer.cost < hurried.cost


def test_the_search_begins_with_what_the_last_answer_kept() -> None:
    """Without time for anything else the former answer is the answer, if it is cheaper."""
    question = holding([[3], [1], [4]], [4], former=np.array([False, False, True]))
    over = Budget(seconds=1, spent=lambda: 1.0)

    assert [False, False, True] == consolidated(question, Offers.none(question), over).keep.tolist()


def test_the_solver_process_consolidates() -> None:
    """The question goes to the process, and its answer comes back."""
    worker = SolverProcess()
    try:
        question = holding([[3], [1]], [4])
        answer = asyncio.run(worker.consolidate(question, Offers.none(question), 0.2, most_moves=1))
    finally:
        worker.close()

    assert answer is not None
    assert (1, DOLLAR) == (answer.moves, answer.cost)


def test_a_small_program_does_not_end_the_process() -> None:
    """The presolve of HiGHS met a segmentation fault in this one."""
    small = Holding.of(
        price=np.array([400_000, 100_000]),
        room=np.array([[8000, 17_179_869_184, 110], [2000, 17_179_869_184, 110]]),
        held=np.array([[0, 0], [6, 1]]),
        wanted=np.array([6, 1]),
        request=np.array([[100, 0, 1], [500, 0, 1]]),
        stays=np.array([True, False]),
        move_price=np.array([3000, 0]),
        shares=(
            Share(
                kinds=(0,),
                group=np.array([0, 0]),
                least=np.array([6]),
                most=np.array([6]),
                offered=np.zeros(0, np.int64),
            ),
        ),
    )

    answer = consolidated(small, Offers.none(small), Budget(rounds=4), most_moves=3)

    assert answer is not None
    assert 500_000 == answer.cost
