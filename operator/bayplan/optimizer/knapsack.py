"""Filling one node as valuably as possible, for many node types at once.

`Beam` goes through the classes, the most valuable for their room first, and keeps the `width` most
promising partial fillings of every type. What a partial filling can still become is bounded under
several prices for the room it has left (the linear relaxation's, each resource alone, mixtures): a
filling that has run out of one resource is seen through at once. So one call yields many good and
different patterns AND, since whatever was dropped had a bound, a proven upper bound for each type.
`Relaxation` gives the prices, `exact` settles a single type. Floats propose patterns;
`Problem.holds` lets integers decide.
"""

import dataclasses
from typing import Any

import numpy as np

from bayplan.optimizer import lp, work
from bayplan.optimizer.problem import (
    BoolMatrix,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
    Problem,
)

_HALF = 0.5  # added before a floor: exact for integers below 2**50, divided by reciprocals
_BUCKET = 0.01  # classes this close in value for room count as equal: the larger goes first
_FEWER = np.array([0.0, 1.0, 2.0])
_LEAST_PRICE = 1e-7  # of a node's worth, spread over each resource
_MOST_BRANCHES = 2_000
_SOLVER_ERROR = 1e-6  # the mixed-integer solver's tolerances, added to its bound


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Fillings:
    """The beam's last row: B patterns for each of T types, and the proof."""

    patterns: IntMatrix  # [T, B, K]
    values: FloatMatrix  # [T, B] under the given class values
    upper: FloatVector  # [T] no filling of the type is worth more


class Relaxation:
    """The linear knapsack of many types as one program; solved again as class values change.

    Types not among `solved` keep the prices they are given: their bound holds, but loosens.
    """

    def __init__(
        self,
        problem: Problem,
        limits: IntMatrix,
        *,
        solved: IntVector | None = None,
        prices: FloatMatrix | None = None,
    ) -> None:
        self.solved = np.arange(len(limits)) if solved is None else solved
        self.prices = np.zeros(problem.capacity.shape) if prices is None else prices.copy()
        self.filling = np.zeros(limits.shape)  # [T, K] the last call's answer, in fractions
        self._problem = problem
        self._limits = limits.astype(np.float64)
        self._request = problem.request.astype(np.float64)
        self._capacity = problem.capacity.astype(np.float64)
        self._resources = problem.capacity.shape[1]
        self._unit = np.maximum(self._capacity.max(axis=0), 1.0)
        self._row, self._of_class = np.nonzero(limits[self.solved])
        self._solver = lp.solver()
        self._solver.setOptionValue("simplex_strategy", 4)  # primal: only the values ever change
        self._load()

    def multipliers(self, value: FloatVector) -> FloatMatrix:
        """[T, D] prices of a unit of each resource on each type, never negative."""
        count = len(self._of_class)
        cells = np.arange(count, dtype=np.int32)
        self._solver.changeColsCost(count, cells, value[self._of_class])
        self._solver.run()
        work.solved(self._solver)
        solution = self._solver.getSolution()
        duals = np.array(solution.row_dual)
        if len(duals) == len(self.solved) * self._resources:
            self.filling[self.solved[self._row], self._of_class] = np.array(solution.col_value)
            prices = np.maximum(duals.reshape(len(self.solved), -1), 0.0) / self._unit
            self.prices[self.solved] = prices
        return self.prices

    def upper(self, value: FloatVector, multipliers: FloatMatrix) -> FloatVector:
        """[T] no filling is worth more."""
        return ceiling(self._problem, self._limits, value, multipliers)

    def _load(self) -> None:
        scaled = (self._request / self._unit)[self._of_class]
        column, resource = np.nonzero(scaled)
        row = self._row[column] * self._resources + resource
        room = (self._capacity[self.solved] / self._unit).ravel()
        self._solver.passModel(
            lp.program(
                (column, row, scaled[column, resource]),
                cost=np.zeros(len(scaled)),
                upper=self._limits[self.solved[self._row], self._of_class],
                row_lower=np.full(len(room), -lp.FREE),
                row_upper=room,
                maximise=True,
            )
        )


def ceiling(
    problem: Problem, limits: IntMatrix | FloatMatrix, value: FloatVector, prices: FloatMatrix
) -> FloatVector:
    """[T] no filling of a type is worth more: holds for ANY prices [T, D] that are not negative."""
    reduced = value[None, :] - prices @ problem.request.T
    gain = (limits * np.maximum(reduced, 0.0)).sum(axis=1)
    upper: FloatVector = gain + (prices * problem.capacity).sum(axis=1)
    return upper


