"""One look at a service whose instances have a place of their own: an ordinal, a node, a claim.

What `ordinals`, `claims`, `pernode` and `sole` say of it.
"""

from dataclasses import replace

from bayplan.model.intents import ClaimAct
from bayplan.model.pods import Pod
from bayplan.reconcile import claims, inplace, ordinals, pernode, rollout, sole
from bayplan.reconcile.servicescene import ServiceScene, updated


def change(scene: ServiceScene, places: inplace.Places) -> rollout.Change:
    """Who is made and who goes; while the brake is on only what lacks is made."""
    known = scene.kept is not None
    if scene.braked_until is not None:
        goal = 0 if scene.rolling and known else scene.spec.replicas
        return places.filled(goal, updated(scene.instances, scene.update), restorable=known)
    if scene.gated and not known:
        return rollout.Change(leave=places.leave)
    if not scene.sound:  # the kept one is made
        return replace(places.filled(0, 0, restorable=False), leave=places.leave)
    return inplace.changed(
        places,
        scene.instances,
        scene.limits,
        scene.goal,
        restorable=known,
        refused=scene.crowded_out,
        most_sick=scene.spec.unhealthy.max_concurrent,
    )


def places(scene: ServiceScene) -> inplace.Places | None:
    """The places of instances that have one of their own; None of others."""
    if scene.coverage is not None:
        return pernode.places(scene.coverage, scene.instances, scene.limits)
    if scene.row is None:
        if scene.sole:
            return sole.places(scene.instances, scene.pods.values(), scene.spec.replicas)
        return None

    def ready(number: int) -> bool:
        return not claims.lacking(scene.service, scene.spec, scene.view.claims, number)

    return ordinals.places(scene.row, scene.instances, ready)


def claim_acts(scene: ServiceScene) -> tuple[ClaimAct, ...]:
    if scene.row is None:
        return ()
    braked = scene.braked_until is not None
    return claims.changes(scene.service, scene.spec, scene.view.claims, scene.row, braked=braked)


def held(scene: ServiceScene) -> tuple[str, ...]:
    """Instances that cannot be made yet, each with what it waits for."""
    if scene.row is None:
        pods = scene.pods.values() if scene.sole else ()
        there = [pod for pod in pods if not pod.terminal and _silent(scene, pod)]
        return tuple(_waits("no instance is made", f"pod {pod.name}", pod) for pod in there)
    told = []
    for number in scene.row.wanted:
        pod = scene.row.pods.get(number)
        name = ordinals.name_of(scene.service.name, number)
        if pod is None:
            lacking = claims.lacking(scene.service, scene.spec, scene.view.claims, number)
            going = [claim for claim in lacking if claim in scene.view.claims]
            told += [f"{name} waits until claim {claim} is deleted" for claim in going[:1]]
        elif _silent(scene, pod):
            told.append(_waits(f"{name} is not made again", "its pod", pod))
    return tuple(told)


def _silent(scene: ServiceScene, pod: Pod) -> bool:
    """Whether a pod is to go that nobody says has gone."""
    node = scene.view.nodes.get(pod.node)
    return pod.terminating and node is not None and not node.ready


def _waits(what: str, predecessor: str, pod: Pod) -> str:
    return (
        f"{what} before {predecessor} on node {pod.node}, which does not answer, is deleted; if "
        "that node is switched off for good, delete the node, or the pod by force"
    )
