"""Place the tasks of one class: by the plan of a backlog, or by score."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayplan.model import reasons
from bayplan.model.reasons import Funnel
from bayplan.model.workloads import PodClass, Strategy, Waiting
from bayplan.optimizer import fill
from bayplan.placement import companions, constraints, explain, filters, gangs, scores
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
    def of(
        cls, group: Waiting, count: int, occupancy: Occupancy, *, awaited: bool = False
    ) -> "_Choice":
        kind = group.kind
        verdict = filters.of_nodes(kind, occupancy.table)
        moment = tuple(filters.of_the_moment(group, occupancy, awaited=awaited))
        if kind.companions is not None:
            moment += companions.refusing(kind, occupancy)
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


def by_plan(
    group: Waiting, count: int, share: IntVector, occupancy: Occupancy, *, awaited: bool
) -> IntVector:
    """Land `count` tasks of a class where they are planned, as filters and rules agree: [N].

    `share` are the copies that each node is to get. Nothing of a gang lands, because it needs a
    place for all of it, and nothing of a class with companions, whose tasks land one by one. Unless
    room was kept for the pods (`awaited`), nothing lands of a class whose first pods decide where
    its other pods may go, and nothing of a class that wishes to be spread, because a plan knows of
    no wishes.
    """
    kind = group.kind
    nothing = np.zeros(len(share), dtype=np.int64)
    if kind.placement.gang or group.gang or (_spreads(kind) and not awaited):
        return nothing
    if kind.companions is not None:
        return nothing
    choice = _Choice.of(group, count, occupancy, awaited=awaited)
    fits = np.minimum(choice.fits, share)
    if choice.request is None or not fits.any():
        return nothing
    if any(isinstance(rule, Together | Groups) for rule in choice.rules) and not awaited:
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
        nodes, rules = _best(kind, count, choice, occupancy)
        occupancy.land(kind, request, nodes)
    if nodes.sum() == count:
        return nodes, None
    refusing = [
        *choice.refusing,
        *(Refusing(rule.reason, rule.detail, rule.refuses()) for rule in rules),
    ]
    if occupancy.awaited and request is not None:
        short = fill.fit(occupancy.free, request) == 0
        enough = fill.fit(occupancy.free + occupancy.room_kept(), request) > 0
        refusing.append(Refusing(reasons.Reason.HELD, "", short & enough))
    funnel = explain.funnel(kind.request, refusing, occupancy)
    if kind.placement.gang and request is not None and nodes.any():
        # Explained with part of the gang placed: this shows what the rest of the gang lacks.
        occupancy.lift()
        nodes = np.zeros(len(nodes), dtype=np.int64)
    for rule in rules:
        open_ = open_ & ~rule.refuses()
    return nodes, Short(funnel, open_)


def _best(
    kind: PodClass, count: int, choice: _Choice, occupancy: Occupancy
) -> tuple[IntVector, list[Rule]]:
    """[N]: how many of a class go where, and the rules after them."""

    def tried(attempt: _Attempt, rules: list[Rule]) -> IntVector:
        nodes = _filled(kind, count, attempt, rules, occupancy)
        if kind.placement.gang and nodes.sum() < count:
            whole = gangs.placed(count, attempt.fits, fresh)
            nodes = nodes if whole is None else whole
        return nodes

    def fresh() -> list[Rule]:
        return filters.rules(kind, choice.open_, count, occupancy)

    first, *others = _attempts(kind, choice, occupancy)
    nodes, rules = tried(first, choice.rules), choice.rules
    for attempt in others:
        if nodes.sum() == count:
            break
        again = fresh()
        other = tried(attempt, again)
        if other.sum() > nodes.sum():
            nodes, rules = other, again
    return nodes, rules


@dataclass(frozen=True, slots=True, eq=False)
class _Attempt:
    """One way to place a class: copies that fit on each node, and parts of the nodes.

    One part is filled after the other. Nodes that are `last` [N] are last within their part.
    """

    fits: IntVector
    parts: tuple[BoolVector, ...]
    last: BoolVector | None = None


def _attempts(kind: PodClass, choice: _Choice, occupancy: Occupancy) -> Iterator[_Attempt]:
    """The ways to try until one places all pods; the first of the best counts.

    Without nodes that close there is one. Otherwise these are filled when all other nodes are full;
    a gang spares them altogether if it can. Rules between pods may then find no way for all of
    them, because the first pods decide where the others may go. So at last all nodes are filled
    together, and as if no node closed.
    """
    everywhere = np.ones(len(choice.open_), dtype=np.bool_)
    fits, closing = choice.fits, occupancy.closing
    plain = _Attempt(fits, (everywhere,))
    if closing is None or not fits[closing].any():
        yield plain
        return
    if kind.placement.gang:
        yield _Attempt(np.where(closing, 0, fits), (everywhere,))
    yield _Attempt(fits, (~closing, everywhere), closing)
    if choice.rules:
        yield _Attempt(fits, (everywhere,), closing)
        yield plain


def _filled(
    kind: PodClass, count: int, attempt: _Attempt, rules: list[Rule], occupancy: Occupancy
) -> IntVector:
    """[N]: how many of a class go where; wishes are kept as long as they leave room for all."""
    fits = attempt.fits
    preference = scores.preference(kind, fits, count, occupancy, last=attempt.last)
    nodes = np.zeros(len(fits), dtype=np.int64)
    for part in attempt.parts:
        for among, soft in _steps(kind, part, occupancy):
            left = count - int(nodes.sum())
            if left == 0:
                return nodes
            for rule in soft:
                rule.land(nodes)
            room = np.where(among, fits - nodes, 0)
            nodes += distribute(room, preference, left, [*rules, *soft])
    return nodes


def _steps(
    kind: PodClass, part: BoolVector, occupancy: Occupancy
) -> Iterator[tuple[BoolVector, list[Rule]]]:
    """The nodes of a part to fill and the wishes to keep, step by step.

    ScheduleAnyway opens no node that could stay empty; that is what the strategy Spread is for.
    """
    for soft in constraints.wishes(kind, occupancy):
        yield part, soft
    if any(not constraint.hard for constraint in kind.constraints.spread):
        for among in (occupancy.busy & part, part):
            yield among, filters.wishes(kind, among, occupancy)
            yield among, []
    else:
        yield part, []


def _spreads(kind: PodClass) -> bool:
    wished = any(not constraint.hard for constraint in kind.constraints.spread)
    return wished or kind.placement.strategy is Strategy.SPREAD
