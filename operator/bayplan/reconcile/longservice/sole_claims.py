"""Instances that share a ReadWriteOncePod claim: only one pod at a time can use it.

The template itself mounts such a claim. A successor would wait for ever beside its predecessor. So
the old instance goes first, in an update and when it is replaced, and the next is made when the old
one is really gone. No instance moves off a node that is about to go: whoever drains the node evicts
it. More than one instance never runs; the status says so.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from bayplan.model.pods import Claim, Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice import in_place
from bayplan.reconcile.longservice.instances import Instances
from bayplan.reconcile.longservice.ordinals import SILENT

ClaimOf = Callable[[str], Claim | None]  # of the service's namespace, by name


def claims(template: Mapping[str, Any], claim_of: ClaimOf) -> tuple[str, ...]:
    """The claims that a template mounts and that only one pod at a time may use."""
    spec = template.get("spec")
    volumes = spec.get("volumes") if isinstance(spec, Mapping) else None
    found = []
    for volume in volumes if isinstance(volumes, list | tuple) else ():
        source = volume.get("persistentVolumeClaim") if isinstance(volume, Mapping) else None
        name = source.get("claimName") if isinstance(source, Mapping) else None
        claim = claim_of(name) if isinstance(name, str) else None
        if claim is not None and claim.alone:
            found.append(claim.name)
    return tuple(found)


def places(
    instances: Instances, pods: Collection[Pod], replicas: int, stranded: Collection[PodKey] = ()
) -> in_place.Places:
    """As many places as replicas; a pod that is not live but still there takes a place.

    `pods` are all pods of the service. An instance on a node that is silent for too long is
    deleted: the claim is free when the instance has gone. No update ends the `stranded` instances.
    """
    surplus = instances.balanced(instances.live, max(0, len(instances.live) - replicas))
    gone = {pod.key for pod in surplus}
    live = [pod for pod in instances.live if pod.key not in gone]
    going = sum(bool(pod.node) and not pod.terminal for pod in pods) - sum(
        bool(pod.node) for pod in live
    )
    turns = {pod.key: turn for turn, pod in enumerate(instances.first_to_go(live))}
    return in_place.Places(
        live=live,
        leave=(*((pod, "surplus") for pod in surplus), *((pod, SILENT) for pod in instances.lost)),
        turn=lambda pod: (turns[pod.key],),
        vacant=max(0, replicas - len(live) - going),
        settled=len(live) == replicas,
        stranded=stranded,
    )
