"""Column generation over classes: patterns of nodes, a linear program that mixes them, a proof.

This is Gilmore and Gomory's scheme with node types as bins of different price. The master program
covers the demand with known patterns at least cost; its duals are the worth of a pod of each class;
the beam looks for patterns that are worth more than their node costs. Values are smoothed towards
those of the best bound so far (Wentges); without this they swing and the bound improves slowly. The
pool of patterns is kept, because rounding uses it.
"""

import dataclasses
import math

import numpy as np

from bayplan.optimizer import lp, work
from bayplan.optimizer.bound import farley, fluid
from bayplan.optimizer.knapsack import Beam, Relaxation, ceiling, exact
from bayplan.optimizer.problem import (
    Budget,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
    Problem,
)

_GRACE_SECONDS = 1.0  # a program that is cut short has no duals, so it may end a little late
_UNPLACED = 20.0  # times the price of the dearest node: the cost of a pod that is left out
_SMOOTHING = 0.5
_IMPROVES = 1e-7
_NOISE = 0.02
_PER_ROUND = 400  # columns added at most
_WIDTH, _WIDEST = 16, 1024
_TYPES = 48  # types that every round searches again
_TYPES_AT_ONCE = 8
_HOPEFUL = 0.9  # share of its price that a type's best filling must promise
_STALLED = 3  # times that the beam is widened before it gives up
_SETTLED_AT_MOST = 12  # types solved exactly in one go


class Pool:
    """All known patterns, without duplicates, as growing arrays."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.types: IntVector = np.zeros(0, np.int64)
        self.patterns: IntMatrix = np.zeros((0, len(problem.demand)), np.int64)
        self._seen: set[bytes] = set()

    def __len__(self) -> int:
        return len(self.types)

    def add(self, types: IntVector, patterns: IntMatrix) -> int:
        """Add patterns that are new, not empty and fit (integers decide); returns how many."""
        good = patterns.any(axis=1)
        types, patterns = types[good], patterns[good]
        good = self.problem.holds(types, patterns)
        work.did(5 + len(types) // 16, patterns.size)
        fresh = []
        for index in np.flatnonzero(good):
            key = types[index].tobytes() + patterns[index].tobytes()
            if key not in self._seen:
                self._seen.add(key)
                fresh.append(index)
        self.types = np.concatenate((self.types, types[fresh]))
        self.patterns = np.concatenate((self.patterns, patterns[fresh]))
        return len(fresh)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """The master's answer: nodes (fractions) per pattern, and the worth of classes and rights."""

    nodes: FloatVector  # [P]
    value: FloatVector  # [K]
    right: FloatVector  # [T]
    cost: float


