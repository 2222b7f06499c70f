"""Laws of a consolidation: every pod accounted for, nothing over room, cost and bound in order."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.optimizer.consolidation import Consolidated, Holding, Offers
from bayplan.optimizer.consolidation_search import consolidated
from bayplan.optimizer.problem import UNLIMITED, Budget

ROUNDS = Budget(rounds=3)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Holding, Offers]:
    """Up to 8 nodes, 5 classes and 4 offers, with any mixture of constraints."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes, classes = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    types = draw(st.integers(0, 4))
    request = dice.integers(0, 9, (classes, 3)) + np.array([1, 0, 0])
    held = dice.integers(0, 4, (nodes, classes)) * (dice.random((nodes, classes)) < 0.7)
    room = held @ request + dice.integers(0, 20, (nodes, 3))
    if draw(st.booleans()):
        room -= dice.integers(0, 4, (nodes, 3))  # some nodes are too full
    wanted = (held.sum(axis=0) * dice.random(classes)).astype(np.int64)
    holding = Holding.of(
        dice.integers(0, 10**6, nodes),
        np.maximum(room, 0),
        held,
        held.sum(axis=0) if draw(st.booleans()) else wanted,
        request,
        lean=dice.integers(-1000, 1000, nodes) if draw(st.booleans()) else None,
        stays=dice.random(nodes) < 0.2 if draw(st.booleans()) else None,
        open=dice.random((classes, nodes)) < 0.7 if draw(st.booleans()) else None,
        move_price=dice.integers(0, 30_000, classes) if draw(st.booleans()) else None,
        per_node=np.where(dice.random(classes) < 0.5, dice.integers(1, 4, classes), UNLIMITED)
        if draw(st.booleans())
        else None,
        may_move=dice.random(classes) < 0.7 if draw(st.booleans()) else None,
        movable=dice.integers(0, 4, held.shape) if draw(st.booleans()) else None,
    )
    offers = Offers(
        dice.integers(1, 10**6, types),
        dice.integers(5, 60, (types, 3)),
        dice.random((classes, types)) < 0.8,
    )
    return holding, offers


def violations(holding: Holding, offers: Offers, answer: Consolidated) -> list[str]:
    """What is wrong with an answer, in plain loops."""
    wrong = [
        each
        for n, kept in enumerate(answer.keep.tolist())
        for each in (*of_counts(holding, answer, n, kept=kept), *of_guests(holding, answer, n))
    ]
    for of_type, pods in zip(answer.types.tolist(), answer.bought.tolist(), strict=True):
        wrong += of_bought(holding, offers, of_type, pods)
    kinds = range(len(holding.wanted))
    moved = [sum(answer.out[:, k].tolist()) for k in kinds]
    came = [sum(answer.into[:, k].tolist()) + sum(answer.bought[:, k].tolist()) for k in kinds]
    if moved != came:
        wrong.append("pods get lost on the way")
    if answer.leave.sum(axis=0).tolist() != holding.surplus.tolist():
        wrong.append("too many or too few leave")
    cost = sum(int(p) for p, kept in zip(holding.price, answer.keep, strict=True) if kept)
    cost += sum(int(offers.price[t]) for t in answer.types)
    cost += sum(m * int(p) for m, p in zip(moved, holding.move_price, strict=True))
    if cost != answer.cost or answer.bound > cost:
        wrong.append(f"cost {answer.cost} is {cost}, bound {answer.bound}")
    if sum(moved) != answer.moves:
        wrong.append(f"{answer.moves} moves are {sum(moved)}")
    return wrong


def of_counts(holding: Holding, answer: Consolidated, n: int, *, kept: bool) -> Iterator[str]:
    """What is wrong with the numbers of pods on a node."""
    if holding.stays[n] and not kept:
        yield f"node {n} must stay"
    for k in range(len(holding.wanted)):
        leave, out, into = (int(each[n, k]) for each in (answer.leave, answer.out, answer.into))
        stay = int(holding.held[n, k]) - leave - out
        if min(leave, out, into, stay) < 0:
            yield f"a count below 0 on node {n}"
        if not kept and (stay or into):
            yield f"node {n} is given back and has pods"
        if out > holding.movable[n, k]:
            yield f"class {k} may not move from node {n}"


def of_guests(holding: Holding, answer: Consolidated, n: int) -> Iterator[str]:
    """What is wrong with pods that come to a node."""
    there = [
        int(holding.held[n, k] - answer.leave[n, k] - answer.out[n, k] + answer.into[n, k])
        for k in range(len(holding.wanted))
    ]
    for k, into in enumerate(answer.into[n].tolist()):
        if into and not holding.open[k, n]:
            yield f"class {k} may not come to node {n}"
        if into and there[k] > holding.per_node[k]:
            yield f"{there[k]} of class {k} on node {n}"
    for d in range(holding.room.shape[1]):
        load = sum(pods * int(holding.request[k, d]) for k, pods in enumerate(there))
        if answer.into[n].any() and load > holding.room[n, d]:
            yield f"node {n} is too full"


def of_bought(holding: Holding, offers: Offers, of_type: int, pods: list[int]) -> Iterator[str]:
    """What is wrong with a node to buy."""
    for d in range(holding.room.shape[1]):
        load = sum(count * int(holding.request[k, d]) for k, count in enumerate(pods))
        if load > offers.capacity[of_type, d]:
            yield f"a bought node of type {of_type} is too full"
    for k, count in enumerate(pods):
        if count and not offers.open[k, of_type]:
            yield f"class {k} on type {of_type}"
        if count > holding.per_node[k]:
            yield f"{count} of class {k} on a bought node"


@settings(max_examples=60, deadline=None)
@given(questions(), st.sampled_from([None, 0, 1, 4]))
def test_an_answer_keeps_every_constraint(
    question: tuple[Holding, Offers], most_moves: int | None
) -> None:
    """Rooms, counts, pins, caps, open nodes and the number of moves hold; the bound is below."""
    holding, offers = question
    answer = consolidated(holding, offers, ROUNDS, most_moves=most_moves)

    assert answer is not None
    assert [] == violations(holding, offers, answer)
    assert most_moves is None or answer.moves <= most_moves


@settings(max_examples=15, deadline=None)
@given(questions(), st.integers(0, 9))
def test_the_same_question_has_the_same_answer(question: tuple[Holding, Offers], seed: int) -> None:
    """The same arrays, rounds and seed give the same answer."""
    holding, offers = question
    one, other = (consolidated(holding, offers, ROUNDS, seed=seed) for _ in range(2))

    assert one is not None
    assert other is not None
    for name in ("keep", "leave", "out", "into", "types", "bought"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    assert (one.cost, one.bound) == (other.cost, other.bound)
