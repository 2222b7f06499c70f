"""Finds single changes that would make a pod fit; each is tried with the same engine."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

from bayplan.model import wording
from bayplan.model.nodes import HOSTNAME, Node
from bayplan.model.pods import Toleration
from bayplan.model.reasons import Funnel, Reason
from bayplan.model.snapshot import Snapshot
from bayplan.model.state import State
from bayplan.model.workloads import PodClass, Waiting
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning.offerings import Offer

_MOST_CHANGES = 3  # of the pod; the node to buy comes after them
_MICRO = 1_000_000


def hints(
    state: State, kind: PodClass, funnel: Funnel, offer: Offer | None, zones: Sequence[str]
) -> tuple[str, ...]:
    """Hints (`if …`) for one more pod of a class, the smallest change first.

    `offer` could be bought in any of these zones. The state is the same afterwards.
    """
    if funnel.making:
        return ()  # it has a node
    changes = itertools.islice(_changed(state.snapshot(), kind, funnel), _MOST_CHANGES)
    bought = tuple(_bought(state, kind, offer, zones)) if offer is not None else ()
    return (*changes, *(bought or _doubled(state, kind, funnel)))


def _changed(snapshot: Snapshot, kind: PodClass, funnel: Funnel) -> Iterator[str]:
    """Changes of the pod itself."""
    nearest = funnel.nearest
    lacks = nearest.lacks if nearest is not None else {}
    # It does not help to say that the pod should request nothing.
    if lacks and all(amount < kind.request.amount(name) for name, amount in lacks.items()):
        smaller = {name: amount - lacks.get(name, 0) for name, amount in kind.request.items()}
        request = type(kind.request)(smaller)
        if _fits(snapshot, dataclasses.replace(kind, request=request)):
            yield f"if it asked for {wording.lacking(lacks)} less"
    for said, other in itertools.chain(_tolerant(kind, funnel), _looser(kind)):
        if _fits(snapshot, other):
            yield said


def _bought(state: State, kind: PodClass, offer: Offer, zones: Sequence[str]) -> Iterator[str]:
    """A hint to buy another node, in any zone or only in some."""
    nodes = [(zone, offer.node(f"one-more-{offer.name}-{zone}", zone)) for zone in zones]
    helps = [zone for zone, node in nodes if _fits_beside(state, kind, node)]
    if helps:
        where = f" in {' or '.join(helps)}" if len(helps) < len(zones) else ""
        yield f"with one more {offer.name} node{where} (${offer.price / _MICRO:.4f} an hour)"


def _doubled(state: State, kind: PodClass, funnel: Funnel) -> Iterator[str]:
    """A hint to add a node like the nearest node, with its pool's labels that no offer knows."""
    like = state.nodes.get(funnel.nearest.node) if funnel.nearest is not None else None
    if like is None:
        return
    name = f"one-more-{like.name}"
    twin = dataclasses.replace(like, name=name, labels={**like.labels, HOSTNAME: name})
    if _fits_beside(state, kind, twin):
        yield f"with one more node like {like.name}"


def _tolerant(kind: PodClass, funnel: Funnel) -> Iterator[tuple[str, PodClass]]:
    """The class with a toleration for each taint that refused it, one at a time."""
    taints = {one.detail for one in funnel.refusals if one.reason is Reason.TAINT}
    for key in sorted(taints):
        more = (*kind.constraints.tolerations, Toleration(key, "Exists"))
        changed = dataclasses.replace(kind.constraints, tolerations=more)
        yield (
            f"with a toleration of taint {key}",
            dataclasses.replace(kind, constraints=changed),
        )


def _looser(kind: PodClass) -> Iterator[tuple[str, PodClass]]:
    """The class without one of its own constraints, one at a time."""
    wanted = kind.constraints
    for index, (key, value) in enumerate(wanted.selector):
        rest = wanted.selector[:index] + wanted.selector[index + 1 :]
        changed = dataclasses.replace(wanted, selector=rest)
        yield f"without node selector {key}={value}", dataclasses.replace(kind, constraints=changed)
    if wanted.affinity is not None:
        changed = dataclasses.replace(wanted, affinity=None)
        yield "without its node affinity", dataclasses.replace(kind, constraints=changed)
    if any(spread.hard for spread in wanted.spread):
        changed = dataclasses.replace(wanted, spread=())
        yield "without its topology spread", dataclasses.replace(kind, constraints=changed)
    if wanted.pod_anti_affinity:
        changed = dataclasses.replace(wanted, pod_anti_affinity=())
        yield "without its pod anti-affinity", dataclasses.replace(kind, constraints=changed)
    if wanted.pod_affinity:
        changed = dataclasses.replace(wanted, pod_affinity=())
        yield "without its pod affinity", dataclasses.replace(kind, constraints=changed)
    if wanted.host_ports:
        changed = dataclasses.replace(wanted, host_ports=())
        yield "without its host ports", dataclasses.replace(kind, constraints=changed)
    if kind.placement.constraints:
        rules = dataclasses.replace(kind.placement, constraints=())
        yield "without placement.constraints", dataclasses.replace(kind, placement=rules)


def _fits(snapshot: Snapshot, kind: PodClass) -> bool:
    alone = Waiting(kind, ((kind.namespace, "one-more"),))
    return bool(solve(snapshot, [alone], 0, Policy()).placements)


def _fits_beside(state: State, kind: PodClass, node: Node) -> bool:
    """Whether it would fit if there were this node too."""
    state.set_node(node)
    try:
        return _fits(state.snapshot(), kind)
    finally:
        state.drop_node(node.name)
