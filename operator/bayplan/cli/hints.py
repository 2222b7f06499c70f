"""What would make a pod fit: one change at a time, each tried with the same engine."""

import dataclasses
from collections.abc import Iterator, Sequence

from bayplan.cli.menu import Offer
from bayplan.model import place
from bayplan.model.reason import Funnel
from bayplan.model.snapshot import Snapshot
from bayplan.model.workload import PodClass, Waiting
from bayplan.placement import explain
from bayplan.placement.solve import Policy, solve

_MOST = 4
_MICRO = 1_000_000


def hints(
    snapshot: Snapshot, kind: PodClass, funnel: Funnel, offers: Sequence[Offer]
) -> tuple[str, ...]:
    """`if …` for one pod more of a class, the least change first."""
    return tuple(_tried(snapshot, kind, funnel, offers))[:_MOST]


def _tried(
    snapshot: Snapshot, kind: PodClass, funnel: Funnel, offers: Sequence[Offer]
) -> Iterator[str]:
    nearest = funnel.nearest
    if nearest is not None and nearest.lacks:
        smaller = {
            name: max(amount - nearest.lacks.get(name, 0), 0)
            for name, amount in kind.request.items()
        }
        request = type(kind.request)({name: one for name, one in smaller.items() if one})
        if _fits(snapshot, dataclasses.replace(kind, request=request)):
            yield f"if it asked for {explain.lacking(nearest.lacks)} less"
    for said, other in _looser(kind):
        if _fits(snapshot, other):
            yield f"without {said}"
    for offer in offers:
        yield f"with one more {offer.name} node (${offer.price / _MICRO:.4f} an hour)"


def _looser(kind: PodClass) -> Iterator[tuple[str, PodClass]]:
    """The class without one of its own wishes."""
    wanted = kind.constraints
    for index, (key, value) in enumerate(wanted.selector):
        rest = wanted.selector[:index] + wanted.selector[index + 1 :]
        changed = dataclasses.replace(wanted, selector=rest)
        yield f"node selector {key}={value}", dataclasses.replace(kind, constraints=changed)
    if wanted.affinity is not None and not any(map(place.accepts, kind.placement.constraints)):
        changed = dataclasses.replace(wanted, affinity=None)
        yield "its node affinity", dataclasses.replace(kind, constraints=changed)
    if any(spread.hard for spread in wanted.spread):
        changed = dataclasses.replace(wanted, spread=())
        yield "its topology spread", dataclasses.replace(kind, constraints=changed)
    if wanted.pod_anti_affinity:
        changed = dataclasses.replace(wanted, pod_anti_affinity=())
        yield "its pod anti-affinity", dataclasses.replace(kind, constraints=changed)
    if kind.placement.constraints:
        rules = dataclasses.replace(kind.placement, constraints=())
        changed = dataclasses.replace(wanted, affinity=None, spread=(), pod_anti_affinity=())
        yield (
            "placement.constraints",
            dataclasses.replace(kind, constraints=changed, placement=rules),
        )


def _fits(snapshot: Snapshot, kind: PodClass) -> bool:
    alone = Waiting(kind, ((kind.namespace, "one-more"),))
    return bool(solve(snapshot, [alone], 0, Policy()).placements)
