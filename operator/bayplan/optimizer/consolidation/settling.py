"""Settles a choice of nodes in whole pods: who stays, who leaves, who comes where.

All pods of kept nodes stay at first. Pods that lose their node, and that are still wanted, come to
free room, the largest first, each to the node that it fills best. If there is no room, pods that
leave in any case make it. What still has no room gets new nodes.
"""

import dataclasses

import numpy as np

from bayplan.optimizer import fill
from bayplan.optimizer.consolidation.holding import Holding, Offers, Share
from bayplan.optimizer.problem import BoolVector, FloatVector, IntMatrix, IntVector


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Pods of each class that stay on each node, come to it, and come to each bought node."""

    keep: BoolVector  # [N]
    stay: IntMatrix  # [N, K]
    into: IntMatrix  # [N, K]
    types: IntVector  # [B]
    bought: IntMatrix  # [B, K]

    def moves(self) -> IntVector:
        """[K] how many pods move."""
        moves: IntVector = self.into.sum(axis=0) + self.bought.sum(axis=0)
        return moves


class Settler:
    """Settles choices for one holding."""

    def __init__(self, holding: Holding, offers: Offers) -> None:
        self.holding, self.offers = holding, offers
        largest = np.concatenate((holding.room, offers.capacity)).max(axis=0, initial=1)
        self.scale = 1.0 / np.maximum(largest, 1)
        size = (holding.request * self.scale).max(axis=1)
        self.largest_first = np.argsort(-size, kind="stable")
        self._total = holding.held.sum(axis=0)
        self._pinned = holding.held - holding.movable
        self._by_price = np.argsort(offers.price, kind="stable")
        self._may_move = holding.movable.any(axis=0)
        self._spread = sorted({kind for share in holding.shares for kind in share.kinds})
        self._load = holding.wanted @ holding.request
        self._price = np.maximum(holding.price + holding.lean, 0)
        # What a unit of each resource costs at least, if it must be bought.
        rate = offers.price[:, None] / np.maximum(offers.capacity, 1)
        self._rate = rate.min(axis=0, initial=np.inf)

    def needed(self, keep: BoolVector) -> IntVector:
        """[K] how many pods have to move if these nodes are kept."""
        needed: IntVector = self.holding.wanted - keep @ self.holding.held
        return np.maximum(needed, 0)

    def least(self, keep: BoolVector, types: IntVector) -> float:
        """About what a layout on these nodes costs at least, with `lean`; quickly found.

        A layout may buy a node of a cheaper type than it was given.
        """
        holding, offers = self.holding, self.offers
        price = float(keep @ self._price) + float(offers.price[types].sum())
        price += float(self.needed(keep) @ holding.move_price)
        room = keep @ holding.room + offers.capacity[types].sum(axis=0)
        short = np.maximum(self._load - room, 0)
        asked = short > 0
        return price + float((short[asked] * self._rate[asked]).max(initial=0.0))

    def settled(
        self, keep: BoolVector, types: IntVector, most_moves: int | None = None
    ) -> Layout | None:
        """The layout on these nodes, more bought nodes if needed; None if there is none."""
        holding = self.holding
        needed = self.needed(keep)
        if most_moves is not None and needed.sum() > most_moves:
            return None
        if (needed > 0)[~self._may_move].any():
            return None
        if ((~keep) @ self._pinned > holding.surplus).any():
            return None
        floor = _Floor(self, keep, types)
        missing = floor.placed(needed)
        if missing is None or not floor.left():
            return None
        if most_moves is not None and floor.into.sum() + missing.sum() > most_moves:
            return None
        rows = len(floor.kept)
        new = floor.into[rows:]
        more = self._bought(missing)
        if more is None:
            return None
        if missing[self._spread].any():
            return None  # pods of these classes come to nodes of the choice alone
        types = np.concatenate((types, more[0]))
        bought = np.concatenate((new, more[1]))
        filled = bought.any(axis=1)
        bought, types = bought[filled], types[filled]
        stay, into = np.zeros_like(holding.held), np.zeros_like(holding.held)
        stay[floor.kept] = floor.stay[:rows]
        into[floor.kept] = floor.into[:rows]
        return Layout(keep.copy(), stay, into, self.cheapest(bought, types), bought)

    def cheapest(self, bought: IntMatrix, types: IntVector) -> IntVector:
        """[B] the cheapest type for each bought node that holds its pods."""
        chosen = types.copy()
        for row, pods in enumerate(bought):
            load = pods @ self.holding.request
            able = self._able(pods, load)
            for share in self.holding.shares:
                if pods[list(share.kinds)].any():
                    able &= share.offered == share.offered[types[row]]
            fitting = self._by_price[able[self._by_price]]
            if len(fitting):
                chosen[row] = fitting[0]
        return chosen

    def _able(self, pods: IntVector, load: IntVector) -> BoolVector:
        """[T] the types that hold these pods."""
        able: BoolVector = np.asarray((load <= self.offers.capacity).all(axis=1))
        able &= self.offers.open[pods > 0].all(axis=0)
        if (pods > self.holding.per_node).any():
            able[:] = False
        return able

    def _bought(self, missing: IntVector) -> tuple[IntVector, IntMatrix] | None:
        """Types and pods of nodes that hold these pods; None if a pod fits no type."""
        types: list[int] = []
        rows: list[IntVector] = []
        rest = missing.copy()
        while rest.any():
            able = self._able(rest, rest @ self.holding.request)
            fitting = self._by_price[able[self._by_price]]
            if len(fitting):
                types.append(int(fitting[0]))
                rows.append(rest)
                break
            found = self._best_filled(rest)
            if found is None:
                return None
            types.append(found[0])
            rows.append(found[1])
            rest = rest - found[1]
        classes = len(missing)
        return np.array(types, np.int64), np.array(rows, np.int64).reshape(-1, classes)

    def _best_filled(self, rest: IntVector) -> tuple[int, IntVector] | None:
        """The type with the most load for its price, filled with the largest pods first."""
        room = self.offers.capacity.copy()
        pods = np.zeros((len(room), len(rest)), np.int64)
        for k in self.largest_first[rest[self.largest_first] > 0]:
            fits = fill.fit(room, self.holding.request[k]) * self.offers.open[k]
            taken = np.minimum(np.minimum(fits, rest[k]), self.holding.per_node[k])
            pods[:, k] = taken
            room -= taken[:, None] * self.holding.request[k]
        load = ((self.offers.capacity - room) * self.scale).sum(axis=1)
        worth = np.where(pods.any(axis=1), load / self.offers.price, -1.0)
        best = int(worth.argmax()) if len(worth) else -1
        return (best, pods[best]) if best >= 0 and worth[best] >= 0 else None


class _Floor:
    """The kept and the bought nodes as rows, while pods come and leave."""

    def __init__(self, settler: Settler, keep: BoolVector, types: IntVector) -> None:
        holding, offers = settler.holding, settler.offers
        self._settler = settler
        self.kept = np.flatnonzero(keep)
        rows, classes = len(self.kept) + len(types), len(holding.wanted)
        self.stay = np.zeros((rows, classes), np.int64)
        self.stay[: len(self.kept)] = holding.held[self.kept]
        self.into = np.zeros((rows, classes), np.int64)
        self._free = np.concatenate((holding.room[self.kept], offers.capacity[types]))
        self._free -= self.stay @ holding.request
        self._open = np.concatenate((holding.open[:, self.kept], offers.open[:, types]), axis=1)
        self.surplus = np.maximum(self.stay.sum(axis=0) - holding.wanted, 0)
        self._movable = np.zeros((rows, classes), np.int64)
        self._movable[: len(self.kept)] = holding.movable[self.kept]
        self._spreads = [_Spread.of(each, self.kept, types, self.stay) for each in holding.shares]

    def placed(self, needed: IntVector) -> IntVector | None:
        """Bring in as many pods of each class; returns those without room, None: no way."""
        rest = needed.copy()
        for spread in self._spreads:
            if not self._mended(spread, rest):
                return None
        for k in self._settler.largest_first:
            if rest[k]:
                rest[k] = self._come(int(k), int(rest[k]), None)
        return rest

    def left(self) -> bool:
        """Let the remaining surplus leave, from the emptiest nodes first; whether spreads hold."""
        scale = self._settler.scale
        emptiest = (self._free * scale).sum(axis=1)
        for k in np.flatnonzero(self.surplus):
            spreads = [each for each in self._spreads if k in each.share.kinds]
            if not spreads:
                gone = fill.fill(self.stay[:, k], emptiest, int(self.surplus[k]))
                self.stay[:, k] -= gone
                self._free += gone[:, None] * self._settler.holding.request[k]
                self.surplus[k] = 0
                continue
            while self.surplus[k]:
                able = self.stay[:, k] > 0
                first = np.zeros(len(able))
                for each in spreads:
                    able &= each.may_leave()
                    first += each.over() * 1e6
                if not able.any():
                    return False
                self._leave(int(np.where(able, first + emptiest, -np.inf).argmax()), int(k))
        return all(each.holds() for each in self._spreads)

    def _mended(self, spread: "_Spread", rest: IntVector) -> bool:
        """Bring pods to the groups that have too few, from other nodes if none needs a place."""
        for group in np.flatnonzero(spread.count < spread.share.least):
            rows = spread.group == group
            while spread.count[group] < spread.share.least[group]:
                kinds = [k for k in spread.share.kinds if rest[k]]
                if not kinds:
                    kind = self._uproot(spread)
                    if kind is None:
                        return False
                    rest[kind] += 1
                    kinds = [kind]
                if self._come(kinds[0], 1, rows):
                    return False
                rest[kinds[0]] -= 1
        return True

    def _uproot(self, spread: "_Spread") -> int | None:
        """A pod loses its place in a group that has enough; its class."""
        for k in spread.share.kinds:
            able = (np.minimum(self.stay, self._movable)[:, k] > 0) & spread.may_leave()
            if able.any():
                row = int(np.where(able, spread.over(), -np.inf).argmax())
                self._take(row, k)
                self._movable[row, k] -= 1
                return k
        return None

    def _allowed(self, k: int, rows: BoolVector | None) -> IntVector:
        """[rows] how many pods of a class may come, whatever the room."""
        holding = self._settler.holding
        there = self.stay[:, k] + self.into[:, k]
        most: IntVector = np.maximum(holding.per_node[k] - there, 0)
        most *= self._open[k]
        if rows is not None:
            most *= rows
        for each in self._spreads:
            if k in each.share.kinds:
                np.minimum(most, each.room(), out=most)
        return most

    def _come(self, k: int, count: int, rows: BoolVector | None) -> int:
        """Place pods of a class; returns how many have no room."""
        request = self._settler.holding.request[k]
        scale = self._settler.scale
        while count:
            allowed = self._allowed(k, rows)
            fits = np.minimum(fill.fit(self._free, request), allowed)
            if fits.any():
                left = ((self._free - request) * scale).sum(axis=1)
                row = int(np.where(fits > 0, left, np.inf).argmin())
                taken = min(count, int(fits[row]))
                if self._spreads:
                    taken = 1
            else:
                row = self._cleared(request, allowed > 0)
                if row < 0:
                    return count
                taken = 1
            self.into[row, k] += taken
            self._free[row] -= request * taken
            for each in self._spreads:
                each.add(row, k, taken)
            count -= taken
        return 0

    def _cleared(self, request: IntVector, allowed: BoolVector) -> int:
        """Let surplus pods of a node leave until the request fits there; −1 if it cannot."""
        scale = self._settler.scale
        may = np.minimum(self.stay, self.surplus)
        for each in self._spreads:
            kinds = list(each.share.kinds)
            may[:, kinds] *= each.may_leave()[:, None]
        within = self._free + may @ self._settler.holding.request
        asked = request > 0
        able = allowed & (within >= request)[:, asked].all(axis=1)
        if not able.any():
            return -1
        short: FloatVector = (np.maximum(request - self._free, 0) * scale).sum(axis=1)
        for row in np.argsort(np.where(able, short, np.inf), kind="stable")[: able.sum()]:
            if self._clear(int(row), request):
                return int(row)
        return -1

    def _clear(self, row: int, request: IntVector) -> bool:
        requests = self._settler.holding.request
        scale = self._settler.scale
        asked = request > 0
        while True:
            short = np.maximum(request - self._free[row], 0) * asked
            if not short.any():
                return True
            may = (self.stay[row] > 0) & (self.surplus > 0)
            for each in self._spreads:
                if not each.may_leave()[row]:
                    may[list(each.share.kinds)] = False
            useful = (np.minimum(requests, short) * scale).sum(axis=1)
            worth = np.where(may, useful**2 / ((requests * scale).sum(axis=1) + 1e-12), -1.0)
            k = int(worth.argmax())
            if worth[k] <= 0:
                return False
            self._leave(row, k)

    def _leave(self, row: int, k: int) -> None:
        self._take(row, k)
        self.surplus[k] -= 1

    def _take(self, row: int, k: int) -> None:
        self.stay[row, k] -= 1
        self._free[row] += self._settler.holding.request[k]
        for each in self._spreads:
            each.add(row, k, -1)


@dataclasses.dataclass(slots=True, eq=False)
class _Spread:
    """The counts of an even spread, while pods come and leave."""

    share: Share
    group: IntVector  # [rows]
    count: IntVector  # [G]

    @classmethod
    def of(cls, share: Share, kept: IntVector, types: IntVector, stay: IntMatrix) -> "_Spread":
        group = np.concatenate((share.group[kept], share.offered[types]))
        count = np.zeros(len(share.least), np.int64)
        counted = group >= 0
        np.add.at(count, group[counted], stay[counted][:, list(share.kinds)].sum(axis=1))
        return cls(share, group, count)

    def add(self, row: int, kind: int, pods: int) -> None:
        if kind in self.share.kinds and self.group[row] >= 0:
            self.count[self.group[row]] += pods

    def may_leave(self) -> BoolVector:
        """[rows] whether a pod may leave."""
        may: BoolVector = (self.count > self.share.least)[self.group] | (self.group < 0)
        return may

    def over(self) -> IntVector:
        """[rows] how far the group is above its most."""
        over: IntVector = np.maximum(self.count - self.share.most, 0)[self.group]
        return over * (self.group >= 0)

    def room(self) -> IntVector:
        """[rows] how many pods may come."""
        room: IntVector = np.maximum(self.share.most - self.count, 0)[self.group]
        room[self.group < 0] = fill.UNBOUNDED
        return room

    def holds(self) -> bool:
        share = self.share
        return bool(((share.least <= self.count) & (self.count <= share.most)).all())
