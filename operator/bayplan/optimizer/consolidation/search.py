"""Finds which nodes to keep, which pods leave or move, and what to buy; with a proven bound.

First all nodes stay, so that there always is an answer, and those that the last answer kept. Then
nodes that cover what is wanted without a move; of many nodes the relaxation's choices, settled in
whole pods; a walk through choices (`walking`); small changes of the best choice; and pods that move
are packed anew. Each step has a share of the time. If nothing may move, some of the nodes are
chosen anew exactly instead, again and again.
"""

import dataclasses
import math

import numpy as np

from bayplan.optimizer.consolidation.covering import Weighing, reduced
from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.optimizer.consolidation.relaxation import Caution, Choice, Relaxation
from bayplan.optimizer.consolidation.repacking import repacked
from bayplan.optimizer.consolidation.settling import Layout, Settler
from bayplan.optimizer.consolidation.walking import Walk, Way
from bayplan.optimizer.problem import BoolVector, Budget, IntMatrix, IntVector

_GOOD_ENOUGH = 1e-5
_MARGINS = (0.003, 0.01, 0.02)  # shares of nodes that the relaxation leaves free
_GAP = 1e-3  # of a choice that is settled with a loss anyway
# shares of the time after which the next step begins
_COVERING, _WALKING, _CHOOSING, _SKETCHING, _VARYING, _REPACKING = 0.06, 0.6, 0.75, 0.8, 0.9, 0.95
_FAR = 0.02  # share of the cost by which the walk may miss the bound, and no choice is looked for
_WALKS = ((0.5, Way(0.01, 0.01)), (1.0, Way(0.005, 0.001)))  # until a share of it
_MANY = 300  # nodes: of so many the walk changes too few, so the relaxation chooses first
_STILL_COVERING, _STILL_CHOOSING = 0.2, 0.5  # the same if nothing may move
_WIDE = 0.005  # share of the cost by which it may exceed the bound before the bound is improved
_ROUNDS = 40  # of a repacking
_REPACKED = 2
_TRIES = 100  # changes in a round
_WAYS = (0.7, 0.5, 0.3, 0.3)  # chances: a node is given back, kept again, bought, not bought
_WARM = 4e-3  # share of the cost that a change may lose at first
_LOOSE = (40, 0.04, 1.1)  # nodes that are chosen anew at once; more if it took fewer seconds
_REDUCING_SECONDS = 1.0


def consolidated(
    holding: Holding,
    offers: Offers,
    budget: Budget,
    *,
    seed: int = 0,
    most_moves: int | None = None,
) -> Consolidated:
    """The cheapest answer found with at most so many moves, never dearer than keeping all nodes.

    Even spreads are kept as far as they are `possible`. A spread that could not be kept beside
    those before it, with all nodes kept, gives way.
    """
    holding = _keepable(holding, offers)
    search = _Search(holding, offers, budget, np.random.default_rng(seed), most_moves)
    search.offer(search.settle(np.ones(len(holding.price), np.bool_), np.zeros(0, np.int64)))
    former = holding.former | holding.stays
    if not former.all():
        search.offer(search.settle(former, np.zeros(0, np.int64)))
    if most_moves == 0:
        search.cover(budget.until(_STILL_COVERING))
        search.prove(budget.until(_STILL_CHOOSING))
        search.reduce(budget)
    else:
        if holding.surplus.any():
            search.cover(budget.until(_COVERING))
        search.measure()
        search.improve(budget.until(_REPACKING))
        search.prove(budget)
    return _answer(holding, offers, search.best, search.bound)


def _keepable(holding: Holding, offers: Offers) -> Holding:
    """The holding with the spreads that hold if all nodes are kept."""
    surplus = holding.surplus
    possible = [each.possible(holding.held, surplus) for each in holding.shares]
    every, none = np.ones(len(holding.price), np.bool_), np.zeros(0, np.int64)
    kept = holding.with_shares(possible)
    if Settler(kept, offers).settled(every, none, 0) is not None:
        return kept
    kept = holding.with_shares(())
    for share in possible:
        more = kept.with_shares((*kept.shares, share))
        if Settler(more, offers).settled(every, none, 0) is not None:
            kept = more
    return kept


