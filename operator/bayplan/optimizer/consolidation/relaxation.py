"""A small mixed-integer program that chooses which nodes to keep and to buy; with a proven bound.

Nodes are whole, pods and their places are not: similar nodes form a group, and the pods that come
to a group have the free room of its kept nodes and of the pods that leave them. So the program has
a column per node, and few more. The plain program allows everything that is possible, so its bound
holds. What it chooses must still be settled in whole pods; so there is a `Caution`: a part of each
node counts as full, few moves are better, and large pods come only to nodes with room for them.
"""

import dataclasses
import math

import highspy
import numpy as np

from bayplan.optimizer import fill, lp
from bayplan.optimizer.consolidation.holding import Holding, Offers
from bayplan.optimizer.problem import (
    BoolVector,
    FloatMatrix,
    FloatVector,
    IntMatrix,
    IntVector,
)

_GROUPS = 24
_GRIDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # widths of a grid step, as shares
_SOLVER_ERROR = 1e-6  # HiGHS's tolerances, taken off its bound
_GAP = 1e-4
_LARGE = 4  # copies of a large pod that a node has room for, at most
_NODES_A_ROUND = 50  # of the branch-and-bound tree, if rounds are counted instead of seconds


@dataclasses.dataclass(frozen=True, slots=True)
class Caution:
    """Makes choices that can be settled: their objective is no bound."""

    margin: float  # share of a node that counts as full
    wariness: float = 0.04  # price of a move, as a share of the mean price of a pod


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The nodes to keep and how many to buy, and what is proven."""

    keep: BoolVector  # [N]
    buy: IntVector  # [T]
    least: int = 0  # no choice costs less, with `lean`
    bound: int = 0  # no choice costs less, without it


class Relaxation:
    """The program of a holding. It can be solved again for other margins and numbers of moves."""

    def __init__(self, holding: Holding, offers: Offers) -> None:
        self._holding, self._offers = holding, offers
        self._unit = np.maximum(
            np.concatenate((holding.room, offers.capacity)).max(axis=0, initial=1), 1
        ).astype(np.float64)
        self._group = _groups(holding, self._unit)

    def chosen(
        self,
        most_moves: int | None,
        *,
        caution: Caution | None = None,
        gap: float = _GAP,
        seconds: float = math.inf,
        rounds: int = 1 << 30,
        start: Choice | None = None,
        whole: bool = True,
    ) -> Choice | None:
        """The best choice found in time, from a known one; None if none was found.

        Unless `whole`, parts of nodes are possible: this is quick, and only its bound is of use.
        """
        program = _Program(
            self._holding,
            self._offers,
            self._group,
            self._unit,
            caution=caution,
            most_moves=most_moves,
        )
        highs = lp.solver()
        highs.passModel(program.made(whole=whole))
        if math.isfinite(seconds):
            highs.setOptionValue("time_limit", max(0.01, float(seconds)))
        if rounds < 1 << 20:
            highs.setOptionValue("mip_max_nodes", _NODES_A_ROUND * rounds)
        highs.setOptionValue("mip_rel_gap", gap)
        if start is not None and whole:
            values = np.concatenate((start.keep, start.buy)).astype(np.float64)
            highs.setSolution(len(values), np.arange(len(values), dtype=np.int32), values)
        highs.run()
        found = np.array(highs.getSolution().col_value)
        info = highs.getInfo()
        if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None
        nodes, types = len(self._holding.price), len(self._offers.price)
        least = float(info.mip_dual_bound if whole else info.objective_function_value)
        return Choice(
            keep=found[:nodes] > 0.5,  # noqa: PLR2004  half a node
            buy=np.round(found[nodes : nodes + types]).astype(np.int64),
            least=program.least(least),
            bound=program.bound(least),
        )


class _Program:
    """Columns: nodes, offers, then pods (leaving a group, coming to a group, to an offer)."""

    def __init__(
        self,
        holding: Holding,
        offers: Offers,
        group: IntVector,
        unit: FloatVector,
        *,
        caution: Caution | None,
        most_moves: int | None,
    ) -> None:
        self._holding, self._offers, self._group = holding, offers, group
        self._still = most_moves == 0
        self._most = lp.FREE if most_moves is None else float(most_moves)
        self._room = np.maximum(holding.room, holding.held @ holding.request)
        self._request = holding.request / unit
        self._free = (self._room - holding.held @ holding.request) / unit
        self._caution = caution
        margin = 0.0 if caution is None else caution.margin
        self._free -= margin * holding.room / unit
        self._capacity = offers.capacity / unit * (1 - margin)
        self._entries: list[tuple[IntVector, IntVector, FloatVector]] = []
        self._lower: list[FloatVector] = []
        self._upper: list[FloatVector] = []
        self._rows = 0
        nodes, types = len(holding.price), len(offers.price)
        self._leaving, self._coming, self._bought = self._cells()
        sizes = (nodes, types, len(self._leaving), len(self._coming), len(self._bought))
        self._first = np.concatenate(([0], np.cumsum(sizes)))
        self._write()

    @property
    def _priced(self) -> IntVector:
        holding = self._holding
        priced: IntVector = np.maximum(holding.price + holding.lean, 0)
        return priced

    def _cells(self) -> tuple[IntMatrix, IntMatrix, IntMatrix]:
        """Pairs (group or offer, class) of pods that may leave, come and be bought for."""
        holding, offers = self._holding, self._offers
        none = np.zeros((0, 2), np.int64)
        groups = int(self._group.max(initial=-1)) + 1
        shape = (groups, len(holding.wanted))
        held, comes = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        np.logical_or.at(held, self._group, holding.held > 0)
        if self._still:
            leaving = np.argwhere(held) if holding.shares else none
            return leaving, none, none
        moves = holding.movable.any(axis=0) & (holding.wanted > 0)
        fits = np.column_stack([fill.fit(self._room, each) for each in holding.request])
        np.logical_or.at(comes, self._group, (fits > 0) & holding.open.T & moves)
        fits = np.column_stack([fill.fit(offers.capacity, each) for each in holding.request])
        bought = (fits > 0) & offers.open.T & moves
        return np.argwhere(held), np.argwhere(comes), np.argwhere(bought)

    def _write(self) -> None:
        holding = self._holding
        node, kind = np.nonzero(holding.held)
        count = holding.held[node, kind].astype(np.float64)
        self._add(node, kind, count)
        self._pods(self._leaving, self._leaving[:, 1], -1.0, 2)
        self._pods(self._coming, self._coming[:, 1], 1.0, 3)
        self._pods(self._bought, self._bought[:, 1], 1.0, 4)
        self._close(holding.wanted.astype(np.float64), lp.FREE)
        if len(self._leaving):
            self._only_who_is_there(node, kind, count)
        if not self._still:
            self._rooms()
            cells = len(self._coming) + len(self._bought)
            self._add(self._first[3] + np.arange(cells), np.zeros(cells, np.int64), np.ones(cells))
            self._close(np.array([-lp.FREE]), self._most)
            if self._caution is not None:
                self._places()
        self._pins()
        self._spreads(node, kind, count)

    def _only_who_is_there(self, node: IntVector, kind: IntVector, count: FloatVector) -> None:
        """No more pods leave a group than its kept nodes hold."""
        number = np.full((int(self._group.max()) + 1, len(self._holding.wanted)), -1)
        number[tuple(self._leaving.T)] = np.arange(len(self._leaving))
        self._pods(self._leaving, np.arange(len(self._leaving)), 1.0, 2)
        self._add(node, number[self._group[node], kind], -count)
        self._close(np.full(len(self._leaving), -lp.FREE), 0.0)

    def _rooms(self) -> None:
        resources = self._request.shape[1]
        groups, types = int(self._group.max(initial=-1)) + 1, len(self._offers.price)
        nodes = np.arange(len(self._group))
        for resource in range(resources):
            asked = self._request[:, resource]
            self._add(nodes, self._group * resources + resource, -self._free[:, resource])
            for cells, sign, block in ((self._leaving, -1.0, 2), (self._coming, 1.0, 3)):
                rows = cells[:, 0] * resources + resource
                self._pods(cells, rows, sign * asked[cells[:, 1]], block)
        self._close(np.full(groups * resources, -lp.FREE), 0.0)
        offers = self._first[1] + np.arange(types)
        for resource in range(resources):
            rows = np.arange(types) * resources + resource
            self._add(offers, rows, -self._capacity[:, resource])
            rows = self._bought[:, 0] * resources + resource
            self._pods(self._bought, rows, self._request[self._bought[:, 1], resource], 4)
        self._close(np.full(types * resources, -lp.FREE), 0.0)

    def _places(self) -> None:
        """Only surplus pods leave; no more pods of a class come than whole nodes have room for."""
        holding = self._holding
        surplus = holding.surplus
        self._pods(self._leaving, self._leaving[:, 1], 1.0, 2)
        self._close(np.full(len(surplus), -lp.FREE), surplus.astype(np.float64))
        room = holding.room - holding.held @ holding.request
        room += np.minimum(holding.held, surplus) @ holding.request
        fits = np.column_stack([fill.fit(room, each) for each in holding.request])
        fits = np.minimum(fits, holding.wanted) * holding.open.T
        large = fits.max(axis=0, initial=0) <= _LARGE
        number = np.full((int(self._group.max(initial=-1)) + 1, len(large)), -1)
        cells = np.flatnonzero(large[self._coming[:, 1]])
        number[tuple(self._coming[cells].T)] = np.arange(len(cells))
        self._add(self._first[3] + cells, np.arange(len(cells)), np.ones(len(cells)))
        node, kind = np.nonzero(fits * large)
        rows = number[self._group[node], kind]
        node, kind, rows = node[rows >= 0], kind[rows >= 0], rows[rows >= 0]
        self._add(node, rows, -fits[node, kind].astype(np.float64))
        self._close(np.full(len(cells), -lp.FREE), 0.0)

    def _pins(self) -> None:
        """Of pods that may not move, no more lose their node than leave."""
        holding = self._holding
        pinned = holding.held - holding.movable
        kinds = np.flatnonzero(pinned.any(axis=0))
        if not len(kinds):
            return
        node, row = np.nonzero(pinned[:, kinds])
        self._add(node, row, pinned[node, kinds[row]].astype(np.float64))
        self._close((pinned.sum(axis=0) - holding.surplus)[kinds].astype(np.float64), lp.FREE)

    def _spreads(self, node: IntVector, kind: IntVector, count: FloatVector) -> None:
        for share in self._holding.shares:
            of = np.zeros(len(self._holding.wanted), np.bool_)
            of[list(share.kinds)] = True
            own = of[kind] & (share.group[node] >= 0)
            self._add(node[own], share.group[node[own]], count[own])
            home = np.full(int(self._group.max(initial=-1)) + 1, -1)
            home[self._group] = share.group
            for cells, where, sign, block in (
                (self._leaving, home, -1.0, 2),
                (self._coming, home, 1.0, 3),
                (self._bought, share.offered, 1.0, 4),
            ):
                own = of[cells[:, 1]] & (where[cells[:, 0]] >= 0)
                columns = self._first[block] + np.flatnonzero(own)
                self._add(columns, where[cells[own, 0]], np.full(len(columns), sign))
            self._close(share.least.astype(np.float64), share.most.astype(np.float64))

    def _pods(
        self, cells: IntMatrix, rows: IntVector, value: FloatVector | float, block: int
    ) -> None:
        columns = self._first[block] + np.arange(len(cells))
        self._add(columns, rows, np.broadcast_to(np.float64(value), len(cells)))

    def _add(self, columns: IntVector, rows: IntVector, values: FloatVector) -> None:
        self._entries.append((columns, rows + self._rows, values))

    def _close(self, lower: FloatVector, upper: FloatVector | float) -> None:
        """End a block of rows: those that are added next come after it."""
        self._lower.append(lower)
        self._upper.append(np.broadcast_to(np.float64(upper), len(lower)))
        self._rows += len(lower)

    def made(self, *, whole: bool) -> object:
        """The program for HiGHS; its unit of money is the dearest node."""
        holding, offers = self._holding, self._offers
        moves = np.concatenate((self._coming[:, 1], self._bought[:, 1]))
        price = holding.move_price[moves].astype(np.float64)
        if self._caution is not None:
            mean = float(self._priced.sum()) / max(int(holding.wanted.sum()), 1)
            price += self._caution.wariness * mean
        cost = (self._priced, offers.price, np.zeros(len(self._leaving)), price)
        nodes, types, columns = len(holding.price), len(offers.price), int(self._first[-1])
        made = lp.program(
            self._summed(),
            cost=np.concatenate(cost).astype(np.float64) / self._dollars,
            upper=self._most_of_each(),
            row_lower=np.concatenate(self._lower),
            row_upper=np.concatenate(self._upper),
        )
        lower = np.zeros(columns)
        lower[:nodes] = holding.stays
        made.col_lower_ = lower
        if whole:
            kinds = [highspy.HighsVarType.kInteger] * (nodes + types)
            made.integrality_ = kinds + [highspy.HighsVarType.kContinuous] * (columns - len(kinds))
        return made

    def _most_of_each(self) -> FloatVector:
        """What no settled answer exceeds, by column.

        HiGHS 1.15.1 computes with infinite bounds of columns in its presolve: the answer was not a
        number, or the process ended.
        """
        holding, offers = self._holding, self._offers
        held = np.zeros((int(self._group.max(initial=-1)) + 1, len(holding.wanted)), np.int64)
        np.add.at(held, self._group, holding.held)
        # Each bought node has a pod; with a margin left free, a few more count.
        nodes = np.full(len(offers.price), 2 * int(holding.wanted.sum()))
        upper = (
            np.ones(len(holding.price)),
            nodes,
            held[tuple(self._leaving.T)],
            holding.wanted[self._coming[:, 1]],
            holding.wanted[self._bought[:, 1]],
        )
        return np.concatenate(upper).astype(np.float64)

    def _summed(self) -> lp.Entries:
        """One entry for each column and row: pods of several classes may count in one spread."""
        column, row, value = (np.concatenate(parts) for parts in zip(*self._entries, strict=True))
        cells, back = np.unique(column * self._rows + row, return_inverse=True)
        total = np.zeros(len(cells))
        np.add.at(total, back.ravel(), value)
        return cells // self._rows, cells % self._rows, total

    @property
    def _dollars(self) -> float:
        return float(max(self._priced.max(initial=1), self._offers.price.max(initial=1)))

    def least(self, objective: float) -> int:
        """What every choice costs with `lean` if the program's objective is at least this."""
        if not math.isfinite(objective):
            return 0
        least = objective * self._dollars
        return max(0, math.ceil(least - abs(least) * _SOLVER_ERROR - _SOLVER_ERROR))

    def bound(self, objective: float) -> int:
        """What every choice costs without `lean` if the program's objective is at least this."""
        added = int((self._priced - self._holding.price).clip(min=0).sum())
        return max(0, self.least(objective) - added)


def _groups(holding: Holding, unit: FloatVector) -> IntVector:
    """[N] groups of nodes in the same group of every share, and with similar rooms."""
    fixed = [share.group for share in holding.shares]
    keys = np.column_stack((*fixed, holding.room)) if len(holding.room) else holding.room
    for grid in _GRIDS:
        group: IntVector = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
        if len(group) == 0 or group.max() < _GROUPS:
            break
        shape: FloatMatrix = np.maximum(holding.room / unit, 1e-3)
        ratio = np.log(shape[:, 1:] / shape[:, :1]) if shape.shape[1] > 1 else np.log(shape)
        steps = np.floor(ratio / np.log1p(grid)).astype(np.int64)
        keys = np.column_stack((*fixed, steps))
    return group
