"""Turns fractions of nodes into whole nodes: plans made of patterns of a pool.

There are three ways, from quick to thorough. `completed` rounds a mix down and covers the rest
greedily with clipped patterns of the pool. `dived` fixes the surest part, generates new patterns
for the rest, and repeats this until nothing is left. `rebuilt` (in `provision`) removes some nodes
of a finished plan and dives for their pods. Every plan respects the integers of its problem.
"""

import dataclasses

import numpy as np

from bayplan.optimizer import work
from bayplan.optimizer.columns import Generator, Mixed, Pool
from bayplan.optimizer.knapsack import Beam
from bayplan.optimizer.problem import (
    Budget,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
    Problem,
)

_NEAR_WHOLE = 1e-6
_DIVE_ROUNDS, _DIVE_ROUNDS_LIMITED = 4, 16  # with few nodes left, old patterns help less
_LOOKED_AT = 8  # types that are searched for a node
_SURE = 0.75  # a fraction from which a dive rounds up
_KEPT = 0.9  # share of its worth that a pattern must keep when it is clipped
_KEPT_AT_LEAST, _KEPT_AT_MOST = 300, 1500  # patterns of a pool for a smaller demand
_WORTHY = 0.93  # share of its price that a pattern of the pool must be worth to be used


@dataclasses.dataclass(slots=True, eq=False)
class Draft:
    """An unfinished plan: its rows so far, and the remaining pods and nodes."""

    problem: Problem
    rest: IntVector  # [K] pods not yet covered
    left: IntVector | None  # [T] nodes not yet taken
    types: list[IntVector] = dataclasses.field(default_factory=list)
    patterns: list[IntMatrix] = dataclasses.field(default_factory=list)
    nodes: list[IntVector] = dataclasses.field(default_factory=list)
    cost: int = 0

    @classmethod
    def blank(cls, problem: Problem) -> "Draft":
        available = problem.available
        left = None if available is None else available.copy()
        return cls(problem, problem.demand.copy(), left)

    def copy(self) -> "Draft":
        left = None if self.left is None else self.left.copy()
        rows = (list(self.types), list(self.patterns), list(self.nodes))
        return Draft(self.problem, self.rest.copy(), left, *rows, self.cost)

    def take(self, of_type: int, pattern: IntVector, count: int) -> None:
        """Add `count` nodes of this pattern, which must not exceed what is left."""
        self.rest = self.rest - pattern * count
        if self.left is not None:
            self.left[of_type] -= count
        self.types.append(np.array([of_type]))
        self.patterns.append(pattern[None, :])
        self.nodes.append(np.array([count]))
        self.cost += int(self.problem.price[of_type]) * count

    def most(self, of_type: int, pattern: IntVector) -> int:
        """How many nodes of a pattern the remaining pods fill completely."""
        held = pattern > 0
        most = int((self.rest[held] // pattern[held]).min())
        return most if self.left is None else min(most, int(self.left[of_type]))

    def take_mix(self, pool: Pool, nodes: IntVector, worth: FloatVector) -> None:
        """Add whole nodes of patterns of the pool; patterns are clipped to the remaining pods.

        A mix may cover a class more than once. A clipped pattern is used while it keeps most of its
        worth.
        """
        for index in np.flatnonzero(nodes):
            of_type, pattern, wanted = int(pool.types[index]), pool.patterns[index], nodes[index]
            least = _KEPT * float(pattern @ worth)
            while wanted > 0 and pattern.any() and pattern @ worth >= least:
                count = min(int(wanted), self.most(of_type, pattern))
                if count > 0:
                    self.take(of_type, pattern, count)
                    wanted -= count
                elif self.left is not None and self.left[of_type] <= 0:
                    break
                pattern = np.minimum(pattern, self.rest)

    def take_all(self, types: IntVector, patterns: IntMatrix, nodes: IntVector) -> None:
        """Add the rows of another plan of the same problem."""
        kept = nodes > 0
        types, patterns, nodes = types[kept], patterns[kept], nodes[kept]
        self.rest = self.rest - nodes @ patterns
        if self.left is not None:
            np.subtract.at(self.left, types, nodes)
        self.types.append(types)
        self.patterns.append(patterns)
        self.nodes.append(nodes)
        self.cost += int(nodes @ self.problem.price[types])

    def rows(self) -> tuple[IntVector, IntMatrix, IntVector]:
        """All rows as arrays."""
        if not self.types:
            none = np.zeros(0, np.int64)
            return none, np.zeros((0, len(self.rest)), np.int64), none
        return tuple(map(np.concatenate, (self.types, self.patterns, self.nodes)))  # type: ignore[return-value]


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The input of a rounding: patterns, worth of classes, a random generator."""

    pool: Pool
    worth: FloatVector  # [K]
    prices: FloatMatrix  # [T, D] of a unit of each resource
    dice: np.random.Generator


def cheapest(problem: Problem, patterns: IntMatrix) -> IntVector:
    """[P] the cheapest type that can hold each pattern; −1 if no type can."""
    order = np.argsort(problem.price, kind="stable")
    best = np.full(len(patterns), -1)
    open_ = np.arange(len(patterns))
    for of_type in order:
        if not len(open_):
            break
        work.did(1, open_.size * patterns.shape[1] // len(order))
        fits = problem.holds(np.full(len(open_), of_type), patterns[open_])
        best[open_[fits]] = of_type
        open_ = open_[~fits]
    return best


def completed(draft: Draft, source: Source, *, noise: float = 0.0) -> Draft:
    """Cover the rest, always by the clipped pattern with the most worth for its price.

    At the end it tries a single node for all of the rest. With `noise` the worth of classes and
    patterns varies at random, so that trials differ. Pods that fit nowhere stay in `rest`.
    """
    problem, pool, worth, dice = draft.problem, source.pool, source.worth, source.dice
    value = worth * np.exp(dice.normal(0.0, noise, len(worth))) if noise else worth
    value = np.maximum(value, 1e-9 * float(value.max(initial=1.0)))
    price = problem.price.astype(np.float64)
    patterns = pool.patterns.astype(np.float64)
    cost = price[pool.types]
    if noise:
        cost = cost * np.exp(dice.normal(0.0, noise / 10, len(cost)))
    best: Draft | None = None
    while draft.rest.any():
        finish = _finished(draft)
        if finish is not None and (best is None or finish.cost < best.cost):
            best = finish
        if best is not None and draft.cost >= best.cost:
            return best
        work.did(10, patterns.size // 4)
        ratio = np.minimum(patterns, draft.rest) @ value / cost
        if draft.left is not None:
            ratio[draft.left[pool.types] <= 0] = -1.0
        index = int(ratio.argmax()) if len(ratio) else -1
        if index < 0 or ratio[index] <= 0:
            _fill_any(draft, value)
            break
        pattern = np.minimum(pool.patterns[index], draft.rest)
        of_type = int(pool.types[index])
        if draft.left is None and (pattern < pool.patterns[index]).any():
            of_type = int(cheapest(problem, pattern[None, :])[0])
        draft.take(of_type, pattern, max(1, draft.most(of_type, pattern)))
    if best is not None and (draft.rest.any() or best.cost < draft.cost):
        return best
    return draft


def _fill_any(draft: Draft, value: FloatVector) -> None:
    """Cover pods that no pattern of the pool covers: fill the best node, until nothing fits."""
    problem = draft.problem
    beam = Beam(problem)
    unit = 1.0 / np.maximum(problem.capacity.max(axis=0), 1)
    while draft.rest.any():
        sub = dataclasses.replace(problem, demand=draft.rest, available=draft.left)
        limits = sub.limits()
        if sub.available is not None:
            limits[sub.available <= 0] = 0
        open_ = np.flatnonzero(limits.any(axis=1))
        if not len(open_):
            return
        scarce = (draft.rest @ problem.request) * unit
        promise = np.minimum(problem.capacity * unit, scarce) @ scarce / problem.price
        types = open_[np.argsort(-promise[open_], kind="stable")[:_LOOKED_AT]]
        prices = np.broadcast_to(scarce * unit + unit / len(unit), problem.capacity.shape)
        found = beam.search(value, prices, limits, width=4, types=types)
        ratio = found.values / sub.price[types, None]
        row, index = np.unravel_index(int(ratio.argmax()), ratio.shape)
        of_type, pattern = int(types[row]), found.patterns[row, index]
        if not (pattern.any() and sub.holds(types[row : row + 1], pattern[None, :])[0]):
            return
        draft.take(of_type, pattern, max(1, draft.most(of_type, pattern)))


def dived(draft: Draft, source: Source, budget: Budget) -> Draft:
    """Cover the rest: fix the surest part, generate new patterns for what is left, and repeat."""
    cheapest_node = draft.problem.price.min()
    while draft.rest.any() and budget.left() > 0:
        sub = dataclasses.replace(draft.problem, demand=draft.rest, available=draft.left)
        source = dataclasses.replace(source, pool=clipped(source, sub))
        generator = Generator(
            sub, source.pool, source.dice, worth=source.worth, prices=source.prices
        )
        rounds = _DIVE_ROUNDS if sub.available is None else _DIVE_ROUNDS_LIMITED
        mixed = generator.run(dataclasses.replace(budget, rounds=rounds)).mixed
        before = int(draft.rest.sum())
        _fix(draft, source.pool, mixed)
        finish = _finished(draft)
        if finish is not None and finish.cost - draft.cost <= cheapest_node:
            return finish
        if int(draft.rest.sum()) == before:
            break
    return completed(draft, source)


def clipped(source: Source, sub: Problem) -> Pool:
    """Good patterns of the pool, clipped to a smaller demand, each on its cheapest type."""
    pool = source.pool
    types, patterns = pool.types, np.minimum(pool.patterns, sub.demand)
    if sub.available is None:
        cut = np.flatnonzero((patterns < pool.patterns).any(axis=1))
        types = types.copy()
        unique, back = np.unique(patterns[cut], axis=0, return_inverse=True)
        types[cut] = cheapest(sub, unique)[back.ravel()]
    else:
        there = sub.available[types] > 0
        types, patterns = types[there], patterns[there]
    ratio = patterns @ source.worth / sub.price[types]
    order = np.argsort(-ratio, kind="stable")
    worthy = ratio[order] > _WORTHY * ratio.max(initial=0.0)
    worthy[:_KEPT_AT_LEAST] = True
    order = order[worthy][:_KEPT_AT_MOST]
    fresh = Pool(sub)
    fresh.add(types[order], patterns[order])
    return fresh


def _fix(draft: Draft, pool: Pool, mixed: Mixed) -> None:
    """Take the whole part of a mix, and the parts that surely round up; at least one node."""
    whole = np.floor(mixed.nodes + _NEAR_WHOLE).astype(np.int64)
    draft.take_mix(pool, whole, mixed.value)
    fraction = mixed.nodes - whole
    order = np.argsort(-fraction, kind="stable")
    taken = bool(whole.any())
    for index in order:
        if fraction[index] <= _NEAR_WHOLE or (taken and fraction[index] < _SURE):
            break
        of_type, pattern = int(pool.types[index]), pool.patterns[index]
        if draft.most(of_type, pattern) > 0:
            draft.take(of_type, pattern, 1)
            taken = True


def _finished(draft: Draft) -> Draft | None:
    """The draft with another node for all of the rest, if a type holds it."""
    types = np.arange(len(draft.problem.price))
    if draft.left is not None:
        types = np.flatnonzero(draft.left > 0)
    load = draft.rest @ draft.problem.request
    types = types[(load <= draft.problem.capacity[types]).all(axis=1)]
    if not len(types):
        return None
    rest = np.broadcast_to(draft.rest, (len(types), len(draft.rest)))
    types = types[draft.problem.holds(types, rest)]
    if not len(types):
        return None
    finish = draft.copy()
    finish.take(int(types[draft.problem.price[types].argmin()]), draft.rest.copy(), 1)
    return finish
