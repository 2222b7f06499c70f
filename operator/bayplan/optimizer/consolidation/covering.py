"""Which nodes to keep if no pod may move: the cheapest whose pods cover what is wanted.

`Weighing` is a local search: it gives a node back, repairs what is then short with other nodes, and
weighs classes that stay short more and more. `reduced` solves the choice for some nodes exactly,
while the others stay as they are.
"""

import math

import numpy as np

from bayplan.optimizer import lp
from bayplan.optimizer.consolidation.holding import Holding
from bayplan.optimizer.problem import BoolVector, Budget, FloatVector, IntVector

_ENOUGH = 1 - 1e-9  # of what is wanted
_HEAVIER, _FADING = 0.1, 0.98  # how weights of classes grow, and fade
_HEAVY = 2.0  # when the mean of them is above this
_NOISE = 0.05
_STALE, _TORN = 150, 3  # steps without a gain, then so many nodes are taken from the best choice
_REST = 6  # steps in which a node is not changed again, at most
_STEPS = 100  # in a round
_HALF = 0.5


class Weighing:
    """The local search, from all nodes."""

    def __init__(self, holding: Holding, price: IntVector, dice: np.random.Generator) -> None:
        wanted = np.flatnonzero(holding.wanted)
        self._held = holding.held[:, wanted] / holding.wanted[wanted]
        self._price = np.maximum(price, 1).astype(np.float64)
        self._fixed = holding.stays
        self._dice = dice
        self._weight = np.ones(len(wanted))
        self._kept = np.ones(len(price), np.bool_)
        self._covered = self._held.sum(axis=0)
        self._cost = float(self._price.sum())
        self._until = np.zeros(len(price), np.int64)  # the step at which a node may change again
        self._step = 0
        self.best = self._kept.copy()
        self._least = math.inf

    def run(self, budget: Budget) -> None:
        """Search until the budget ends; `best` is the cheapest choice so far."""
        gained = self._step
        for _ in budget.turns():
            for _ in range(_STEPS):
                self._step += 1
                if self._shrunk():
                    gained = self._step
                elif self._step - gained > _STALE:
                    gained = self._step
                    self._restart()
                self._change(self._free(self._kept), keep=False)
                self._repair()
                short = self._covered < _ENOUGH
                self._weight += _HEAVIER * short
                if len(short) and self._weight.mean() > _HEAVY:
                    self._weight *= _FADING

    def _shrunk(self) -> bool:
        """Give nodes back until something is short; whether the choice before was the best."""
        gain = False
        while (self._covered >= _ENOUGH).all():
            if self._cost < self._least:
                gain, self._least, self.best = True, self._cost, self._kept.copy()
            if not self._change(np.flatnonzero(self._kept & ~self._fixed), keep=False):
                break
        return gain

    def _repair(self) -> None:
        """Keep more nodes until nothing is short, while the choice is cheaper than the best."""
        while (self._covered < _ENOUGH).any():
            able = ~self._kept & (self._cost + self._price < self._least)
            if not self._change(self._free(able), keep=True):
                break

    def _free(self, able: BoolVector) -> IntVector:
        return np.flatnonzero(able & ~self._fixed & (self._until < self._step))

    def _change(self, among: IntVector, *, keep: bool) -> bool:
        """Keep the node that helps most for its price, or give back the node that lacks least."""
        if not len(among):
            return False
        short = np.maximum(1 - self._covered, 0)
        if keep:
            score = -(np.minimum(self._held[among], short) @ self._weight)
            if not score.any():
                return False
        else:
            score = np.maximum(1 - (self._covered - self._held[among]), 0) @ self._weight
        noise = 1 + _NOISE * self._dice.random(len(among))
        node = int(among[(score / self._price[among] * noise).argmin()])
        sign = 1 if keep else -1
        self._kept[node] = keep
        self._covered = self._covered + sign * self._held[node]
        self._cost += sign * float(self._price[node])
        self._until[node] = self._step + int(self._dice.integers(1, _REST))
        return True

    def _restart(self) -> None:
        self._kept = self.best.copy()
        self._weight[:] = 1.0
        loose = np.flatnonzero(self._kept & ~self._fixed)
        torn = self._dice.choice(loose, min(_TORN, len(loose)), replace=False)
        self._kept[torn] = False
        self._until[torn] = self._step + _REST
        self._covered = self._kept @ self._held
        self._cost = float(self._kept @ self._price)


def reduced(
    holding: Holding, price: FloatVector, keep: BoolVector, free: BoolVector, seconds: float
) -> BoolVector | None:
    """A cheaper choice that differs only in the `free` nodes; None if none was found."""
    fixed = keep & ~free
    short = holding.wanted - fixed @ holding.held
    kinds = np.flatnonzero(short > 0)
    held = holding.held[np.ix_(free, kinds)]
    node, kind = np.nonzero(held)
    dearest = max(float(price.max(initial=1)), 1.0)
    highs = lp.solver()
    if math.isfinite(seconds):
        highs.setOptionValue("time_limit", max(0.01, seconds))
    now = float(price[keep & free].sum())
    highs.setOptionValue("objective_bound", (now - 1) / dearest)
    made = lp.program(
        (node, kind, held[node, kind].astype(np.float64)),
        cost=price[free] / dearest,
        upper=np.ones(int(free.sum())),
        row_lower=short[kinds].astype(np.float64),
        row_upper=np.full(len(kinds), lp.FREE),
        whole=True,
    )
    made.col_lower_ = holding.stays[free].astype(np.float64)
    highs.passModel(made)
    highs.run()
    found = np.array(highs.getSolution().col_value)
    if len(found) != free.sum():
        return None
    chosen = fixed.copy()
    chosen[free] = found > _HALF
    covers = (chosen @ holding.held >= holding.wanted).all()
    return chosen if covers and price @ chosen < price @ keep else None
