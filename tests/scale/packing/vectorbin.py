"""Equal bins, every item its own vector: as few bins as possible (plain vector bin packing).

Bins are filled one after the other with the item that goes best with the room left; several rules
run side by side and the best result is kept. Then ruin and recreate, all at once: the bins are
dealt into small groups, every group is repacked by chance, and each keeps what is no worse. Where
the items fill a number of bins exactly, every bin of a best packing is full to the brim: those
fillings are listed and covered exactly. Integers decide what fits.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bayplan.optimizer import lp
from bayplan.optimizer.problem import Budget, IntMatrix, IntVector

_GROUP = (2, 9)  # bins repacked together
_SMOOTH = 0.02  # of a bin, added to room before dividing by it
_PERFECT_ITEMS = 1200  # more have too many pairs to list
_PERFECT_FILLINGS = 20_000
_RULES = 4
_TRIALS, _CELLS = 8, 60_000  # of a group at once; numbers in the largest array


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """The bin of each item, and a number of bins that no packing can beat."""

    of: IntVector  # [N] from 0
    bound: int

    @property
    def count(self) -> int:
        return int(self.of.max(initial=-1)) + 1


def packed(items: IntMatrix, capacity: IntVector, budget: Budget, seed: int = 0) -> Bins:
    """Few bins for `items` [N, D], each of which fits into an empty bin of `capacity` [D]."""
    if (items > capacity).any():
        raise ValueError("an item is larger than a bin")
    dice = np.random.default_rng(seed)
    total = items.sum(axis=0)
    bound = int((-(-total // np.maximum(capacity, 1))).max(initial=0))
    best = _filled(items, capacity)
    if best.max(initial=-1) + 1 > bound and (total == bound * capacity).all():
        full = _brimful(items, capacity, budget)
        best = best if full is None else full
    for _ in budget.turns():
        if best.max(initial=-1) + 1 <= bound:
            break
        best = _recreated(items, capacity, best, dice)
    return Bins(of=best, bound=bound)


def _filled(items: IntMatrix, capacity: IntVector) -> IntVector:
    """The best of `_RULES` bin-by-bin packings, run side by side."""
    share = items / np.maximum(capacity, 1)
    copies = np.broadcast_to(items, (_RULES, *items.shape))
    shares = np.broadcast_to(share, copies.shape)
    rule = np.arange(_RULES)
    bins = _greedy(copies, shares, capacity, np.ones(copies.shape[:2]), rule)
    fewest: IntVector = bins[int(bins.max(axis=1, initial=-1).argmin())]
    return fewest


def _greedy(
    items: npt.NDArray[np.int64],
    share: npt.NDArray[np.float64],
    capacity: IntVector,
    chance: npt.NDArray[np.float64],
    rule: IntVector,
) -> IntMatrix:
    """[G, N] bins of G packings of N items each, made in lockstep; empty items (all 0) are padding.

    The item that goes next has the highest score × chance; a score weighs each dimension by the
    demand that remains. Rules: 0 and 2 item · room, 1 and 3 item ÷ room, 2 and 3 weights squared.
    """
    groups, count, _ = items.shape
    rows = np.arange(groups)
    here = np.zeros((groups, count), np.int64)
    open_: npt.NDArray[np.bool_] = np.asarray(share.any(axis=2))
    # dimensions first: a reduction over a short last axis is several times slower
    sizes = np.ascontiguousarray(items.transpose(2, 0, 1))  # [D, G, N]
    shares = np.ascontiguousarray(share.transpose(2, 0, 1))
    left = shares.sum(axis=2)  # [D, G] demand that remains
    room = np.repeat(capacity[:, None], groups, axis=1)
    inverse = (1.0 / np.maximum(capacity, 1))[:, None]
    number = np.zeros(groups, np.int64)
    divides = rule % 2 == 1
    power = np.where(rule >= 2, 2.0, 1.0)
    pending = open_.sum(axis=1)
    while pending.any():
        fits = open_ & (sizes <= room[:, :, None]).all(axis=0)
        free = room * inverse
        weight = left**power * np.where(divides, 1.0 / (free + _SMOOTH), free)
        score = (shares * weight[:, :, None]).sum(axis=0) * chance
        score[~fits] = -1.0
        chosen = score.argmax(axis=1)
        put = score[rows, chosen] >= 0
        took, item = rows[put], chosen[put]
        here[took, item] = number[took]
        open_[took, item] = False
        room[:, took] -= sizes[:, took, item]
        left[:, took] -= shares[:, took, item]
        np.maximum(left, 1e-9, out=left)
        pending[took] -= 1
        shut = ~put & (pending > 0)
        number[shut] += 1
        room[:, shut] = capacity[:, None]
    return here


def _recreated(
    items: IntMatrix, capacity: IntVector, bins: IntVector, dice: np.random.Generator
) -> IntVector:
    """One round: deal the bins into groups, repack each, keep the groups that are no worse.

    No worse: fewer bins, or as many with the sum of squared loads not smaller (fuller full ones and
    emptier empty ones, so that one falls away in the end).
    """
    count = int(bins.max()) + 1
    size = min(count, int(dice.integers(*_GROUP)))
    groups = max(1, count // size)
    of_bin = np.empty(count, np.int64)
    of_bin[dice.permutation(count)] = np.arange(count) % groups
    members, place = _dealt(of_bin[bins], groups)
    share = items / np.maximum(capacity, 1)
    # small arrays cost as much as larger ones: several trials of each group side by side
    trials = int(np.clip(_CELLS // (place.size * items.shape[1]), 1, _TRIALS))
    place = np.tile(place, (trials, 1))
    padded = np.concatenate((items, np.zeros_like(items[:1])))[place]
    shares = np.concatenate((share, np.zeros_like(share[:1])))[place]
    spread = 0.4 * dice.random((len(place), 1))
    chance = np.exp(spread * dice.standard_normal(place.shape))
    fresh = _greedy(padded, shares, capacity, chance, dice.integers(0, _RULES, len(place)))

    weight = share.sum(axis=0) / max(float(share.sum()), 1e-9)
    load = share @ weight
    old = np.bincount(of_bin, np.bincount(bins, load, minlength=count) ** 2, minlength=groups)
    before = np.bincount(of_bin, minlength=groups)
    most = place.shape[1]
    numbered = fresh + np.arange(len(place))[:, None] * most
    real = place < len(items)
    filled = np.bincount(numbered[real], load[place[real]], minlength=len(place) * most)
    squares = (filled.reshape(trials, groups, most) ** 2).sum(axis=2)
    used = (np.where(real, fresh, -1).max(axis=1) + 1).reshape(trials, groups)
    chosen = (used - squares / (1 + squares.max())).argmin(axis=0)  # fewest bins, then squares
    every = np.arange(groups)
    used, squares = used[chosen, every], squares[chosen, every]
    better = (used < before) | ((used == before) & (squares >= old - 1e-12))
    row = chosen * groups + every
    kept = real[row]
    where = np.empty(len(items), np.int64)
    where[place[row][kept]] = numbered[row][kept]
    # new bins are numbered after all old ones, row by row
    result = np.where(better[members], count + where, bins)
    return np.unique(result, return_inverse=True)[1].ravel()


def _dealt(group: IntVector, groups: int) -> tuple[IntVector, IntMatrix]:
    """Each item's group, and [G, M] item numbers by group, padded with the number of items."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=groups)
    start = np.cumsum(sizes) - sizes
    place = np.full((groups, int(sizes.max())), len(group))
    place[group[order], np.arange(len(group)) - start[group[order]]] = order
    return group, place


