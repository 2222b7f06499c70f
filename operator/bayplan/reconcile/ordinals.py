"""Instances with identity: of a service with `volumeClaimTemplates` each has an ordinal of its own.

Ordinals are 0 … n-1, and a pod's name says its ordinal. That is what keeps two pods from one
instance's volumes: a successor has its predecessor's name, so that the API server refuses it as
long as the other is stored, whatever we have seen; and we ask for it only once nothing of that
name is there, running, terminating or ended. On a silent node a pod may be stored, and run, for
ever: who knows better deletes it by force, or the node.

So an update deletes first, ordinal by ordinal (`inplace`): the highest go first, those that are not
healthy anyway before them.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from bayplan.model import pod as pods_
from bayplan.reconcile import inplace, rollout
from bayplan.reconcile.instances import Instances, ordinal
from bayplan.reconcile.revisions import stem

SILENT = "its node does not answer"
_DIGITS = 5

Ready = Callable[[int], bool]  # whether the claims of an ordinal are there


@dataclass(frozen=True, slots=True)
class Row:
    """Every stored pod of a service by its ordinal, and those that have none."""

    replicas: int
    pods: dict[int, pods_.Pod]
    strays: tuple[pods_.Pod, ...] = ()

    @property
    def wanted(self) -> range:
        return range(self.replicas)


def name_of(service: str, number: int) -> str:
    """SERVICE-N, for good."""
    return f"{stem(service, 1 + _DIGITS)}-{number}"


def row(service: str, pods: Collection[pods_.Pod], replicas: int) -> Row:
    numbered: dict[int, pods_.Pod] = {}
    strays: list[pods_.Pod] = []
    for pod in pods:
        number = ordinal(pod.name)
        if number >= 0 and pod.name == name_of(service, number):
            numbered[number] = pod
        else:
            strays.append(pod)
    return Row(replicas, numbered, tuple(strays))


def vacant(row: Row, ready: Ready) -> list[int]:
    """Ordinals of which no pod is stored and every claim is there, the highest first."""
    return [number for number in reversed(row.wanted) if number not in row.pods and ready(number)]


def filled(row: Row, ready: Ready, goal: int, new: int, *, restorable: bool) -> rollout.Change:
    """Every vacant ordinal gets a pod: of the newest revision up to `goal`, else of the kept one.

    `new`: how many have the newest one already.
    """
    numbers = vacant(row, ready)
    starts = max(0, goal - new) if restorable else len(numbers)
    return rollout.Change(start_at=tuple(numbers[:starts]), restore_at=tuple(numbers[starts:]))


def leaving(row: Row, book: Instances) -> list[tuple[pods_.Pod, str]]:
    """Who is to go whatever the revision: beyond `replicas`, nobody's, on a silent node too long.

    Highest ordinals first.
    """
    lost = {pod.key for pod in book.lost}
    leave = [(pod, "surplus") for pod in row.strays if not (pod.terminal or pod.terminating)]
    for number in sorted(row.pods, reverse=True):
        pod = row.pods[number]
        if pod.terminal or pod.terminating:
            continue
        if number >= row.replicas:
            leave.append((pod, "surplus"))
        elif pod.key in lost:
            leave.append((pod, SILENT))
    return leave


def changed(
    row: Row,
    book: Instances,
    limits: rollout.Bounds,
    goal: int,
    ready: Ready,
    *,
    failing: bool,
    restorable: bool,
    most_sick: int,
) -> rollout.Change:
    """One step towards the newest revision on `goal` of the ordinals.

    `failing`: pods of the newest one keep failing; while none of it is healthy, only as many
    ordinals have it as may be without.
    """
    here = {pod.key: number for number, pod in row.pods.items() if number < row.replicas}
    live = [pod for pod in book.live if pod.key in here]
    new = [pod for pod in live if book.revision_of(pod) == book.revision]
    if failing and restorable and not book.healthy_among(new):
        goal = min(goal, row.replicas - limits.healthy)
    going = inplace.outdated(live, book, limits, goal, lambda pod: (-here[pod.key],))
    leave = [*leaving(row, book), *((pod, "outdated") for pod in going)]
    if len(new) == len(live) == row.replicas:
        leave += [(pod, "unhealthy, replaced") for pod in inplace.replaced(live, book, most_sick)]
    start = filled(row, ready, goal, len(new), restorable=restorable)
    return rollout.Change(start_at=start.start_at, restore_at=start.restore_at, leave=tuple(leave))
