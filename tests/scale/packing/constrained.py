"""A mix where 30 % of the classes may not land just anywhere, and a checker in plain loops.

Three zones at one price. Of the constrained classes, from rare to common: pairs that refuse each
other's nodes, Unique (one per node), MaxPer 4, grouped by zone (difference at most 1). Counting is
per class, as for one workload of that many instances.
"""

import dataclasses
from collections import Counter
from itertools import pairwise

import numpy as np

from bayplan.optimizer.problem import BoolMatrix, IntVector, Packing, Problem

ZONES = 3
_MAX_PER = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Constrained:
    """The free problem, the constrained one, and what binds whom by the free one's class."""

    free: Problem
    bound: Problem
    parent: IntVector  # [K'] class of the free problem
    unique: set[int]
    max_per: set[int]
    grouped: set[int]
    apart: set[frozenset[int]]


def constrained(free: Problem) -> Constrained:
    """Constraints on 30 % of the classes, dealt out by how many pods a class has."""
    classes, types = len(free.demand), len(free.price)
    rare_first = np.argsort(free.demand, kind="stable").tolist()
    count = round(classes * 0.3)
    every = rare_first[:: max(1, classes // count)][:count]  # from rare to common
    quarter = count // 4
    apart = {frozenset(pair) for pair in pairwise(every[:quarter])}
    unique = set(every[quarter : 2 * quarter])
    max_per = set(every[2 * quarter : 3 * quarter])
    grouped = set(every[3 * quarter :])

    parent, zone = [], []
    for k in range(classes):
        for z in range(ZONES) if k in grouped else (None,):
            parent.append(k)
            zone.append(z)
    split = [
        int(free.demand[k])
        if z is None
        else int(free.demand[k]) // ZONES + (z < free.demand[k] % ZONES)
        for k, z in zip(parent, zone, strict=True)
    ]
    of = np.array(parent)
    eligible: BoolMatrix = np.ones((len(of), types * ZONES), np.bool_)
    for row, z in enumerate(zone):
        if z is not None:
            eligible[row] = np.repeat(np.arange(ZONES) == z, types)
    per_node = np.array(
        [1 if k in unique else _MAX_PER if k in max_per else 1 << 40 for k in parent]
    )
    conflicts = np.array([[frozenset((a, b)) in apart for b in parent] for a in parent])
    bound = Problem.of(
        np.array(split),
        free.request[of],
        np.tile(free.capacity, (ZONES, 1)),
        np.tile(free.price, ZONES),
        eligible=eligible,
        per_node=per_node,
        conflicts=conflicts,
    )
    return Constrained(free, bound, of, unique, max_per, grouped, apart)


def violations(question: Constrained, packing: Packing) -> int:
    """How often a rule is broken, node by node; shares nothing with the optimiser."""
    free, types = question.free, len(question.free.price)
    wrong = 0
    by_zone: dict[int, Counter[int]] = {k: Counter() for k in question.grouped}
    seen: Counter[int] = Counter()
    for of_type, pattern, nodes in zip(
        packing.types.tolist(), packing.patterns.tolist(), packing.nodes.tolist(), strict=True
    ):
        zone, shape = divmod(of_type, types)
        for _ in range(nodes):
            here: Counter[int] = Counter()
            for row, copies in enumerate(pattern):
                here[int(question.parent[row])] += copies
            here = +here
            seen += here
            for d, room in enumerate(free.capacity[shape].tolist()):
                wrong += sum(n * int(free.request[k, d]) for k, n in here.items()) > room
            wrong += sum(here[k] > 1 for k in question.unique)
            wrong += sum(here[k] > _MAX_PER for k in question.max_per)
            wrong += sum(all(here[k] for k in pair) for pair in question.apart)
            for k in question.grouped:
                by_zone[k][zone] += here[k]
    for counts in by_zone.values():
        per_zone = [counts[z] for z in range(ZONES)]
        wrong += max(per_zone) - min(per_zone) > 1
    wrong += sum(seen[k] != int(n) for k, n in enumerate(free.demand))
    return wrong