def _brimful(items: IntMatrix, capacity: IntVector, budget: Budget) -> IntVector | None:
    """An exact cover by full bins of up to three items; None where none was found in time."""
    if len(items) > _PERFECT_ITEMS:
        return None
    fillings = list(_full_ones(items, capacity))
    fillings += list(_full_pairs(items, capacity))
    fillings += list(_full_triples(items, capacity))
    if not fillings or len(fillings) > _PERFECT_FILLINGS:
        return None
    column = np.repeat(np.arange(len(fillings)), [len(each) for each in fillings])
    row = np.concatenate(fillings)
    once = np.ones(len(items))
    highs: Any = lp.solver()
    if np.isfinite(budget.left()):
        highs.setOptionValue("time_limit", budget.left())
    highs.passModel(
        lp.program(
            (column, row, np.ones(len(row))),
            cost=np.ones(len(fillings)),
            upper=np.ones(len(fillings)),
            row_lower=once,
            row_upper=once,
            whole=True,
        )
    )
    highs.run()
    chosen = np.flatnonzero(np.array(highs.getSolution().col_value) > 0.5)
    bins = np.full(len(items), -1)
    for number, index in enumerate(chosen):
        bins[fillings[index]] = number
    covered = sum(len(fillings[index]) for index in chosen) == len(items)
    return bins if covered and (bins >= 0).all() else None


def _full_ones(items: IntMatrix, capacity: IntVector) -> Iterator[IntVector]:
    for item in np.flatnonzero((items == capacity).all(axis=1)):
        yield np.array([item])


def _full_pairs(items: IntMatrix, capacity: IntVector) -> Iterator[IntVector]:
    for first in range(len(items)):
        rest = capacity - items[first]
        for second in np.flatnonzero((items[first + 1 :] == rest).all(axis=1)):
            yield np.array([first, first + 1 + second])


def _full_triples(items: IntMatrix, capacity: IntVector) -> Iterator[IntVector]:
    """All i < j < l that fill a bin exactly: the third is looked up by a hash and then compared."""
    marks = _marks(items.shape[1])
    key = items @ marks
    order = np.argsort(key, kind="stable")
    ranked = key[order]
    whole = int((capacity @ marks).item())
    for first in range(len(items) - 2):
        wanted = whole - key[first] - key[first + 1 :]
        low = np.searchsorted(ranked, wanted, side="left")
        inside = np.minimum(low, len(ranked) - 1)
        for found in np.flatnonzero(ranked[inside] == wanted):
            second = first + 1 + int(found)
            rest = capacity - items[first] - items[second]
            end = np.searchsorted(ranked, wanted[found], side="right")
            for third in order[low[found] : end]:
                if third > second and (items[third] == rest).all():
                    yield np.array([first, second, third])


def _marks(dimensions: int) -> IntVector:
    """Odd multipliers of a hash; sums may wrap around."""
    return np.random.default_rng(dimensions).integers(1 << 40, 1 << 44, dimensions) | 1


def loads(items: IntMatrix, bins: IntVector) -> IntMatrix:
    """[B, D] what each bin holds."""
    held = np.zeros((int(bins.max(initial=-1)) + 1, items.shape[1]), np.int64)
    np.add.at(held, bins, items)
    return held
