"""How far an engine gets with few moves, after half of a cluster's pods have left.

The cluster comes from a seed: pods arrive in four batches, fill the room that there is, and the
optimiser buys nodes for the rest. Then half of each class leaves: the engine chooses which, or
chance does. Cost is over the bound for buying from nothing what remains.
"""

from collections.abc import Callable

import numpy as np
from mixes import menu, mix

from bayplan.optimizer import fill
from bayplan.optimizer.bound import hardest
from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.optimizer.consolidation.search import consolidated
from bayplan.optimizer.problem import Budget, Problem
from bayplan.optimizer.provision import provision

_BATCHES = 4
_BATCH_SECONDS = 1.3  # of a purchase, as the product takes
_IN_TIME = 0.92  # share of the time that the search may use: the rest is for its last step
_SEED = 1

Watch = Callable[[], Callable[[], float]]


def consolidating(
    pods: int, seconds: float, watch: Watch, *, moves: tuple[int, ...], by_chance: int
) -> dict[str, float | str]:
    """Cost over the bound by number of moves; `by_chance` moves if chance chooses the leavers."""
    question, offers = cluster(pods, watch)
    remaining = Problem.of(question.wanted, question.request, offers.capacity, offers.price)
    least = max(
        provision(remaining, Budget(_BATCH_SECONDS, spent=watch())).bound, hardest(remaining)
    )
    figures: dict[str, float | str] = {"nodes": len(question.price)}
    longest = 0.0
    for most in moves:
        answer, took = answered(question, offers, seconds, watch, most)
        longest = max(longest, took)
        figures[f"moves_{most}_percent"] = 100 * (answer.cost / least - 1)
        figures[f"moves_{most}_bound_percent"] = 100 * (max(answer.bound, least) / least - 1)
    if by_chance:
        answer, took = answered(left_by_chance(question), offers, seconds, watch, by_chance)
        longest = max(longest, took)
        figures["by_chance_percent"] = 100 * (answer.cost / least - 1)
        figures["by_chance_moves"] = answer.moves
    return figures | {"seconds": longest}


def answered(
    question: Holding, offers: Offers, seconds: float, watch: Watch, most_moves: int
) -> tuple[Consolidated, float]:
    """The answer, checked in integers, and how long it took."""
    spent = watch()
    answer = consolidated(
        question, offers, Budget(seconds * _IN_TIME, spent=spent), most_moves=most_moves
    )
    took = spent()
    stay = question.held - answer.leave - answer.out
    assert (stay >= 0).all()
    assert not (stay + answer.into)[~answer.keep].any()
    assert ((stay + answer.into) @ question.request <= question.room).all()
    assert (answer.bought @ question.request <= offers.capacity[answer.types]).all()
    present = (stay + answer.into).sum(axis=0) + answer.bought.sum(axis=0)
    assert present.tolist() == question.wanted.tolist()
    assert answer.moves <= most_moves
    return answer, took


def cluster(pods: int, watch: Watch) -> tuple[Holding, Offers]:
    """The nodes and pods of a cluster from which half of each class is to leave."""
    demand, request = mix("ec2cpu", pods, _SEED)
    chosen = menu("cast")
    order = np.random.default_rng(_SEED).permutation(np.repeat(np.arange(len(demand)), demand))
    room, price = np.zeros((0, request.shape[1]), np.int64), np.zeros(0, np.int64)
    held = np.zeros((0, len(demand)), np.int64)
    for part in np.array_split(order, _BATCHES):
        rest = np.bincount(part, minlength=len(demand))
        if len(room):
            free = room - held @ request
            placed = fill.placed(free, request, rest, np.zeros(len(room), np.int64))
            held, rest = held + placed, rest - placed.sum(axis=0)
        bought = provision(
            Problem.of(rest, request, chosen.capacity, chosen.price),
            Budget(_BATCH_SECONDS, spent=watch()),
        )
        rows = np.repeat(np.arange(len(bought.nodes)), bought.nodes)
        room = np.concatenate((room, chosen.capacity[bought.types[rows]]))
        price = np.concatenate((price, chosen.price[bought.types[rows]]))
        held = np.concatenate((held, bought.patterns[rows]))
    offers = Offers(
        chosen.price, chosen.capacity, np.ones((len(demand), len(chosen.price)), np.bool_)
    )
    return Holding.of(price, room, held, held.sum(axis=0) // 2, request), offers


def left_by_chance(question: Holding) -> Holding:
    """The same cluster after half of each class has left, whichever pods chance chose."""
    dice = np.random.default_rng(_SEED)
    held = question.held.copy()
    for k, leaving in enumerate(question.surplus.tolist()):
        pods = np.repeat(np.arange(len(held)), held[:, k])
        np.subtract.at(held[:, k], dice.choice(pods, leaving, replace=False), 1)
    return Holding.of(question.price, question.room, held, question.wanted, question.request)
