"""The values of the packing optimiser: the problem, the packing, the budget.

Everything is an integer array: classes of equal pods are rows with a count, node types are rows
with a price in microdollars an hour. The caller keeps names, labels and constraints, and gives them
as numbers: an eligibility mask, a cap per node, pairs that must not be on the same node. A
`Packing` says how many nodes of which type hold which pattern, with a proof of how good that is.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Self

import numpy as np
import numpy.typing as npt

from bayplan.optimizer import work

IntVector = npt.NDArray[np.int64]
IntMatrix = npt.NDArray[np.int64]
FloatVector = npt.NDArray[np.float64]
FloatMatrix = npt.NDArray[np.float64]
BoolVector = npt.NDArray[np.bool_]
BoolMatrix = npt.NDArray[np.bool_]

UNLIMITED = 1 << 40
_FIRST = ("cpu", "memory")


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """K classes, T node types, D resources; all int64 but the masks. Made by `Problem.of`."""

    demand: IntVector  # [K] pods of each class
    request: IntMatrix  # [K, D] what one pod asks for
    capacity: IntMatrix  # [T, D] what one node has for pods
    price: IntVector  # [T] microdollars an hour, above 0
    eligible: BoolMatrix  # [K, T]
    per_node: IntVector  # [K] copies one node may hold
    available: IntVector | None  # [T] nodes there are; None: as many as wanted
    conflicts: BoolMatrix | None  # [K, K] symmetric: never on the same node
    columns: tuple[str, ...]  # [D] names of the resources

    @classmethod
    def of(
        cls,
        demand: IntVector,
        request: IntMatrix,
        capacity: IntMatrix,
        price: IntVector,
        *,
        eligible: BoolMatrix | None = None,
        per_node: IntVector | None = None,
        available: IntVector | None = None,
        conflicts: BoolMatrix | None = None,
        columns: Sequence[str] | None = None,
    ) -> Self:
        """A problem; arguments that are left out do not constrain it. ValueError for wrong shapes.

        Without `columns` the resources are CPU, memory, then resources without a name.
        """
        classes, types = len(demand), len(price)
        if eligible is None:
            eligible = np.ones((classes, types), np.bool_)
        if per_node is None:
            per_node = np.full(classes, UNLIMITED)
        if columns is None:
            columns = [*_FIRST, *map(str, range(len(_FIRST), request.shape[1]))]
            columns = columns[: request.shape[1]]
        shapes = (request.shape[0], capacity.shape[0], eligible.shape, request.shape[1])
        if shapes != (classes, types, (classes, types), capacity.shape[1]):
            raise ValueError(f"{shapes} are not the shapes of {classes} classes, {types} types")
        if len(columns) != request.shape[1]:
            raise ValueError(f"{len(columns)} names for {request.shape[1]} resources")
        return cls(
            demand,
            request,
            capacity,
            price,
            eligible,
            per_node,
            available,
            conflicts,
            tuple(columns),
        )

    def columns_of(self, names: Sequence[str]) -> IntVector:
        """The columns of these resources; resources that the problem does not have are left out."""
        known = [self.columns.index(name) for name in names if name in self.columns]
        return np.array(known, dtype=np.int64)

    def limits(self) -> IntMatrix:
        """[T, K]: the most copies of a class that a node of a type can hold by itself."""
        most: IntMatrix = np.minimum(self.demand, self.per_node)[None, :] * self.eligible.T
        for request, capacity in zip(self.request.T, self.capacity.T, strict=True):
            asked = request > 0
            most[:, asked] = np.minimum(most[:, asked], capacity[:, None] // request[None, asked])
        np.maximum(most, 0, out=most)
        return most

    def placeable(self) -> BoolVector:
        """[K]: the classes whose pods fit some type."""
        limits = self.limits()
        if self.available is not None:
            limits = limits[self.available > 0]
        return np.asarray((limits > 0).any(axis=0))

    def holds(self, types: IntVector, patterns: IntMatrix) -> BoolVector:
        """[P]: whether a node of its type can hold each pattern, with caps; integers decide."""
        too_much = (patterns @ self.request > self.capacity[types]).any(axis=1)
        too_much |= ((patterns > 0) & ~self.eligible.T[types]).any(axis=1)
        too_much |= (patterns > self.per_node).any(axis=1)
        if self.conflicts is not None:
            present = (patterns > 0).astype(np.int64)
            too_much |= ((present @ self.conflicts) * present).any(axis=1)
        return np.asarray(~too_much)

    @property
    def digest(self) -> bytes:
        """Names demand, requests, types and eligibility; not caps, stock and conflicts."""
        parts = (self.demand, self.request, self.capacity, self.price, self.eligible)
        return b"".join(part.tobytes() for part in parts)

    def with_demand(self, demand: IntVector) -> "Problem":
        """The same problem with other counts."""
        return dataclasses.replace(self, demand=demand)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """P patterns: `nodes[p]` nodes of type `types[p]` each hold `patterns[p]` pods by class.

    `bound` is proven: no plan that places as many pods of each class costs less.
    """

    types: IntVector  # [P]
    patterns: IntMatrix  # [P, K]
    nodes: IntVector  # [P]
    unplaced: IntVector  # [K]
    cost: int  # microdollars an hour
    bound: int  # microdollars an hour

    @classmethod
    def of(
        cls, problem: Problem, types: IntVector, patterns: IntMatrix, nodes: IntVector, bound: int
    ) -> Self:
        """Sums of the rows with nodes; the rows must not hold more than the demand."""
        kept = (nodes > 0) & patterns.any(axis=1)
        types, patterns, nodes = types[kept], patterns[kept], nodes[kept]
        return cls(
            types=types,
            patterns=patterns,
            nodes=nodes,
            unplaced=problem.demand - nodes @ patterns,
            cost=int(nodes @ problem.price[types]),
            bound=bound,
        )

    @property
    def gap(self) -> float:
        """(cost − bound) ÷ bound; 0 where nothing costs anything."""
        return (self.cost - self.bound) / self.bound if self.bound else 0.0

    @property
    def node_count(self) -> int:
        return int(self.nodes.sum())


@dataclasses.dataclass(frozen=True, slots=True)
class Budget:
    """How long to improve: until the stopwatch shows `seconds`, or `rounds` are done.

    The caller gives the stopwatch. Without it only rounds count, and with `of_work` only work: then
    the same input gives the same plan, however busy the machine is.
    """

    seconds: float = math.inf
    rounds: int = 1 << 30
    spent: Callable[[], float] = float  # 0.0: no time passes
    timed: bool = True  # whether the solver may stop by its own clock
    pace: Callable[[], float] = lambda: 1.0  # how many seconds that shows in one of the stopwatch

    @classmethod
    def of_work(cls, seconds: float) -> Self:
        """A budget of counted work, about as much as a free core does in these seconds."""
        start = work.done()
        return cls(seconds=seconds, spent=lambda: work.done() - start, timed=False)

    def left(self) -> float:
        """Seconds, never below 0."""
        return max(0.0, self.seconds - self.spent())

    def limit(self, part: float = 1.0) -> float:
        """Seconds after which the solver stops by its own clock, for a part of what is left."""
        return self.left() * part * self.pace() if self.timed else math.inf

    def until(self, share: float) -> "Budget":
        """A budget with the same stopwatch that ends at a share of the seconds."""
        return dataclasses.replace(self, seconds=self.seconds * share)

    def turns(self) -> Iterator[int]:
        """0, 1, 2 … while there is time and rounds are left."""
        turn = 0
        while turn < self.rounds and self.left() > 0:
            yield turn
            turn += 1


def undominated(problem: Problem) -> IntVector:
    """The types that no other type dominates (at least as much room for at most the price).

    A dominating type must also be open to every class that may use this type. No plan is lost. If
    the number of nodes is limited, all types are kept. Of equal types the first stays.
    """
    if problem.available is not None:
        return np.arange(len(problem.price))
    keep = []
    for index, (room, price) in enumerate(zip(problem.capacity, problem.price, strict=True)):
        better = (problem.capacity >= room).all(axis=1) & (problem.price <= price)
        own = problem.eligible[:, index]
        better &= (problem.eligible | ~own[:, None]).all(axis=0)
        same = (problem.capacity == room).all(axis=1) & (problem.price == price)
        same &= (problem.eligible == own[:, None]).all(axis=0)
        better &= ~same | (np.arange(len(better)) < index)
        if not better.any():
            keep.append(index)
    return np.array(keep, np.int64)