def exact(
    problem: Problem, of_type: int, value: FloatVector, limits: IntVector, seconds: float
) -> tuple[IntVector, float]:
    """The best filling of one type found in `seconds`, and what no filling exceeds.

    Without an end in `seconds` the search ends after so many branches that it takes about one.

    Pairs that must not meet are ignored: the bound still holds, the pattern may not.
    """
    unit = np.maximum(problem.capacity[of_type].astype(np.float64), 1.0)
    scaled = problem.request / unit
    column, resource = np.nonzero(scaled)
    highs = lp.solver()
    if np.isfinite(seconds):
        highs.setOptionValue("time_limit", float(seconds))
    else:
        highs.setOptionValue("mip_max_nodes", _MOST_BRANCHES)
    highs.passModel(
        lp.program(
            (column, resource, scaled[column, resource]),
            cost=value,
            upper=limits.astype(np.float64),
            row_lower=np.full(len(unit), -lp.FREE),
            row_upper=problem.capacity[of_type] / unit,
            maximise=True,
            whole=True,
        )
    )
    highs.run()
    work.solved(highs)
    found = np.array(highs.getSolution().col_value)
    pattern = np.round(found).astype(np.int64) if len(found) else np.zeros(len(value), np.int64)
    upper = float(highs.getInfo().mip_dual_bound)
    return pattern, upper * (1 + _SOLVER_ERROR) if np.isfinite(upper) else np.inf


