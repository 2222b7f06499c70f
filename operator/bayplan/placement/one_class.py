"""Place the tasks of one class: by the plan of a backlog, or by score."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayplan.model import reasons
from bayplan.model.reasons import Funnel
from bayplan.model.workloads import PodClass, Strategy, Waiting
from bayplan.optimizer import fill
from bayplan.placement import constraints, explain, filters, gangs, scores
from bayplan.placement.node_table import Refusing
from bayplan.placement.occupancy import Occupancy
from bayplan.placement.rules import Groups, Rule, Together, distribute

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Short:
    """Why a class did not find room for all; `open_` nodes lack nothing but resources."""

    funnel: Funnel
    open_: BoolVector


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """The nodes that a class may choose from: `fits` copies each [N], within the `rules`.

    `request` is None when no node has one of the resources; then nothing fits.
    """

    refusing: tuple[Refusing, ...]
    open_: BoolVector
    rules: list[Rule]
    request: IntVector | None
    fits: IntVector

    @classmethod
    def of(cls, group: Waiting, count: int, occupancy: Occupancy) -> "_Choice":
        kind = group.kind
        verdict = filters.of_nodes(kind, occupancy.table)
        moment = tuple(filters.of_the_moment(group, occupancy))
        open_ = verdict.open
        for refusal in moment:
            open_ = open_ & ~refusal.nodes
        rules = filters.rules(kind, open_, count, occupancy)
        request = occupancy.snapshot.vector(kind.request)
        fits = np.zeros(len(open_), dtype=np.int64)
        if request is not None:
            free = occupancy.free_for(kind.priority)
            fits = np.where(open_, fill.fit(free, request), 0)
            if free is not occupancy.free:
                made_for_others = (fill.fit(occupancy.free, request) > 0) & (
                    fill.fit(free, request) == 0
                )
                moment += (Refusing(reasons.Reason.HELD, "", made_for_others),)
        return cls((*verdict.refusing, *moment), open_, rules, request, fits)


def by_plan(group: Waiting, share: IntVector, occupancy: Occupancy) -> IntVector:
    """Land tasks of a class where they are planned, as far as filters and rules agree: [N].

    `share` are the copies that each node is to get. Nothing of a gang lands, because it needs a
    place for all of it; nothing of a class whose first pods decide where its other pods may go; and
    nothing of a class that wishes to be spread, because a plan knows of no wishes.
    """
    kind, count = group.kind, len(group.keys)
    nothing = np.zeros(len(share), dtype=np.int64)
    if kind.placement.gang or group.gang or _spreads(kind):
        return nothing
    choice = _Choice.of(group, count, occupancy)
    fits = np.minimum(choice.fits, share)
    if choice.request is None or not fits.any():
        return nothing
    if any(isinstance(rule, Together | Groups) for rule in choice.rules):
        return nothing
    preference = scores.preference(kind, choice.fits, count, occupancy)
    nodes = distribute(fits, preference, count, choice.rules)
    if nodes.any():
        occupancy.land(kind, choice.request, nodes)
    return nodes


def placed(group: Waiting, count: int, occupancy: Occupancy) -> tuple[IntVector, Short | None]:
    """Land as many of `count` tasks of a class as find room: [N] how many, and why not all."""
    kind = group.kind
    choice = _Choice.of(group, count, occupancy)
    open_, rules, request = choice.open_, choice.rules, choice.request
    nodes = np.zeros(len(open_), dtype=np.int64)
    if request is not None and choice.fits.any():
        nodes = _filled(kind, count, choice.fits, rules, occupancy)
        if kind.placement.gang and nodes.sum() < count:
            whole = gangs.placed(
                count, choice.fits, lambda: filters.rules(kind, open_, count, occupancy)
            )
            nodes = nodes if whole is None else whole
        occupancy.land(kind, request, nodes)
    if nodes.sum() == count:
        return nodes, None
    refusing = [
        *choice.refusing,
        *(Refusing(rule.reason, rule.detail, rule.refuses()) for rule in rules),
    ]
    funnel = explain.funnel(kind.request, refusing, occupancy)
    if kind.placement.gang and request is not None and nodes.any():
        # Explained with part of the gang placed: this shows what the rest of the gang lacks.
        occupancy.lift()
        nodes = np.zeros(len(nodes), dtype=np.int64)
    for rule in rules:
        open_ = open_ & ~rule.refuses()
    return nodes, Short(funnel, open_)


def _filled(
    kind: PodClass, count: int, fits: IntVector, rules: list[Rule], occupancy: Occupancy
) -> IntVector:
    """[N]: how many of a class go where; wishes are kept as long as they leave room for all."""
    preference = scores.preference(kind, fits, count, occupancy)
    nodes = np.zeros(len(fits), dtype=np.int64)
    for among, soft in _steps(kind, occupancy):
        left = count - int(nodes.sum())
        if left == 0:
            break
        for rule in soft:
            rule.land(nodes)
        room = np.where(among, fits - nodes, 0)
        nodes += distribute(room, preference, left, [*rules, *soft])
    return nodes


def _steps(kind: PodClass, occupancy: Occupancy) -> Iterator[tuple[BoolVector, list[Rule]]]:
    """The nodes to fill and the wishes to keep, step by step.

    ScheduleAnyway opens no node that could stay empty; that is what the strategy Spread is for.
    """
    everywhere = np.ones(len(occupancy.table.nodes), dtype=np.bool_)
    for soft in constraints.wishes(kind, occupancy):
        yield everywhere, soft
    if any(not constraint.hard for constraint in kind.constraints.spread):
        for among in (occupancy.busy, everywhere):
            yield among, filters.wishes(kind, among, occupancy)
            yield among, []
    else:
        yield everywhere, []


def _spreads(kind: PodClass) -> bool:
    wished = any(not constraint.hard for constraint in kind.constraints.spread)
    return wished or kind.placement.strategy is Strategy.SPREAD
