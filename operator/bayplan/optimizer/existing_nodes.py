"""Chooses which nodes of an existing pool to use and which to leave empty, with a bound.

Nodes that are equal in room, price and eligibility form a type of limited number, so that
`provision` can choose among them. If hardly any nodes are equal (partly filled nodes), similar
nodes form a group with the least room of the group: the plan then fits every member, and the rest
of the room is filled at the end. The bound is computed over every single node with its full room.
"""

import dataclasses

import numpy as np

from bayplan.optimizer import fill
from bayplan.optimizer.bound import fluid
from bayplan.optimizer.knapsack import Relaxation
from bayplan.optimizer.problem import (
    BoolMatrix,
    Budget,
    FloatVector,
    IntMatrix,
    IntVector,
    Packing,
    Problem,
)
from bayplan.optimizer.provision import proven

Proven = tuple[Packing, FloatVector]  # class values [K] that its bound rests on
_GROUPS = 96  # types that column generation is quick with
_GRIDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # widths of a grid step, as shares
_SAFETY = 1e-9
_BOUND_SECONDS = 0.5


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Use:
    """Copies of each class per node; nodes without copies cost nothing."""

    counts: IntMatrix  # [N, K]
    unplaced: IntVector  # [K]
    cost: int  # microdollars an hour of the nodes in use
    bound: int  # least cost of placing as many of each class on these nodes

    @property
    def gap(self) -> float:
        """(cost − bound) ÷ bound; 0 if nothing has a price."""
        return (self.cost - self.bound) / self.bound if self.bound else 0.0


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """N nodes: free room, microdollars an hour (0: paid in any case), classes that may use it."""

    free: IntMatrix  # [N, D]
    price: IntVector  # [N]
    may: BoolMatrix | None = None  # [K, N]


def used(
    pool: Pool,
    demand: IntVector,
    request: IntMatrix,
    budget: Budget,
    *,
    per_node: IntVector | None = None,
    seed: int = 0,
) -> Use:
    """The cheapest use of a pool that was found; never more expensive than the bulk fill."""
    free = np.maximum(pool.free, 0)
    quick = fill.placed(free, request, demand, pool.price, may=pool.may, per_node=per_node)
    group = _groups(pool, free)
    first = np.unique(group, return_index=True)[1]
    members = np.bincount(group)
    room = np.full((len(members), free.shape[1]), np.iinfo(np.int64).max)
    np.minimum.at(room, group, free)
    problem = Problem.of(
        demand,
        request,
        room,
        np.maximum(pool.price[first], 1),
        eligible=None if pool.may is None else pool.may[:, first],
        per_node=per_node,
        available=members,
    )
    packing, value = proven(problem, budget, seed)
    counts = _spread_out(packing, group, len(quick))
    counts = _topped_up(pool, free, problem, counts)
    if _rank(quick, demand, pool.price) < _rank(counts, demand, pool.price):
        counts = quick
    placed = counts.sum(axis=0)
    return Use(
        counts=counts,
        unplaced=demand - placed,
        cost=int(pool.price[counts.any(axis=1)].sum()),
        bound=_bound(pool, free, problem.with_demand(placed), group, (packing, value)),
    )


def _spread_out(packing: Packing, group: IntVector, nodes: int) -> IntMatrix:
    """[N, K]: the patterns on the members of their groups, the first members first."""
    counts = np.zeros((nodes, len(packing.unplaced)), np.int64)
    members = {of: np.flatnonzero(group == of) for of in np.unique(packing.types)}
    taken = dict.fromkeys(members, 0)
    for of, pattern, wanted in zip(packing.types, packing.patterns, packing.nodes, strict=True):
        counts[members[of][taken[of] : taken[of] + wanted]] = pattern
        taken[of] += wanted
    return counts


def _groups(pool: Pool, free: IntMatrix) -> IntVector:
    """[N] group numbers: equal in price and eligibility, equal or similar in room."""
    fixed: IntMatrix = pool.price[:, None]
    if pool.may is not None:
        fixed = np.column_stack((fixed, np.packbits(pool.may, axis=0).T))
    keys = np.column_stack((fixed, free))
    for grid in _GRIDS:
        group: IntVector = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
        if len(group) == 0 or group.max() < _GROUPS:
            break
        steps = np.floor(np.log(np.maximum(free, 1)) / np.log1p(grid)).astype(np.int64)
        keys = np.column_stack((fixed, steps))
    return group


def _topped_up(pool: Pool, free: IntMatrix, problem: Problem, counts: IntMatrix) -> IntMatrix:
    """Place what the plan left out into the remaining room, on used nodes first."""
    rest = problem.demand - counts.sum(axis=0)
    if not rest.any():
        return counts
    room = free - counts @ problem.request
    price = np.where(counts.any(axis=1), 0, pool.price)
    may = (counts < problem.per_node).T
    if pool.may is not None:
        may = may & pool.may
    per_node = problem.per_node
    more = fill.placed(room, problem.request, rest, price, may=may, per_node=per_node)
    topped: IntMatrix = counts + np.minimum(more, np.maximum(per_node - counts, 0))
    return topped


def _rank(counts: IntMatrix, demand: IntVector, price: IntVector) -> tuple[int, int]:
    return int((demand - counts.sum(axis=0)).sum()), int(price[counts.any(axis=1)].sum())


def _bound(pool: Pool, free: IntMatrix, problem: Problem, group: IntVector, proof: Proven) -> int:
    """Least cost of placing the problem's demand on the pool's nodes.

    With exact groups it is the packing's own bound. Otherwise it is value × pods, minus the amount
    by which each node's best filling exceeds its price. This holds for any class values, and for
    any resource prices that bound a filling.
    """
    packing, value = proof
    exact = (problem.capacity[group] == free).all()
    if exact and (packing.unplaced == 0).all():
        return max(0, packing.bound - int((pool.price == 0).sum()))
    roomiest = np.zeros_like(problem.capacity)
    np.maximum.at(roomiest, group, free)
    generous = dataclasses.replace(problem, capacity=roomiest)
    guesses = [value]
    start = fluid(generous, _BOUND_SECONDS) if problem.demand.any() else None
    if start is not None:
        guesses.append(start.value)
    return max(_bound_of(pool, free, generous, group, guess) for guess in guesses)


def _bound_of(
    pool: Pool, free: IntMatrix, problem: Problem, group: IntVector, value: FloatVector
) -> int:
    """The bound that follows from class values, over every single node."""
    limits = problem.limits()
    prices = Relaxation(problem, limits).multipliers(value)[group]  # [N, D]
    ceiling = (prices * free).sum(axis=1)
    for k, request in enumerate(problem.request):
        most = np.minimum(fill.fit(free, request), min(problem.demand[k], problem.per_node[k]))
        if pool.may is not None:
            most = most * pool.may[k]
        ceiling += most * np.maximum(value[k] - prices @ request, 0.0)
    over = float(np.maximum(ceiling * (1 + _SAFETY) - pool.price, 0.0).sum())
    paid = float(value @ problem.demand)
    return max(0, int(paid - over - (paid + over) * _SAFETY))
