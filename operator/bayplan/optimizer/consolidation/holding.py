"""The values of a consolidation: what a pool's nodes hold, what may be bought, and the answer.

Only arrays, as in `problem`. Some pods of a class may be more than are wanted: the rest leaves, and
which of them leave is free to choose. Every other pod of a node that is given back moves, which has
a price. `Consolidated` says which nodes are kept, which pods leave, which move, and what is bought.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

from bayplan.optimizer.problem import (
    UNLIMITED,
    BoolMatrix,
    BoolVector,
    IntMatrix,
    IntVector,
)

_THOUSAND = 1000


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Share:
    """An even spread: the pods of some classes, counted by group of nodes after all moves.

    A group number of −1 means that the node belongs to no group: its pods are not counted. Where
    the pods of today break the limits, and leaving cannot mend it, the limits give way: `possible`.
    """

    kinds: tuple[int, ...]
    group: IntVector  # [N] number of each node's group
    least: IntVector  # [G]
    most: IntVector  # [G]
    offered: IntVector  # [T] number of the group that a bought node of the offer joins

    def possible(self, held: IntMatrix, surplus: IntVector) -> Self:
        """The limits that can be kept if nothing moves.

        A group needs no more pods than it has, and none if more pods leave than that allows. If too
        few pods leave to bring every group down to its most, a group may keep what it has.
        """
        kinds = list(self.kinds)
        count = np.zeros(len(self.least), np.int64)
        counted = self.group >= 0
        np.add.at(count, self.group[counted], held[counted][:, kinds].sum(axis=1))
        leaving = int(surplus[kinds].sum())
        least, most = np.minimum(self.least, count), self.most
        if leaving > held[:, kinds].sum() - least.sum():
            least = np.zeros_like(least)
        if leaving < np.maximum(count - most, 0).sum():
            most = np.maximum(most, count)
        return dataclasses.replace(self, least=least, most=most)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Holding:
    """N nodes and the movable pods of K classes on them; D resources. Made by `Holding.of`.

    A node's `room` is for these pods alone. Pods that are `held` now may stay even if the node is
    too small for them or closed to their class; a pod comes only where there is room for it.
    """

    price: IntVector  # [N] microdollars an hour
    lean: IntVector  # [N] added to the price when nodes are chosen; not part of any cost
    room: IntMatrix  # [N, D]
    held: IntMatrix  # [N, K]
    movable: IntMatrix  # [N, K] how many of the held pods may move; the others stay or leave
    stays: BoolVector  # [N] nodes that are kept in any case
    wanted: IntVector  # [K] at most what is held; the rest leaves
    request: IntMatrix  # [K, D]
    open: BoolMatrix  # [K, N] whether a pod of the class may come to the node
    move_price: IntVector  # [K] microdollars an hour for one move
    per_node: IntVector  # [K] copies above which no pod comes to a node
    shares: tuple[Share, ...]
    former: BoolVector  # [N] nodes that the last answer kept: the search begins with them

    @classmethod
    def of(
        cls,
        price: IntVector,
        room: IntMatrix,
        held: IntMatrix,
        wanted: IntVector,
        request: IntMatrix,
        *,
        lean: IntVector | None = None,
        stays: BoolVector | None = None,
        open: BoolMatrix | None = None,  # noqa: A002  the field's name
        move_price: IntVector | None = None,
        per_node: IntVector | None = None,
        may_move: BoolVector | None = None,
        movable: IntMatrix | None = None,
        shares: Sequence[Share] = (),
        former: BoolVector | None = None,
    ) -> Self:
        """A holding; arguments that are left out do not constrain it.

        `may_move` [K] names classes of which pods may move; `movable` [N, K] limits it by node.
        Raises ValueError if more is wanted than held, or for wrong shapes.
        """
        nodes, classes = held.shape
        shapes = (len(price), len(room), len(wanted), len(request), request.shape[1])
        if shapes != (nodes, nodes, classes, classes, room.shape[1]):
            raise ValueError(f"{shapes} are not the shapes of {nodes} nodes, {classes} classes")
        if (wanted > held.sum(axis=0)).any():
            raise ValueError("more pods are wanted than are held")
        free = held if movable is None else np.minimum(movable, held)
        if may_move is not None:
            free = free * may_move
        return cls(
            price=price,
            lean=np.zeros(nodes, np.int64) if lean is None else lean,
            room=room,
            held=held,
            movable=free,
            stays=np.zeros(nodes, np.bool_) if stays is None else stays,
            wanted=wanted,
            request=request,
            open=np.ones((classes, nodes), np.bool_) if open is None else open,
            move_price=np.zeros(classes, np.int64) if move_price is None else move_price,
            per_node=np.full(classes, UNLIMITED) if per_node is None else per_node,
            shares=tuple(shares),
            former=np.ones(nodes, np.bool_) if former is None else former,
        )

    def with_shares(self, shares: Sequence[Share]) -> Self:
        """The same holding with other even spreads."""
        return dataclasses.replace(self, shares=tuple(shares))

    @property
    def sizes(self) -> IntVector:
        """[K] how large a pod is by the resource of which it takes most, beside the largest room.

        In thousandths, and at least 1.
        """
        largest = self.room.max(axis=0, initial=1).clip(min=1)
        sizes: IntVector = (self.request * _THOUSAND // largest).max(axis=1, initial=0) + 1
        return sizes

    @property
    def surplus(self) -> IntVector:
        """[K] pods that leave."""
        surplus: IntVector = self.held.sum(axis=0) - self.wanted
        return surplus


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Offers:
    """T kinds of nodes that may be bought, as many as wanted; T may be 0."""

    price: IntVector  # [T] microdollars an hour, above 0
    capacity: IntMatrix  # [T, D]
    open: BoolMatrix  # [K, T]

    @classmethod
    def none(cls, holding: Holding) -> Self:
        """Nothing is for sale."""
        classes, resources = holding.request.shape
        return cls(
            np.zeros(0, np.int64),
            np.zeros((0, resources), np.int64),
            np.zeros((classes, 0), np.bool_),
        )


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Consolidated:
    """Which nodes are kept, which pods leave, which move, what is bought.

    Of a node's pods `leave` leave, `out` move away, and the others stay; `into` come from other
    nodes. Each row of `bought` is a node to buy. `cost` is the price of all these nodes plus
    the price of all moves; `bound` is proven: no answer with as many moves as allowed costs less.
    """

    keep: BoolVector  # [N]
    leave: IntMatrix  # [N, K]
    out: IntMatrix  # [N, K]
    into: IntMatrix  # [N, K]
    types: IntVector  # [B] of each bought node
    bought: IntMatrix  # [B, K]
    cost: int  # microdollars an hour
    bound: int  # microdollars an hour

    @property
    def moves(self) -> int:
        return int(self.out.sum())

    @property
    def gap(self) -> float:
        """(cost − bound) ÷ bound; 0 if nothing costs anything."""
        return (self.cost - self.bound) / self.bound if self.bound else 0.0
