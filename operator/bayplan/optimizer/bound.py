"""Lower bounds that hold for the plans of every algorithm.

`fluid` allows fractions of pods and nodes: it is instant, and almost tight if many types mix.
`farley` turns ANY class values, with upper bounds of what a node may hold, into a bound. It scales
the values down until no node holds more value than it costs (plus, if nodes are limited, the price
of the right to use it). Then every plan pays at least value × demand minus the rights. Floats are
rounded to the safe side: the bound gives away a share of `_SAFETY`, a thousand times what the sums
can lose.
"""

import dataclasses
import math

import highspy
import numpy as np

from bayplan.optimizer import lp, work
from bayplan.optimizer.problem import FloatMatrix, FloatVector, Problem

_SAFETY = 1e-9


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Fluid:
    """The answer of the linear relaxation: raw numbers of a solver, which `farley` makes safe."""

    value: FloatVector  # [K] microdollars a pod of the class is worth
    multipliers: FloatMatrix  # [T, D] microdollars a unit of each resource
    right: FloatVector  # [T] what another node of a limited type would save
    nodes: FloatVector  # [T] in fractions


def farley(
    problem: Problem,
    value: FloatVector,
    upper: FloatVector,
    right: FloatVector | None = None,
) -> int:
    """A cost in microdollars below which no plan can place the whole demand.

    `value` ≥ 0 per class, `upper[t]` ≥ the value of any filling of one node of type t; `right` ≥ 0
    per type is counted for each node that exists. Rounded up to what prices can add up to.
    """
    paid = float(value @ problem.demand)
    if problem.available is None:
        least = paid / _excess(upper, problem.price.astype(np.float64))
        given_away = paid * _SAFETY
    else:
        there = problem.available.astype(np.float64)
        known = np.zeros(len(there)) if right is None else right
        scaled = paid / _excess(upper[there > 0], (problem.price + known)[there > 0])
        # or, unscaled, each type's right as dear as its best filling demands
        needed = np.maximum(upper - problem.price, 0.0) @ there
        least = max(scaled - float(known @ there), paid - float(needed))
        given_away = (paid + float(known @ there) + float(needed)) * _SAFETY
    step = math.gcd(*(int(price) for price in problem.price))
    return max(0, math.ceil((least - given_away) / step)) * step


def hardest(problem: Problem) -> int:
    """What one pod of the class that is hardest to please costs alone; no plan costs less.

    A linear bound buys parts of nodes, this one whole ones. Classes that fit no type do not count.
    """
    left, price = problem.demand > 0, 0
    for of_type in np.argsort(problem.price, kind="stable").tolist():
        rows = np.flatnonzero(left)
        fits = (problem.request[rows] <= problem.capacity[of_type]).all(axis=1)
        fits &= problem.eligible[rows, of_type]
        if fits.any():
            left[rows[fits]] = False
            price = int(problem.price[of_type])
    return price


def fluid(problem: Problem, seconds: float = math.inf) -> Fluid | None:
    """The cheapest way to place everything if fractions of pods and nodes were possible.

    Caps per node count if they are tighter than the demand. Every class must fit some type. None if
    it took longer than `seconds`.
    """
    limits = problem.limits()
    types, resources = problem.capacity.shape
    classes = len(problem.demand)
    unit = np.maximum(problem.capacity.max(axis=0).astype(np.float64), 1.0)
    of_type, of_class = np.nonzero(limits)  # one column of pods each, then one of nodes per type
    cells = len(of_type)

    request = (problem.request / unit)[of_class]
    column, resource = np.nonzero(request)
    node, held = np.nonzero(problem.capacity)
    capped = np.flatnonzero((problem.per_node < problem.demand)[of_class])
    first_cap = classes + types * resources
    caps = first_cap + np.arange(len(capped))
    entries = (
        np.concatenate((np.arange(cells), column, cells + node, capped, cells + of_type[capped])),
        np.concatenate(
            (
                of_class,
                classes + of_type[column] * resources + resource,
                classes + node * resources + held,
                caps,
                caps,
            )
        ),
        np.concatenate(
            (
                np.ones(cells),
                request[column, resource],
                -(problem.capacity / unit)[node, held],
                np.ones(len(capped)),
                -problem.per_node[of_class[capped]].astype(np.float64),
            )
        ),
    )
    dollars = float(problem.price.max())
    rows = first_cap + len(capped)
    most = np.full(types, lp.FREE)
    if problem.available is not None:
        most = problem.available.astype(np.float64)
    demand = problem.demand.astype(np.float64)
    highs = lp.solver()
    highs.passModel(
        lp.program(
            entries,
            cost=np.concatenate((np.zeros(cells), problem.price / dollars)),
            upper=np.concatenate((np.full(cells, lp.FREE), most)),
            row_lower=np.concatenate((demand, np.full(rows - classes, -lp.FREE))),
            row_upper=np.concatenate((np.full(classes, lp.FREE), np.zeros(rows - classes))),
        )
    )
    if math.isfinite(seconds):
        highs.setOptionValue("time_limit", max(seconds, 0.0))
    highs.run()
    work.solved(highs)
    if highs.getModelStatus() == highspy.HighsModelStatus.kTimeLimit:
        return None
    solution = highs.getSolution()
    duals = np.array(solution.row_dual) * dollars
    prices = np.maximum(-duals[classes:first_cap].reshape(types, resources), 0.0) / unit
    right = np.maximum(-np.array(solution.col_dual)[cells:] * dollars, 0.0)
    return Fluid(
        value=np.maximum(duals[:classes], 0.0),
        multipliers=prices,
        right=right if problem.available is not None else np.zeros(types),
        nodes=np.array(solution.col_value)[cells:],
    )


def _excess(upper: FloatVector, allowed: FloatVector) -> float:
    """The factor by which the most valuable filling exceeds its allowed worth; at least 1."""
    return max(1.0, float((upper / allowed).max(initial=0.0)) * (1 + _SAFETY))
