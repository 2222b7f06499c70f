"""One look at a service whose instances have a place of their own: an ordinal, a node, a claim.

It joins what `ordinals`, `claims`, `per_node` and `sole_claims` say of the service.
"""

from dataclasses import replace

from bayplan.model.intents import ClaimAct
from bayplan.model.pods import Pod
from bayplan.reconcile.longservice import (
    claims,
    in_place,
    ordinals,
    per_node,
    rollout,
    sole_claims,
)
from bayplan.reconcile.longservice.context import ServiceContext, updated


def change(context: ServiceContext, places: in_place.Places) -> rollout.Change:
    """Which instances are made and which go; during the brake only missing ones are made."""
    known = context.kept is not None
    if context.braked_until is not None:
        goal = 0 if context.rolling and known else context.spec.replicas
        return places.filled(goal, updated(context.instances, context.update), restorable=known)
    if context.gated and not known:
        return rollout.Change(leave=places.leave)
    if not context.sound:  # the kept revision is made
        return replace(places.filled(0, 0, restorable=False), leave=places.leave)
    return in_place.changed(
        places,
        context.instances,
        context.limits,
        context.goal,
        restorable=known,
        refused=context.crowded_out,
        most_sick=context.spec.unhealthy.max_concurrent,
    )


def places(context: ServiceContext) -> in_place.Places | None:
    """The places of a service whose instances have their own; None for any other service."""
    if context.coverage is not None:
        return per_node.places(context.coverage, context.instances, context.limits)
    stranded = frozenset(pod.key for pod in context.stranded)
    if context.row is None:
        if context.sole:
            return sole_claims.places(
                context.instances, context.pods.values(), context.spec.replicas, stranded
            )
        return None

    def ready(number: int) -> bool:
        return not claims.lacking(context.service, context.spec, context.view.claims, number)

    return ordinals.places(context.row, context.instances, ready, stranded)


def claim_acts(context: ServiceContext) -> tuple[ClaimAct, ...]:
    if context.row is None:
        return ()
    braked = context.braked_until is not None
    return claims.changes(
        context.service, context.spec, context.view.claims, context.row, braked=braked
    )


def held(context: ServiceContext) -> tuple[str, ...]:
    """A sentence for each instance that cannot be made yet, with what it waits for."""
    if context.row is None:
        pods = context.pods.values() if context.sole else ()
        there = [pod for pod in pods if not pod.terminal and _silent(context, pod)]
        return tuple(_waits("no instance is made", f"pod {pod.name}", pod) for pod in there)
    told = []
    for number in context.row.wanted:
        pod = context.row.pods.get(number)
        name = ordinals.name_of(context.service.name, number)
        if pod is None:
            lacking = claims.lacking(context.service, context.spec, context.view.claims, number)
            going = [claim for claim in lacking if claim in context.view.claims]
            told += [f"{name} waits until claim {claim} is deleted" for claim in going[:1]]
        elif _silent(context, pod):
            told.append(_waits(f"{name} is not made again", "its pod", pod))
    return tuple(told)


def stranded(context: ServiceContext) -> tuple[str, ...]:
    """A sentence for each instance that no update may end, with what to do."""
    return tuple(
        f"{pod.name} keeps its template as long as node {pod.node} lets no pod in, since its "
        "volume exists on that node only; uncordon the node, or evict the pod"
        for pod in context.stranded
    )


def _silent(context: ServiceContext, pod: Pod) -> bool:
    """Whether a terminating pod stands on a silent node, so that nobody reports its end."""
    node = context.view.nodes.get(pod.node)
    return pod.terminating and node is not None and not node.ready


def _waits(what: str, predecessor: str, pod: Pod) -> str:
    return (
        f"{what} before {predecessor} on node {pod.node}, which does not answer, is deleted; if "
        "that node is switched off for good, delete the node, or the pod by force"
    )
