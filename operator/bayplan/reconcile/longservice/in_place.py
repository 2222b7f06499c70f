"""Updates in place: where an instance cannot have a second one beside it, the old one goes first.

So it is with instances that have a volume or a node of their own. There is no surge, and nothing
but the healthy minimum tells how many are down at once; one always may be, or no update could
begin. Which places there are, and who stands in them, is for `ordinals` and `pernode`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bayplan.model.pods import Pod
from bayplan.reconcile.longservice.instances import Instances
from bayplan.reconcile.longservice.rollout import Bounds, Change

Leave = tuple[tuple[Pod, str], ...]  # pod, why


@dataclass(frozen=True, slots=True)
class Places:
    """The places of a service: who stands in them, which are vacant.

    `leave` go whatever their revision; by `turn` (the smallest first) those in their places go in
    an update. `numbers` name the vacant places where they have ordinals. Who is sick is replaced
    while `settled`.
    """

    live: Sequence[Pod]
    leave: Leave
    turn: Callable[[Pod], tuple[Any, ...]]
    vacant: int
    numbers: tuple[int, ...] | None = None
    settled: bool = True

    def filled(self, goal: int, new: int, *, restorable: bool) -> Change:
        """Every vacant place gets an instance: of the newest revision up to `goal`, else the kept.

        `new`: how many have the newest one already. Without one to restore all get the newest.
        """
        starts = min(self.vacant, max(0, goal - new)) if restorable else self.vacant
        if self.numbers is None:
            return Change(start=starts, restore=self.vacant - starts)
        return Change(start_at=self.numbers[:starts], restore_at=self.numbers[starts:])


def bounds(replicas: int, minimum_healthy_percent: int) -> Bounds:
    """At least ceil(n·min) healthy, but one instance may always be without; never more than n."""
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

    Of the old ones those go first that are not healthy anyway; a new one that is not healthy yet,
    and a place with nobody in it, count as down.

    While none of the newest revision is healthy only as many places have it as may be without: a
    place that becomes vacant, or is new, gets the kept one, which is known to work. So it is of
    those that do not have it yet while the server refuses its pods (`refused`).
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
    old.sort(key=places.turn)
    sick = [pod for pod in old if not instances.healthy(pod)][: max(0, spare)]
    well_spare = min(spare - len(sick), healthy - limits.healthy)
    well = [pod for pod in old if instances.healthy(pod)][: max(0, well_spare)]
    going = [*sick, *well][: max(0, len(old) - (replicas - goal))]
    leave = [*places.leave, *((pod, "outdated") for pod in going)]
    if not old and places.settled:
        leave += [(pod, "unhealthy, replaced") for pod in _replaced(live, instances, most_sick)]
    return replace(places.filled(goal, len(new), restorable=restorable), leave=tuple(leave))


def _replaced(live: Collection[Pod], instances: Instances, most: int) -> list[Pod]:
    """The longest sick ones, when nobody is on the way up."""
    if any(not instances.healthy(pod) and pod.key not in instances.sick for pod in live):
        return []
    keys = sorted(instances.sick, key=lambda key: (instances.sick[key], key))[:most]
    return [pod for pod in live if pod.key in keys]
