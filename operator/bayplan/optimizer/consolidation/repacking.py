"""Packs the pods that move again, by patterns: kept nodes' free room first, then bought nodes.

A kept node counts as a type of which there is one and whose free room costs nothing, so `provision`
fills the kept nodes as well as it can, and buys the least for the rest. Pods of classes with an
even spread keep their places.
"""

import dataclasses

import numpy as np

from bayplan.optimizer.consolidation.holding import Holding, Offers
from bayplan.optimizer.consolidation.settling import Layout
from bayplan.optimizer.problem import UNLIMITED, Budget, IntMatrix, IntVector, Problem
from bayplan.optimizer.provision import provision


def repacked(
    holding: Holding, offers: Offers, layout: Layout, budget: Budget, seed: int
) -> tuple[Layout, int] | None:
    """The layout with the same pods on the move, placed anew, and what it could save at most.

    The saving is in microdollars an hour. None if nothing moves, or a pod found no place.
    """
    spread = np.zeros(len(holding.wanted), np.bool_)
    for share in holding.shares:
        spread[list(share.kinds)] = True
    still_into, still_bought = layout.into * spread, layout.bought * spread
    loose = layout.moves() * ~spread
    if not loose.any():
        return None
    kept = np.flatnonzero(layout.keep)
    begun = np.flatnonzero(still_bought.any(axis=1))
    there = np.concatenate((layout.stay[kept] + still_into[kept], still_bought[begun]))
    rooms = np.concatenate((holding.room[kept], offers.capacity[layout.types[begun]]))
    free = np.maximum(rooms - there @ holding.request, 0)
    open_ = np.concatenate((holding.open[:, kept], offers.open[:, layout.types[begun]]), axis=1)
    open_ &= ~((there > 0) & (holding.per_node < UNLIMITED)).T
    problem = Problem.of(
        loose,
        holding.request,
        np.concatenate((free, offers.capacity)),
        np.concatenate((np.ones(len(there), np.int64), offers.price)),
        eligible=np.concatenate((open_, offers.open), axis=1),
        per_node=holding.per_node,
        available=np.concatenate(
            (np.ones(len(there), np.int64), np.full(len(offers.price), loose.sum()))
        ),
    )
    packing = provision(problem, budget, seed)
    if packing.unplaced.any():
        return None
    rows = np.repeat(np.arange(len(packing.nodes)), packing.nodes)
    types, patterns = packing.types[rows], packing.patterns[rows]
    placed = _with(layout, (kept, begun), (still_into, still_bought), types, patterns)
    return placed, packing.cost - packing.bound


def _with(
    layout: Layout,
    rows: tuple[IntVector, IntVector],
    still: tuple[IntMatrix, IntMatrix],
    types: IntVector,
    patterns: IntMatrix,
) -> Layout:
    """The layout with these patterns: types are kept nodes, then begun nodes, then offers."""
    kept, begun = rows
    into, bought = still[0].copy(), still[1][begun].copy()
    on_kept = types < len(kept)
    into[kept[types[on_kept]]] += patterns[on_kept]
    on_begun = ~on_kept & (types < len(kept) + len(begun))
    bought[types[on_begun] - len(kept)] += patterns[on_begun]
    new = types >= len(kept) + len(begun)
    return dataclasses.replace(
        layout,
        into=into,
        types=np.concatenate((layout.types[begun], types[new] - len(kept) - len(begun))),
        bought=np.concatenate((bought, patterns[new])),
    )