class Beam:
    """Searches fillings of a problem's types; holds what does not change between calls."""

    def __init__(self, problem: Problem) -> None:
        self._request = problem.request.astype(np.float64)
        self._capacity = problem.capacity.astype(np.float64)
        self._conflicts = problem.conflicts
        largest = np.maximum(self._capacity.max(axis=0), 1.0)
        share = self._request / largest
        self._size = share.max(axis=1) + share.sum(axis=1) / 100
        self._scale = 1.0 / largest
        self._by_all = np.flatnonzero((self._request > 0).all(axis=0))

    def search(
        self,
        value: FloatVector,
        multipliers: FloatMatrix,
        limits: IntMatrix,
        *,
        width: int,
        noise: float = 0.0,
        hint: FloatMatrix | None = None,
        types: IntVector | None = None,
        dice: np.random.Generator | None = None,
    ) -> Fillings:
        """Fillings of at most `limits` [T, K] copies; `multipliers` [T, D] guide and bound them.

        `noise` shakes the order of the classes, so that calls differ; `hint` [T, K] names counts
        worth trying (the relaxation's). `types` are the rows to search, and the rows answered.
        """
        rows = np.arange(len(limits)) if types is None else types
        prices = self._padded(multipliers[rows], self._capacity[rows])
        ways = self._ways(value, prices, limits[rows], noise, dice)
        near = None if hint is None else np.take_along_axis(hint[rows], ways.order, axis=1)
        state = _State.empty(self._capacity[rows], ways, self._conflicts)
        ceiling = np.minimum(
            state.worth[0] + ways.later[:, :1],
            (state.worth * ways.density[:, :, :1]).min(axis=0),
        )[:, 0]
        dropped = np.zeros(len(rows))
        trail: list[tuple[IntMatrix, FloatMatrix]] = []
        for step in range(ways.order.shape[1]):
            counts = _choices(state.fits(ways, step), None if near is None else near[:, step])
            kept, lost = state.choose(ways, step, counts, width)
            np.maximum(dropped, lost, out=dropped)
            trail.append(state.advance(ways, step, counts, kept))
        work.searched(len(trail), sum(parents.size for parents, _ in trail))
        patterns = _traced(trail, ways.order, len(value))
        dead = np.isneginf(state.got)
        patterns[dead] = 0
        values = np.where(dead, 0.0, state.got)
        upper = np.minimum(ceiling, np.maximum(dropped, values.max(axis=1)))
        return Fillings(patterns=patterns, values=values, upper=upper)

    def _ways(
        self,
        value: FloatVector,
        multipliers: FloatMatrix,
        limits: IntMatrix,
        noise: float,
        dice: np.random.Generator | None,
    ) -> "_Ways":
        """Everything the steps need, in each type's own order of classes."""
        limits = np.where(value > 0, limits, 0)
        room_price = multipliers @ self._request.T  # [T, K] of one pod's request
        smallest = 1e-12 * float(value.max(initial=1.0))
        key = np.where(limits > 0, value / np.maximum(room_price, smallest), 0.0)
        if noise and dice is not None:
            key = key * np.exp(dice.normal(0.0, noise, key.shape))
        key = np.floor(np.minimum(key, 1e6) / _BUCKET) * 1e3 + self._size
        order = np.argsort(-np.where(limits > 0, key, -1.0), axis=1, kind="stable")
        order = order[:, : int((limits > 0).sum(axis=1).max(initial=0))]

        limit = np.take_along_axis(limits, order, axis=1).astype(np.float64)
        request = self._request[order]  # [T, S, D]
        price = np.take_along_axis(room_price, order, axis=1)
        views = self._views(multipliers)
        cost = np.einsum("jtd,tsd->jts", views, request)
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.where(limit > 0, value[order] / cost, 0.0)
        asked = request > 0
        return _Ways(
            order=order,
            limit=limit,
            value=value[order],
            request=_by_step(request),
            inverse=_by_step(np.where(asked, 1.0 / np.where(asked, request, 1.0), 0.0)),
            unasked=_by_step(np.where(asked, 0.0, np.inf)),
            views=views,
            cost=cost,
            later=_after(limit * np.maximum(value[order] - price, 0.0), np.add),
            density=np.minimum(_after(each, np.maximum), 1e30),
        )

    def _padded(self, multipliers: FloatMatrix, capacity: FloatMatrix) -> FloatMatrix:
        """Prices under which every class costs something: a free class would have no density."""
        worth = (multipliers * capacity).sum(axis=1, keepdims=True)
        least: FloatMatrix = np.where(worth > 0, _LEAST_PRICE * worth, 1.0) * self._scale
        return np.asarray(multipliers + least)

    def _views(self, multipliers: FloatMatrix) -> Any:
        """[J, T, D] prices of room under which to doubt a filling.

        The relaxation's own; each resource alone that all classes ask for (what runs out ends it);
        the relaxation's with one resource doubled.
        """
        views = [multipliers]
        for resource in self._by_all:
            alone = np.zeros_like(multipliers)
            alone[:, resource] = self._scale[resource]
            views.append(alone)
        for resource in np.flatnonzero((multipliers > 0).any(axis=0)):
            tilted = multipliers.copy()
            tilted[:, resource] *= 2.0
            views.append(tilted)
        return np.stack(views)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """The classes of each type in the order they are tried; S steps, J views of the room."""

    order: IntMatrix  # [T, S]
    limit: FloatMatrix  # [T, S]
    value: FloatMatrix  # [T, S]
    request: Any  # [S, D, T, 1]
    inverse: Any  # [S, D, T, 1] 1 ÷ request
    unasked: Any  # [S, D, T, 1] infinite where nothing is asked
    views: Any  # [J, T, D]
    cost: Any  # [J, T, S] of one pod's room
    later: FloatMatrix  # [T, S + 1] most that later classes add beyond the room's price
    density: Any  # [J, T, S + 1] most that later classes pay for a unit of room


