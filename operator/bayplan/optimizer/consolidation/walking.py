"""Walks through choices of nodes by what each would cost at least, and settles what promises more.

What a choice costs at least takes microseconds: the price of its nodes, of the moves that it makes
necessary, and of the room that it lacks in all. To settle it in whole pods takes a hundred times as
long, so that is done only for choices that could be cheaper than the best layout so far. At first
dearer choices are taken too, later ever fewer (simulated annealing).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bayplan.optimizer.consolidation.holding import Offers
from bayplan.optimizer.consolidation.settling import Layout, Settler
from bayplan.optimizer.problem import BoolVector, Budget, IntVector

_COLD = 0.0005  # share of the cost that a step may lose at last with a chance of 1 : e
_SETTLING = 0.15  # share of the time in which nothing is settled: every step would be better
_STEPS = 50  # between two looks at the clock
_ABOUT = 0.02  # a choice that is settled for so much more did not have the room it seemed to have
_EASIER, _HARDER = 0.9, 1.05  # the margin changes by so much when it had, or had not
_LACK = 3.0  # room that lacks costs so many times what it costs to buy
_WAYS = (0.35, 0.75, 0.9)  # chances, summed: one node, one for another, buy; else do not buy
_TOO_MANY = 3  # a move beyond the most allowed costs as much as so many moves, or pods


@dataclass(frozen=True, slots=True)
class Way:
    """How to walk.

    More room than needed is wanted by a `margin`, a share of the load: whole pods never fit
    exactly. A step may lose the share `hot` of the cost at first.
    """

    margin: float
    hot: float


@dataclass(frozen=True, slots=True, eq=False)
class _At:
    """A choice, and what it has: pods of each class, those that may not move, and room in all."""

    keep: BoolVector
    types: IntVector
    cover: IntVector
    pinned: IntVector
    room: IntVector


class Walk:
    """`cost` gives the cost of a layout, with `lean`; `best` the least that `offer` took so far."""

    def __init__(
        self,
        settler: Settler,
        dice: np.random.Generator,
        cost: Callable[[Layout], int],
        offer: Callable[[Layout], None],
        best: Callable[[], float],
    ) -> None:
        self._holding, self._offers = settler.holding, settler.offers
        self._settler, self._dice = settler, dice
        self._cost, self._offer, self._best = cost, offer, best
        holding, offers = self._holding, self._offers
        self._price = np.maximum(holding.price + holding.lean, 0).astype(np.float64)
        self._all = float(self._price.sum()) + 1.0
        dear = _TOO_MANY * float(holding.move_price.max(initial=0))
        self._too_many = max(dear, _TOO_MANY * self._all / (float(holding.wanted.sum()) + 1))
        self._loose = np.flatnonzero(~holding.stays)
        self._pinned = holding.held - holding.movable
        self._stuck = ~holding.movable.any(axis=0)
        # By class: so many pods that may not move leave with their nodes at most.
        self._may_go = self._pinned.sum(axis=0) - holding.surplus
        self._load = (holding.wanted @ holding.request).astype(np.float64)
        rates = offers.price[:, None] / np.maximum(offers.capacity, 1)
        self._lack = _LACK * rates.min(axis=0, initial=self._all)
        self._useful = _undominated(offers)
        self._seen: set[tuple[bytes, bytes]] = set()

    def run(self, budget: Budget, most_moves: int | None, start: Layout, way: Way) -> None:
        """Begin with this layout's choice, and go on until the budget ends."""
        if not len(self._loose):
            return
        now, margin = self._at(start.keep, start.types), way.margin
        value = self._value(now, most_moves, margin)
        time = budget.left()
        for turn in budget.turns():
            timed = math.isfinite(time)
            part = 1 - budget.left() / time if timed else (turn + 1) / budget.rounds
            heat = self._best() * way.hot * (_COLD / way.hot) ** part
            for chance in -heat * np.log1p(-self._dice.random(_STEPS)):
                after = self._step(now)
                new = self._value(after, most_moves, margin)
                if new - value >= chance:
                    continue
                now, value = after, new
                if value < self._best() and part > _SETTLING:
                    as_told = self._settle(now, value, most_moves)
                    margin = max(margin * (_EASIER if as_told else _HARDER), way.margin)
                    value = self._value(now, most_moves, margin)

    def _settle(self, at: _At, value: float, most_moves: int | None) -> bool:
        """Whether the choice, if it is new, can be settled for about this value."""
        key = at.keep.tobytes(), np.sort(at.types).tobytes()
        if key in self._seen:
            return True
        self._seen.add(key)
        layout = self._settler.settled(at.keep, at.types, most_moves)
        if layout is None:
            return False
        self._offer(layout)
        return self._cost(layout) <= value * (1 + _ABOUT)

    def _value(self, at: _At, most_moves: int | None, margin: float) -> float:
        """About what a choice costs at least; more where it cannot be settled at all."""
        holding = self._holding
        needed = np.maximum(holding.wanted - at.cover, 0)
        value = float(self._price[at.keep].sum() + self._offers.price[at.types].sum())
        value += float(needed @ holding.move_price)
        if most_moves is not None and (over := int(needed.sum()) - most_moves) > 0:
            value += over * self._too_many
        wrong = needed[self._stuck].sum() + np.maximum(self._may_go - at.pinned, 0).sum()
        short = np.maximum(self._load * (1 + margin) - at.room, 0)
        return value + float(wrong) * self._all + float((short * self._lack).max(initial=0.0))

    def _step(self, at: _At) -> _At:
        """A choice that differs in one or two nodes."""
        dice, way = self._dice, self._dice.random()
        first = int(dice.choice(self._loose))
        flips, types = [first], at.types
        if _WAYS[0] <= way < _WAYS[1]:
            others = self._loose[at.keep[self._loose] != at.keep[first]]
            flips += [int(dice.choice(others))] if len(others) else []
        elif _WAYS[1] <= way < _WAYS[2] and len(self._useful):
            types = np.append(types, dice.choice(self._useful))
        elif way >= _WAYS[2] and len(types):
            types = np.delete(types, dice.integers(len(types)))
        return self._changed(at, flips, types)

    def _at(self, keep: BoolVector, types: IntVector) -> _At:
        holding = self._holding
        room = keep @ holding.room + self._offers.capacity[types].sum(axis=0)
        return _At(keep, types, keep @ holding.held, keep @ self._pinned, room)

    def _changed(self, at: _At, flips: list[int], types: IntVector) -> _At:
        holding, capacity = self._holding, self._offers.capacity
        keep, cover, pinned, room = at.keep.copy(), at.cover, at.pinned, at.room
        for node in flips:
            keep[node] = not keep[node]
            sign = 1 if keep[node] else -1
            cover = cover + sign * holding.held[node]
            pinned = pinned + sign * self._pinned[node]
            room = room + sign * holding.room[node]
        if types is not at.types:
            room = room - capacity[at.types].sum(axis=0) + capacity[types].sum(axis=0)
        return _At(keep, types, cover, pinned, room)


def _undominated(offers: Offers) -> IntVector:
    """The types than which no other has as much room for less, as far as classes may use both."""
    kept = []
    for at, (price, room) in enumerate(zip(offers.price, offers.capacity, strict=True)):
        better = (offers.price < price) & (offers.capacity >= room).all(axis=1)
        better &= (offers.open | ~offers.open[:, [at]]).all(axis=0)
        if not better.any():
            kept.append(at)
    return np.array(kept, np.int64)
