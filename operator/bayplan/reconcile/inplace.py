"""Updates in place: where an instance cannot have a second one beside it, the old one goes first.

So it is with instances that have a volume or a node of their own. There is no surge, and nothing
but the healthy minimum tells how many are down at once; one always may be, or no update could
begin.
"""

from collections.abc import Callable, Collection, Sequence

from bayplan.model import pod as pods_
from bayplan.reconcile.instances import Instances
from bayplan.reconcile.rollout import Bounds

Turn = Callable[[pods_.Pod], tuple[object, ...]]  # who goes first has the smallest


def bounds(replicas: int, minimum_healthy_percent: int) -> Bounds:
    """At least ceil(n·min) healthy, but one instance may always be without; never more than n."""
    healthy = -(-replicas * minimum_healthy_percent // 100)
    return Bounds(max(0, min(healthy, replicas - 1)), replicas)


def outdated(
    live: Sequence[pods_.Pod], book: Instances, limits: Bounds, goal: int, turn: Turn
) -> list[pods_.Pod]:
    """Who of the old ones goes now, so that `goal` of `limits.instances` get the newest revision.

    `live` are those in their places. Who is not healthy anyway goes before the others; a new one
    that is not healthy yet, and a place with nobody in it, count as down.
    """
    replicas = limits.instances
    new = [pod for pod in live if book.revision_of(pod) == book.revision]
    old = [pod for pod in live if book.revision_of(pod) != book.revision]
    healthy = book.healthy_among(live)
    down = replicas - len(live) + sum(not book.healthy(pod) for pod in new)
    spare = replicas - limits.healthy - down
    old.sort(key=turn)
    sick = [pod for pod in old if not book.healthy(pod)][: max(0, spare)]
    well_spare = min(spare - len(sick), healthy - limits.healthy)
    well = [pod for pod in old if book.healthy(pod)][: max(0, well_spare)]
    return [*sick, *well][: max(0, len(old) - (replicas - goal))]


def replaced(live: Collection[pods_.Pod], book: Instances, most: int) -> list[pods_.Pod]:
    """The longest sick ones, when nobody is on the way up."""
    if any(not book.healthy(pod) and pod.key not in book.sick for pod in live):
        return []
    keys = sorted(book.sick, key=lambda key: (book.sick[key], key))[:most]
    return [pod for pod in live if pod.key in keys]