class _Search:
    """The best layout so far, the bound, and the ways to improve them."""

    def __init__(
        self,
        holding: Holding,
        offers: Offers,
        budget: Budget,
        dice: np.random.Generator,
        most_moves: int | None,
    ) -> None:
        self._holding, self._offers = holding, offers
        self._budget, self._dice = budget, dice
        self._most = most_moves
        self._settler = Settler(holding, offers)
        self._price = np.maximum(holding.price + holding.lean, 0)
        self.bound = 0
        self._least = 0
        self.best: Layout
        self._candidates: list[tuple[int, Layout]] = []  # with the least that each could cost
        self._relaxation = Relaxation(holding, offers)
        self._cost = math.inf
        self._walk = Walk(self._settler, dice, self.cost, self.offer, lambda: self._cost)

    def settle(self, keep: BoolVector, types: IntVector) -> Layout | None:
        return self._settler.settled(keep, types, self._most)

    def cost(self, layout: Layout) -> int:
        """What is minimised: with `lean`."""
        nodes = int(layout.keep @ self._price) + int(self._offers.price[layout.types].sum())
        return nodes + int(layout.moves() @ self._holding.move_price)

    def offer(self, layout: Layout | None) -> None:
        if layout is not None and self.cost(layout) < self._cost:
            self.best, self._cost = layout, self.cost(layout)

    @property
    def open(self) -> bool:
        return self._cost > self._least * (1 + _GOOD_ENOUGH)

    def measure(self) -> None:
        """Find a bound: nodes may be divided, which is quick."""
        seconds = self._budget.limit()
        fluid = self._relaxation.chosen(self._most, seconds=seconds, whole=False)
        if fluid is not None:
            self._note(fluid)

    def improve(self, budget: Budget) -> None:
        """Look for something better until the budget ends."""
        left, end = budget.left(), budget.seconds

        def until(share: float) -> Budget:
            rest = (1 - share / _REPACKING) * left if end < math.inf else 0.0
            return dataclasses.replace(budget, seconds=end - rest)

        self.walk(until(_WALKING))
        if self._cost > self._least * (1 + _FAR):
            self.choose(until(_CHOOSING))
            self.sketch(until(_SKETCHING))
        self.vary(until(_VARYING))
        self.repack(budget)

    def walk(self, budget: Budget) -> None:
        """Walk through choices: first far, then near the best one."""
        left, end = budget.left(), budget.seconds
        for share, way in _WALKS:
            rest = (1 - share) * left if end < math.inf else 0.0
            part = dataclasses.replace(budget, seconds=end - rest)
            if self.open:
                self._walk.run(part, self._most, self.best, way)

    def cover(self, budget: Budget) -> None:
        """The cheapest nodes found whose own pods cover what is wanted: nothing moves."""
        weighing = Weighing(self._holding, self._price, self._dice)
        weighing.run(budget)
        self.offer(self.settle(weighing.best, np.zeros(0, np.int64)))

    def reduce(self, budget: Budget) -> None:
        """Choose some nodes anew exactly, again and again, without any move."""
        size, quick, more = float(_LOOSE[0]), _LOOSE[1], _LOOSE[2]
        count = len(self._price)
        for _ in budget.turns():
            if not self.open or budget.left() <= 0:
                return
            free = np.zeros(count, np.bool_)
            free[self._dice.choice(count, min(int(size), count), replace=False)] = True
            begun = budget.spent()
            seconds = min(_REDUCING_SECONDS, budget.limit())
            keep = reduced(self._holding, self._price, self.best.keep, free, seconds)
            if keep is not None:
                self.offer(self.settle(keep, np.zeros(0, np.int64)))
            elif budget.spent() - begun < quick:
                size *= more
            else:
                size /= more

    def choose(self, budget: Budget) -> None:
        """Settle the relaxation's careful choices."""
        for number, margin in enumerate(_MARGINS):
            if not self.open or budget.left() <= 0:
                break
            choice = self._relaxation.chosen(
                self._most,
                caution=Caution(margin),
                gap=_GAP,
                seconds=budget.limit(1 / (len(_MARGINS) - number)),
                rounds=budget.rounds,
                start=self._as_choice(),
            )
            if choice is None:
                continue
            types = np.repeat(np.arange(len(self._offers.price)), choice.buy)
            layout = self.settle(choice.keep, types)
            self.offer(layout)
            if layout is not None:
                self._candidates.append((0, layout))

    def prove(self, budget: Budget) -> None:
        """Improve the bound, if it is far below the cost; the proof's own choice is settled."""
        if self._cost <= self._least * (1 + _WIDE) or budget.left() <= 0:
            return
        choice = self._relaxation.chosen(
            self._most, seconds=budget.limit(), rounds=budget.rounds, start=self._as_choice()
        )
        if choice is not None:
            self._note(choice)
            types = np.repeat(np.arange(len(self._offers.price)), choice.buy)
            self.offer(self.settle(choice.keep, types))

    def sketch(self, budget: Budget) -> None:
        """Pack the moving pods of each choice again in short time: which could become cheapest."""
        choices, self._candidates = self._candidates, []
        for number, (_, layout) in enumerate(choices):
            self._repack(layout, budget, budget.left() / (len(choices) - number))

    def repack(self, budget: Budget) -> None:
        """Pack again the pods of the best choice, and of the choice that could become cheapest."""
        self._repack(self.best, budget, budget.left() / 3)
        for _ in range(_REPACKED):
            if not self._candidates:
                return
            index = min(range(len(self._candidates)), key=lambda each: self._candidates[each][0])
            least, layout = self._candidates.pop(index)
            if least < self._cost:
                self._repack(layout, budget, budget.left())

    def _repack(self, layout: Layout, budget: Budget, seconds: float) -> None:
        if not self.open or seconds <= 0:
            return
        begun = budget.spent()
        part = dataclasses.replace(
            budget,
            seconds=seconds,
            rounds=min(budget.rounds, _ROUNDS),
            spent=lambda: budget.spent() - begun,
        )
        found = repacked(self._holding, self._offers, layout, part, 0)
        if found is not None:
            self._candidates.append((self.cost(found[0]) - found[1], found[0]))
            self.offer(found[0])

    def _note(self, choice: Choice) -> None:
        self.bound = max(self.bound, choice.bound)
        self._least = max(self._least, choice.least)

    def _as_choice(self) -> Choice:
        buy = np.bincount(self.best.types, minlength=len(self._offers.price))
        return Choice(self.best.keep, buy)

    def vary(self, budget: Budget) -> None:
        """Change the choice a little, again and again; a change that loses little is kept too."""
        now, cost = self.best, self._cost
        start = budget.left()
        for turn in budget.turns():
            left = budget.left() / start if start < math.inf else 0.5**turn
            for _ in range(_TRIES):
                if not self.open or budget.left() <= 0:
                    return
                keep, types = self._changed(now)
                allowed = self._cost * _WARM * left * self._dice.random()
                if self._settler.least(keep, types) >= cost + allowed:
                    continue
                layout = self.settle(keep, types)
                if layout is None:
                    continue
                new = self.cost(layout)
                if new < cost + allowed:
                    now, cost = layout, new
                    self.offer(layout)

    def _changed(self, layout: Layout) -> tuple[BoolVector, IntVector]:
        """A choice that differs in one or two nodes."""
        dice = self._dice
        keep, types = layout.keep.copy(), layout.types
        kept, closed = np.flatnonzero(keep & ~self._holding.stays), np.flatnonzero(~keep)
        close, reopen, buy, forgo = dice.random(4) < _WAYS
        if close and len(kept):
            keep[dice.choice(kept)] = False
        if reopen and len(closed):
            keep[dice.choice(closed)] = True
        if forgo and len(types):
            types = np.delete(types, dice.integers(len(types)))
        if buy and len(self._offers.price) and self._most != 0:
            types = np.append(types, dice.integers(len(self._offers.price)))
        return keep, types


def _answer(holding: Holding, offers: Offers, layout: Layout, bound: int) -> Consolidated:
    leave, out = _parted(holding, layout)
    cost = int(layout.keep @ holding.price) + int(offers.price[layout.types].sum())
    cost += int(layout.moves() @ holding.move_price)
    return Consolidated(
        keep=layout.keep,
        leave=leave,
        out=out,
        into=layout.into,
        types=layout.types,
        bought=layout.bought,
        cost=cost,
        bound=min(bound, cost),
    )


def _parted(holding: Holding, layout: Layout) -> tuple[IntMatrix, IntMatrix]:
    """[N, K] of the pods that lose their place: those that leave, and those that move.

    Pods leave where they may not move, then on kept nodes, then on the nodes that save most for
    each pod, so that as many nodes as possible empty without a move.
    """
    gone = holding.held - layout.stay
    leave = np.maximum(gone - holding.movable, 0)
    rest = holding.surplus - leave.sum(axis=0)
    saves = holding.price / np.maximum(gone.sum(axis=1), 1)
    order = np.lexsort((-saves, ~layout.keep))
    for node in order:
        more = np.minimum(gone[node] - leave[node], rest)
        leave[node] += more
        rest -= more
    return leave, gone - leave