class Master:
    """The linear program over a pool's patterns; it grows with the pool.

    Its first K columns leave a pod out, at a price so high that they are the last resort.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        problem = pool.problem
        self._classes, self._types = len(problem.demand), len(problem.price)
        self._dollars = float(problem.price.max())
        self._loaded = 0
        lower, upper = problem.demand.astype(np.float64), np.full(self._classes, lp.FREE)
        if problem.available is not None:
            lower = np.concatenate((lower, np.full(self._types, -lp.FREE)))
            upper = np.concatenate((upper, problem.available.astype(np.float64)))
        every = np.arange(self._classes)
        self._solver = lp.solver()
        self._solver.passModel(
            lp.program(
                (every, every, np.ones(self._classes)),
                cost=np.full(self._classes, _UNPLACED),
                upper=np.full(self._classes, lp.FREE),
                row_lower=lower,
                row_upper=upper,
            )
        )

    def solve(self, seconds: float) -> Mixed:
        """Add the new patterns of the pool, and solve again from the last basis."""
        self._load()
        if np.isfinite(seconds):
            end = self._solver.getRunTime() + seconds + _GRACE_SECONDS
            self._solver.setOptionValue("time_limit", float(end))
        self._solver.run()
        work.solved(self._solver)
        solution = self._solver.getSolution()
        duals = np.array(solution.row_dual) * self._dollars
        right = np.zeros(self._types)
        if self.pool.problem.available is not None:
            right = np.maximum(-duals[self._classes :], 0.0)
        return Mixed(
            nodes=np.array(solution.col_value)[self._classes :],
            value=np.maximum(duals[: self._classes], 0.0),
            right=right,
            cost=float(self._solver.getInfo().objective_function_value) * self._dollars,
        )

    def _load(self) -> None:
        problem = self.pool.problem
        types, patterns = self.pool.types[self._loaded :], self.pool.patterns[self._loaded :]
        column, row = np.nonzero(patterns)
        value = patterns[column, row].astype(np.float64)
        if problem.available is not None:
            column = np.concatenate((column, np.arange(len(types))))
            row = np.concatenate((row, self._classes + types))
            value = np.concatenate((value, np.ones(len(types))))
        count = len(types)
        starts, rows, values = lp.columnwise((column, row, value), count)
        self._solver.addCols(
            count,
            problem.price[types] / self._dollars,
            np.zeros(count),
            np.full(count, lp.FREE),
            len(values),
            starts[:-1],
            rows,
            values,
        )
        self._loaded = len(self.pool)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """The end of a generation: the last mix, and the best bound that was found."""

    mixed: Mixed
    bound: int  # of the problem's cost; 0 if no bound was wanted


Proof = tuple[FloatVector, FloatVector, FloatVector]  # value [K], upper [T], right [T]


class Generator:
    """Generates patterns for one problem into a pool until nothing improves or the budget ends.

    `worth` and `prices` may come from a larger problem: then it looks only for patterns, not for a
    bound.
    """

    def __init__(
        self,
        problem: Problem,
        pool: Pool,
        dice: np.random.Generator,
        *,
        worth: FloatVector | None = None,
        prices: FloatMatrix | None = None,
        seconds: float = math.inf,
    ) -> None:
        self.problem, self.pool, self._dice = problem, pool, dice
        self.limits = problem.limits()
        self._beam = Beam(problem)
        self._master = Master(pool)
        self._proving = worth is None
        self.bound = 0
        self.right = np.zeros(len(problem.price))
        if worth is None:
            start = fluid(problem, seconds)
            worth = _share_of_price(problem)
            if start is not None:
                worth, prices, self.right = start.value, start.multipliers, start.right
        self.worth = worth
        self._relaxation = self._relaxed(prices)
        if self._proving:
            upper = self._relaxation.upper(worth, self._relaxation.multipliers(worth))
            self.bound = farley(problem, worth, upper, self.right)
            self.proof: Proof = (worth, upper, self.right)

    @property
    def prices(self) -> FloatMatrix:
        """[T, D] the last worth of a unit of each resource."""
        return self._relaxation.prices

    def _relaxed(self, prices: FloatMatrix | None) -> Relaxation:
        """The relaxation of the most promising types at given prices; of all types if few."""
        solved = None
        if prices is not None and len(self.limits) > _TYPES and self.problem.available is None:
            upper = ceiling(self.problem, self.limits, self.worth, prices)
            solved = np.sort(np.argsort(-upper / self.problem.price, kind="stable")[:_TYPES])
        return Relaxation(self.problem, self.limits, solved=solved, prices=prices)

    def seed(self) -> None:
        """Patterns that make the first mix feasible: each class alone, each type well filled."""
        alone = np.diag(self.limits.max(axis=0))
        self.pool.add(self.limits.argmax(axis=0), alone)
        self._price(self.worth, self.right, _WIDTH)

    def run(self, budget: Budget, *, gap: float = 1e-4) -> Generated:
        """Run rounds of pricing and mixing; if a narrow beam finds nothing, widen it."""
        self._price(self.worth, self.right, _WIDTH)
        mixed = self._master.solve(budget.limit())
        width, stalled = _WIDTH, 0
        for _ in budget.turns():
            smooth = _SMOOTHING * self.worth + (1 - _SMOOTHING) * mixed.value
            right = _SMOOTHING * self.right + (1 - _SMOOTHING) * mixed.right
            added = self._price(smooth, right, width, judge=mixed)
            if not added:
                added = self._price(mixed.value, mixed.right, width, judge=mixed)
            if self.bound >= mixed.cost * (1 - gap):
                break
            if not added:
                stalled += 1
                width = min(4 * width, _WIDEST)
                if stalled > _STALLED:
                    added = self._settle(mixed, budget)
                    if not added:
                        break
            else:
                stalled = 0
            if added:
                mixed = self._master.solve(budget.limit())
        return Generated(mixed=mixed, bound=self.bound)

    def _price(
        self, value: FloatVector, right: FloatVector, width: int, *, judge: Mixed | None = None
    ) -> int:
        """Search the most promising types at these values; keep patterns that pay at `judge`."""
        multipliers = self._relaxation.multipliers(value)
        upper = self._relaxation.upper(value, multipliers)
        net = self.problem.price + right
        promise = upper / net
        hopeful = self._relaxation.solved
        if judge is not None:
            hopeful = hopeful[np.argsort(-promise[hopeful], kind="stable")[:_TYPES_AT_ONCE]]
            hopeful = hopeful[promise[hopeful] >= min(_HOPEFUL, float(promise[hopeful[0]]))]
        found = self._beam.search(
            value,
            multipliers,
            self.limits,
            width=width,
            noise=_NOISE,
            hint=self._relaxation.filling,
            types=hopeful,
            dice=self._dice,
        )
        upper[hopeful] = np.minimum(upper[hopeful], found.upper)
        self._prove(value, right, upper)
        types = np.repeat(hopeful, found.patterns.shape[1])
        patterns = found.patterns.reshape(len(types), -1)
        if judge is None:
            return self.pool.add(types, patterns)
        gain = (patterns @ judge.value) / (self.problem.price + judge.right)[types] - 1
        useful = np.flatnonzero(gain > _IMPROVES)
        best = useful[np.argsort(-gain[useful], kind="stable")[:_PER_ROUND]]
        return self.pool.add(types[best], patterns[best])

    def _settle(self, mixed: Mixed, budget: Budget) -> int:
        """If the widest beam leaves only few types in doubt, solve these exactly."""
        if not self._proving:
            return 0
        value, net = mixed.value, self.problem.price + mixed.right
        multipliers = self._relaxation.multipliers(value)
        upper = self._relaxation.upper(value, multipliers)
        doubtful = np.flatnonzero(upper > net * (1 + _IMPROVES))
        if len(doubtful) > _SETTLED_AT_MOST:
            return 0
        added = 0
        for of_type in doubtful:
            if budget.left() <= 0:
                return added
            limits = self.limits[of_type]
            pattern, most = exact(self.problem, int(of_type), value, limits, budget.limit() / 4)
            upper[of_type] = min(upper[of_type], most)
            if pattern @ value > net[of_type] * (1 + _IMPROVES):
                added += self.pool.add(np.array([of_type]), pattern[None, :])
        self._prove(value, mixed.right, upper)
        return added

    def _prove(self, value: FloatVector, right: FloatVector, upper: FloatVector) -> None:
        if self._proving:
            least = farley(self.problem, value, upper, right)
            if least > self.bound:
                self.bound, self.worth, self.right = least, value, right
                self.proof = (value, upper.copy(), right)


def _share_of_price(problem: Problem) -> FloatVector:
    """[K] a first guess of worth: the share of the cheapest node's price that a pod takes."""
    worth = np.full(len(problem.demand), np.inf)
    for of_type, (room, price) in enumerate(zip(problem.capacity, problem.price, strict=True)):
        share = (problem.request / np.maximum(room, 1)).max(axis=1) * price
        np.minimum(worth, share, out=worth, where=problem.eligible[:, of_type])
    return np.where(np.isfinite(worth), worth, 0.0)
