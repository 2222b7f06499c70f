"""Updates in place: where an instance cannot have a second one beside it, the old one goes first.

This applies to instances that have a volume or a node of their own. There is no surge. Only the
healthy minimum limits how many are down at once; one instance always may be down, or no update
could begin. `ordinals` and `per_node` decide which places there are, and who stands in them.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice.instances import Instances
from bayplan.reconcile.longservice.rollout import Bounds, Change

Leave = tuple[tuple[Pod, str], ...]  # pod, why


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a service: which instances stand in them, and which places are vacant.

    `leave` go whatever their revision. In an update, instances go in the order of `turn` (the
    smallest first); those that are `stranded` stay. `numbers` are the ordinals of the vacant
    places, where there are ordinals. Sick instances are replaced only while `settled`.
    """

    live: Sequence[Pod]
    leave: Leave
    turn: Callable[[Pod], tuple[Any, ...]]
    vacant: int
    numbers: tuple[int, ...] | None = None
    settled: bool = True
    stranded: Collection[PodKey] = ()

    def filled(self, goal: int, new: int, *, restorable: bool) -> Change:
        """Every vacant place gets an instance: of the newest up to `goal`, else of the kept.

        `new`: how many have the newest already. Without a kept revision all get the newest.
        """
        starts = min(self.vacant, max(0, goal - new)) if restorable else self.vacant
        if self.numbers is None:
            return Change(start=starts, restore=self.vacant - starts)
        return Change(start_at=self.numbers[:starts], restore_at=self.numbers[starts:])


def bounds(replicas: int, minimum_healthy_percent: int) -> Bounds:
    """At least ceil(n·min) healthy, but one instance may always be down; never more than n."""
    healthy = -(-replicas * minimum_healthy_percent // 100)
    return Bounds(max(0, min(healthy, replicas - 1)), replicas)


def changed(
    places: Places,
    instances: Instances,
    limits: Bounds,
    goal: int,
    *,
    restorable: bool,
    most_sick: int,
    refused: bool = False,
) -> Change:
    """One step towards the newest revision on `goal` of `limits.instances` places.

    Old instances that are not healthy anyway go first. A new instance that is not healthy yet and a
    place without an instance count as down.

    While no instance of the newest revision is healthy, only as many places get it as may be down.
    A place that becomes vacant, or is new, gets the kept revision, which is known to work. The same
    holds while the server refuses the pods of the newest revision (`refused`), for the places that
    do not have it yet.
    """
    live, replicas = places.live, limits.instances
    new = [pod for pod in live if instances.revision_of(pod) == instances.revision]
    old = [pod for pod in live if instances.revision_of(pod) != instances.revision]
    if restorable and not instances.healthy_among(new):
        goal = min(goal, replicas - limits.healthy)
    elif restorable and refused:
        goal = min(goal, len(new) + replicas - limits.healthy)
    healthy = instances.healthy_among(live)
    down = replicas - len(live) + sum(not instances.healthy(pod) for pod in new)
    spare = replicas - limits.healthy - down
    free = sorted((pod for pod in old if pod.key not in places.stranded), key=places.turn)
    sick = [pod for pod in free if not instances.healthy(pod)][: max(0, spare)]
    well_spare = min(spare - len(sick), healthy - limits.healthy)
    well = [pod for pod in free if instances.healthy(pod)][: max(0, well_spare)]
    going = [*sick, *well][: max(0, len(old) - (replicas - goal))]
    leave = [*places.leave, *((pod, "outdated") for pod in going)]
    if not old and places.settled:
        leave += [(pod, "unhealthy, replaced") for pod in _replaced(live, instances, most_sick)]
    return replace(places.filled(goal, len(new), restorable=restorable), leave=tuple(leave))


def _replaced(live: Collection[Pod], instances: Instances, most: int) -> list[Pod]:
    """The instances that are sick the longest, when no instance is still starting."""
    if any(not instances.healthy(pod) and pod.key not in instances.sick for pod in live):
        return []
    keys = sorted(instances.sick, key=lambda key: (instances.sick[key], key))[:most]
    return [pod for pod in live if pod.key in keys]
