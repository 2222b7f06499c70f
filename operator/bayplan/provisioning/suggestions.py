"""Finds single changes that would make a pod fit; each is tried with the same engine."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

from bayplan.model import wording
from bayplan.model.nodes import ARCH, CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, OS, REGION, ZONE, Node
from bayplan.model.pods import Toleration
from bayplan.model.reasons import Funnel, Reason
from bayplan.model.snapshot import Snapshot
from bayplan.model.state import State
from bayplan.model.workloads import PodClass, Waiting
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning import offerings
from bayplan.provisioning.demand import Shop
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.prices import MODELLED

_MOST_CHANGES = 3  # of the pod; the node to buy comes after them
_MICRO = 1_000_000
_OF_A_TYPE = frozenset({ARCH, CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, OS, REGION, ZONE})


def offer_for(state: State, kind: PodClass, zones: Sequence[str]) -> Offer | None:
    """The cheapest instance type that holds a pod of a class; a usual type if there is one.

    Its nodes have the labels that the pod selects and that no instance type gives.
    """
    labels = {key: value for key, value in kind.constraints.selector if not _given(key)}
    daemonsets = tuple(state.daemonsets.values())
    for types in ([], *offerings.ladder_of("amd64")):
        offers = offerings.offers(types, MODELLED, labels=labels)
        found = Shop(offers, zones, daemonsets, state.claims).more(kind, 1)
        if found:
            return found[0][0]
    return None


def _given(label: str) -> bool:
    """Whether the instance, and not who runs the cluster, gives a node this label."""
    return label in _OF_A_TYPE or "kubernetes.io/" in label


def hints(
    state: State,
    kind: PodClass,
    funnel: Funnel,
    offer: Offer | None,
    zones: Sequence[str],
    *,
    labelled: bool = False,
) -> tuple[str, ...]:
    """Hints (`if …`) for one more pod of a class, the smallest change first.

    `offer` could be bought in any of these zones; `labelled`: its labels are to be told. A request
    that would lose more than half comes last. The state is the same afterwards.
    """
    if funnel.making:
        return ()  # it has a node
    less, halves = _less(state.snapshot(), kind, funnel)
    changes = itertools.chain(() if halves else less, _changed(state.snapshot(), kind, funnel))
    first = itertools.islice(changes, _MOST_CHANGES)
    bought = tuple(_bought(state, kind, offer, zones, labelled)) if offer is not None else ()
    return (*first, *(bought or _doubled(state, kind, funnel)), *(less if halves else ()))


def _less(snapshot: Snapshot, kind: PodClass, funnel: Funnel) -> tuple[tuple[str, ...], bool]:
    """The hint to ask for less, if there is one; and whether more than half would have to go."""
    nearest = funnel.nearest
    lacks: Mapping[str, int] = nearest.lacks if nearest is not None else {}
    # It does not help to say that the pod should request nothing.
    if lacks and all(amount < kind.request.amount(name) for name, amount in lacks.items()):
        smaller = {name: amount - lacks.get(name, 0) for name, amount in kind.request.items()}
        request = type(kind.request)(smaller)
        if _fits(snapshot, dataclasses.replace(kind, request=request)):
            halves = any(2 * lacks[name] > kind.request.amount(name) for name in lacks)
            return (f"if it asked for {wording.lacking(lacks)} less",), halves
    return (), False


def _changed(snapshot: Snapshot, kind: PodClass, funnel: Funnel) -> Iterator[str]:
    """Changes of where the pod may go."""
    for said, other in itertools.chain(_tolerant(kind, funnel), _looser(kind)):
        if _fits(snapshot, other):
            yield said


def _bought(
    state: State, kind: PodClass, offer: Offer, zones: Sequence[str], labelled: bool
) -> Iterator[str]:
    """A hint to buy another node, in any zone or only in some."""
    nodes = [(zone, offer.node(f"one-more-{offer.name}-{zone}", zone)) for zone in zones]
    helps = [zone for zone, node in nodes if _fits_beside(state, kind, node)]
    if helps:
        where = f" in {' or '.join(helps)}" if len(helps) < len(zones) else ""
        labels = ", ".join(f"{key}={value}" for key, value in offer.labels) if labelled else ""
        where += f" that has the label {labels}" if labels else ""
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
