"""Laws of a consolidation: every pod accounted for, nothing over room, cost and bound in order."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers, Share
from bayplan.optimizer.consolidation.search import consolidated
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
        shares=spreads(dice, nodes, classes, types) if draw(st.booleans()) else (),
    )
    offers = Offers(
        dice.integers(1, 10**6, types),
        dice.integers(5, 60, (types, 3)),
        dice.random((classes, types)) < 0.8,
    )
    return holding, offers


def spreads(dice: np.random.Generator, nodes: int, classes: int, types: int) -> list[Share]:
    """A spread of one class over up to three groups; some nodes are in no group."""
    groups = int(dice.integers(1, 4))
    least = dice.integers(0, 3, groups)
    return [
        Share(
            kinds=(int(dice.integers(classes)),),
            group=dice.integers(-1, groups, nodes),
            least=least,
            most=least + dice.integers(0, 4, groups),
            offered=dice.integers(-1, groups, types),
        )
    ]


def violations(holding: Holding, offers: Offers, answer: Consolidated) -> list[str]:
    """What is wrong with an answer, in plain loops."""
    wrong = [
        each
        for n, kept in enumerate(answer.keep.tolist())
        for each in (*of_counts(holding, answer, n, kept=kept), *of_guests(holding, answer, n))
    ]
    for of_type, pods in zip(answer.types.tolist(), answer.bought.tolist(), strict=True):
        wrong += of_bought(holding, offers, of_type, pods)
    wrong += of_spreads(holding, answer)
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
        asked = sum(pods * int(holding.request[k, d]) for k, pods in enumerate(answer.into[n]))
        if asked and load > holding.room[n, d]:
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


def of_spreads(holding: Holding, answer: Consolidated) -> Iterator[str]:
    """What is wrong with the numbers of pods by group."""
    after = holding.held - answer.leave - answer.out + answer.into
    for share in holding.shares:
        possible = share.possible(holding.held, holding.surplus)
        for g in range(len(share.least)):
            places = [(after, share.group[n], n) for n in range(len(after))]
            places += [(answer.bought, share.offered[t], b) for b, t in enumerate(answer.types)]
            there = sum(
                int(pods[row, k]) for pods, of, row in places if of == g for k in share.kinds
            )
            if not possible.least[g] <= there <= possible.most[g]:
                yield f"{there} in group {g}, not {possible.least[g]} to {possible.most[g]}"


@settings(max_examples=60, deadline=None)
@given(questions(), st.sampled_from([None, 0, 1, 4]))
def test_an_answer_keeps_every_constraint(
    question: tuple[Holding, Offers], most_moves: int | None
) -> None:
    """Rooms, counts, pins, caps, open nodes and the number of moves hold; the bound is below."""
    holding, offers = question
    answer = consolidated(holding, offers, ROUNDS, most_moves=most_moves)

    assert [] == violations(holding, offers, answer)
    assert most_moves is None or answer.moves <= most_moves


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_spreads_that_contradict_each_other_give_way(seed: int) -> None:
    """Whatever spreads several classes share, there is an answer that keeps everything else."""
    dice = np.random.default_rng(seed)
    held = dice.integers(0, 4, (5, 3))
    wanted = (held.sum(axis=0) * dice.random(3)).astype(np.int64)
    least = dice.integers(0, 4, (3, 2))
    shares = [
        Share(
            kinds=tuple(np.flatnonzero(dice.random(3) < 0.7).tolist()),
            group=dice.integers(-1, 2, 5),
            least=each,
            most=each + dice.integers(0, 3),
            offered=np.zeros(0, np.int64),
        )
        for each in least
    ]
    request = np.ones((3, 1), np.int64)
    question = Holding.of(
        np.full(5, 1000), np.full((5, 1), 12), held, wanted, request, shares=shares
    )
    answer = consolidated(question, Offers.none(question), ROUNDS)

    assert [] == violations(question.with_shares(()), Offers.none(question), answer)


@settings(max_examples=15, deadline=None)
@given(questions(), st.integers(0, 9))
def test_the_same_question_has_the_same_answer(question: tuple[Holding, Offers], seed: int) -> None:
    """The same arrays, rounds and seed give the same answer."""
    holding, offers = question
    one, other = (consolidated(holding, offers, ROUNDS, seed=seed) for _ in range(2))

    for name in ("keep", "leave", "out", "into", "types", "bought"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()
    assert (one.cost, one.bound) == (other.cost, other.bound)


@st.composite
def tiny_questions(draw: st.DrawFn) -> tuple[Holding, Offers]:
    """Up to 3 nodes, 2 classes and 2 offers, small enough to try everything."""
    dice = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    nodes, classes, types = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 2)),
        draw(st.integers(0, 2)),
    )
    request = dice.integers(1, 4, (classes, 2))
    held = dice.integers(0, 3, (nodes, classes))
    holding = Holding.of(
        dice.integers(1, 20, nodes) * 1000,
        held @ request + dice.integers(0, 7, (nodes, 2)),
        held,
        dice.integers(0, held.sum(axis=0) + 1) if draw(st.booleans()) else held.sum(axis=0),
        request,
        stays=dice.random(nodes) < 0.2,
        open=dice.random((classes, nodes)) < 0.8,
        move_price=dice.integers(0, 3, classes) * 500,
        per_node=np.where(dice.random(classes) < 0.3, dice.integers(1, 3, classes), UNLIMITED),
        movable=dice.integers(0, 3, held.shape) if draw(st.booleans()) else None,
        shares=spreads(dice, nodes, classes, types) if draw(st.booleans()) else (),
    )
    offers = Offers(
        dice.integers(1, 20, types) * 1000,
        dice.integers(2, 9, (types, 2)),
        dice.random((classes, types)) < 0.8,
    )
    return holding, offers


@settings(max_examples=120, deadline=None)
@given(tiny_questions(), st.sampled_from([None, 0, 1, 2]))
def test_the_optimum_is_between_bound_and_cost(
    question: tuple[Holding, Offers], most_moves: int | None
) -> None:
    """Everything is tried: nothing is cheaper than the bound, nor dearer than the answer."""
    holding, offers = question
    answer = consolidated(holding, offers, ROUNDS, most_moves=most_moves)
    best = optimum(holding, offers, most_moves)

    assert [] == violations(holding, offers, answer)
    assert answer.bound <= best <= answer.cost


Counts = tuple[int, ...]
State = tuple[Counts, Counts, Counts, Counts]  # pods: staying, present, pinned and gone, by group


def optimum(holding: Holding, offers: Offers, most_moves: int | None) -> int:
    """The least cost of all answers: every content of every node, node after node."""
    shares = [each.possible(holding.held, holding.surplus) for each in holding.shares]
    groups = sum(len(each.least) for each in shares)
    none = (0,) * len(holding.wanted)
    costs: dict[State, int] = {(none, none, none, (0,) * groups): 0}
    for n in range(len(holding.price)):
        costs = joined(costs, list(contents(holding, shares, n)))
    patterns = list(purchases(holding, offers, shares))
    for _ in range(int(holding.wanted.sum()) if patterns else 0):
        costs = joined(costs, [((none, none, none, (0,) * groups), 0), *patterns])
    least: int = min(
        cost + sum(int(p) * m for p, m in zip(holding.move_price, moves, strict=True))
        for (stay, present, pinned, count), cost in costs.items()
        for moves in [[w - s for w, s in zip(holding.wanted.tolist(), stay, strict=True)]]
        if list(present) == holding.wanted.tolist()
        and all(p <= s for p, s in zip(pinned, holding.surplus.tolist(), strict=True))
        and (most_moves is None or sum(moves) <= most_moves)
        and all(
            low <= number <= high
            for number, low, high in zip(
                count,
                [int(each) for share in shares for each in share.least],
                [int(each) for share in shares for each in share.most],
                strict=True,
            )
        )
    )
    return least


def joined(costs: dict[State, int], options: list[tuple[State, int]]) -> dict[State, int]:
    """The least cost of every sum of a state and an option."""
    sums: dict[State, int] = defaultdict(lambda: 1 << 60)
    for state, cost in costs.items():
        for more, price in options:
            one, two, three, four = (
                tuple(a + b for a, b in zip(*pair, strict=True))
                for pair in zip(state, more, strict=True)
            )
            key = (one, two, three, four)
            sums[key] = min(sums[key], cost + price)
    return sums


def contents(holding: Holding, shares: list[Share], n: int) -> Iterator[tuple[State, int]]:
    """Everything that a node may hold afterwards, with its price."""
    held, movable = holding.held[n].tolist(), holding.movable[n].tolist()
    none = (0,) * len(held)
    if not holding.stays[n]:
        pinned = tuple(h - m for h, m in zip(held, movable, strict=True))
        yield (none, none, pinned, by_group(shares, none, [each.group[n] for each in shares])), 0
    for stay in product(*(range(h + 1) for h in held)):
        for into in product(*(range(int(w) + 1) for w in holding.wanted)):
            there = tuple(a + b for a, b in zip(stay, into, strict=True))
            load = np.array(there) @ holding.request
            closed = any(i and not holding.open[k, n] for k, i in enumerate(into))
            many = any(i and there[k] > holding.per_node[k] for k, i in enumerate(into))
            if closed or many or (any(into) and (load > holding.room[n]).any()):
                continue
            pinned = tuple(max(0, h - s - m) for h, s, m in zip(held, stay, movable, strict=True))
            count = by_group(shares, there, [each.group[n] for each in shares])
            yield (stay, there, pinned, count), int(holding.price[n])


def purchases(holding: Holding, offers: Offers, shares: list[Share]) -> Iterator[tuple[State, int]]:
    """Everything that a bought node may hold, with its price."""
    none = (0,) * len(holding.wanted)
    for t in range(len(offers.price)):
        for pods in product(*(range(int(w) + 1) for w in holding.wanted)):
            fits = (np.array(pods) @ holding.request <= offers.capacity[t]).all()
            closed = any(n and not offers.open[k, t] for k, n in enumerate(pods))
            many = any(n > holding.per_node[k] for k, n in enumerate(pods))
            if any(pods) and fits and not closed and not many:
                count = by_group(shares, pods, [each.offered[t] for each in shares])
                yield (none, pods, none, count), int(offers.price[t])


def by_group(shares: list[Share], pods: Counts, group: list[int]) -> Counts:
    """How many of these pods every group of every spread gets."""
    return tuple(
        sum(pods[k] for k in share.kinds) * (g == of)
        for share, of in zip(shares, group, strict=True)
        for g in range(len(share.least))
    )