@dataclasses.dataclass(slots=True, eq=False)
class _State:
    """B partial fillings of each type."""

    room: Any  # [D, T, B]
    got: FloatMatrix  # [T, B] value so far
    worth: Any  # [J, T, B] what the room is worth under each view
    free: Any  # [T, B, K] classes that may still come, None without conflicts
    conflicts: BoolMatrix | None

    @classmethod
    def empty(cls, capacity: FloatMatrix, ways: _Ways, conflicts: BoolMatrix | None) -> "_State":
        types = len(capacity)
        return cls(
            room=np.ascontiguousarray(capacity.T)[:, :, None],
            got=np.zeros((types, 1)),
            worth=np.einsum("jtd,td->jt", ways.views, capacity)[:, :, None],
            free=None if conflicts is None else np.ones((types, 1, len(conflicts)), np.bool_),
            conflicts=conflicts,
        )

    def fits(self, ways: _Ways, step: int) -> FloatMatrix:
        """[T, B] copies of the step's class that still fit."""
        each = (self.room + _HALF) * ways.inverse[step] + ways.unasked[step]
        fits: FloatMatrix = np.minimum(each.min(axis=0), ways.limit[:, step, None])
        fits = np.maximum(np.floor(fits, out=fits), 0.0, out=fits)
        if self.free is None:
            return fits
        width = np.arange(fits.shape[1])
        allowed: FloatMatrix = (
            fits * self.free[np.arange(len(fits))[:, None], width, ways.order[:, step, None]]
        )
        return allowed

    def choose(
        self, ways: _Ways, step: int, counts: Any, width: int
    ) -> tuple[IntMatrix, FloatVector]:
        """The `width` most promising choices of each type, and the best bound among the others."""
        got, worth = self._priced(ways, step, counts)
        hope = (worth * ways.density[:, :, step + 1, None, None]).min(axis=0)
        bound = got + np.minimum(worth[0] + ways.later[:, step + 1, None, None], hope)
        bound[counts < 0] = -np.inf
        flat = bound.reshape(len(bound), -1)
        if flat.shape[1] <= width:
            return np.broadcast_to(np.arange(flat.shape[1]), flat.shape), np.zeros(len(flat))
        kept = np.argpartition(-flat, width - 1, axis=1)[:, :width]
        flat[np.arange(len(flat))[:, None], kept] = -np.inf
        return kept, flat.max(axis=1)

    def advance(
        self, ways: _Ways, step: int, counts: Any, kept: IntMatrix
    ) -> tuple[IntMatrix, FloatMatrix]:
        """Become the kept choices; returns whose child each is, and the copies it took."""
        parent, option = kept // counts.shape[2], kept % counts.shape[2]
        row = np.arange(len(kept))[:, None]
        taken = counts[row, parent, option]
        dead = taken < 0
        taken = np.where(dead, 0.0, taken)
        self.got = self.got[row, parent] + taken * ways.value[:, step, None]
        self.got[dead] = -np.inf
        self.worth = self.worth[:, row, parent] - taken * ways.cost[:, :, step, None]
        self.room = self.room[:, row, parent] - taken * ways.request[step]
        if self.conflicts is not None:
            against = self.conflicts[ways.order[:, step]][:, None, :]
            self.free = self.free[row, parent] & ~((taken > 0)[:, :, None] & against)
        return parent, taken

    def _priced(self, ways: _Ways, step: int, counts: Any) -> tuple[Any, Any]:
        """Value [T, B, O] and room left [J, T, B, O] after each choice."""
        got = self.got[:, :, None] + counts * ways.value[:, step, None, None]
        worth = self.worth[:, :, :, None] - counts * ways.cost[:, :, step, None, None]
        return got, worth


def _choices(fits: FloatMatrix, near: FloatVector | None) -> Any:
    """[T, B, 7] how many copies to try, each number once, below 0 for no choice.

    All that fit, one and two less, none, half; and the two numbers around the relaxation's.
    """
    counts = np.full((*fits.shape, 7), -1.0)
    least = fits - 2
    half = np.floor(fits / 2)
    counts[:, :, :3] = fits[:, :, None] - _FEWER
    counts[:, :, 3] = np.where(least > 0, 0.0, -1.0)
    counts[:, :, 4] = np.where(half < least, half, -1.0)
    if near is not None:
        low = np.floor(near + 1e-6)[:, None]
        fresh = (low < least) & (low != half) & (low > 0)
        counts[:, :, 5] = np.where(fresh, low, -1.0)
        fresh = (low + 1 < least) & (low + 1 != half)
        counts[:, :, 6] = np.where(fresh, low + 1, -1.0)
    return counts


def _by_step(each: Any) -> Any:
    """[T, S, D] → [S, D, T, 1]: what one step needs lies together."""
    return np.ascontiguousarray(each.transpose(1, 2, 0))[:, :, :, None]


def _after(each: Any, operation: np.ufunc) -> Any:
    """[…, S + 1] the operation over all later steps; 0 after the last."""
    tail = operation.accumulate(each[..., ::-1], axis=-1)[..., ::-1]
    return np.concatenate((tail, np.zeros((*each.shape[:-1], 1))), axis=-1)


def _traced(
    trail: list[tuple[IntMatrix, FloatMatrix]], order: IntMatrix, classes: int
) -> IntMatrix:
    """[T, B, K] the patterns, read backwards through the parents."""
    types = len(order)
    width = trail[-1][0].shape[1] if trail else 1
    patterns = np.zeros((types, width, classes), np.int64)
    rows = np.arange(types)[:, None]
    cells = np.arange(width)[None, :]
    at = np.broadcast_to(cells, (types, width))
    for step in range(len(trail) - 1, -1, -1):
        parent, taken = trail[step]
        patterns[rows, cells, order[:, step, None]] = taken[rows, at]
        at = parent[rows, at]
    return patterns
