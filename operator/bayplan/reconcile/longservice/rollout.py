"""Which instances to start and which to let go: Marathon's arithmetic, level-triggered.

Everything is decided from what there is now, so a new template in mid-rollout, scaling while
rolling and a restarted operator need no case of their own. Three promises hold for our own acts,
whatever the order of events: never fewer healthy instances than `Bounds.healthy`, never more live
instances than `Bounds.instances` (one more, or the surge, while nodes are being emptied), and
nothing more to do once nothing changes.

What counts: a **live** instance is neither ended, terminating nor lost. A terminating instance
serves nobody, so it is never healthy. During an update it still counts as room taken until it is
gone, because the promise is about what runs (Marathon's rule; a Deployment forgets it at once).
Three kinds do not count: evicted instances (not our act), instances on a lost node, and instances
that outlive their grace period; otherwise a stuck pod would block an update for ever. Outside an
update a hole is filled at once, whatever is still terminating.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice.instances import Instances


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of an update: at least `healthy` healthy, at most `instances` live instances."""

    healthy: int
    instances: int


def bounds(replicas: int, minimum_healthy_percent: int, maximum_surge_percent: int) -> Bounds:
    """ceil(n·min), trunc(n·(1+surge)), and one more where both meet, or nothing could ever begin.

    Whole percents and integers: Marathon's binary floats are off by one in 54 cases below n = 200.
    """
    healthy = -(-replicas * minimum_healthy_percent // 100)
    instances = replicas * (100 + maximum_surge_percent) // 100
    return Bounds(healthy, instances + 1 if healthy == instances else instances)


Leaving = tuple[Pod, str]  # and the reason

MOVED = "moved off its node"
DRIFTED = "moved, since it broke constraints"


@dataclass(frozen=True, slots=True)
class Change:
    """How many instances to start, of the newest revision and of the kept one, and which pods go.

    Where instances have ordinals: which ordinals to start, one instance of each.
    """

    start: int = 0
    restore: int = 0  # of the revision that is known to work
    start_at: tuple[int, ...] = ()
    restore_at: tuple[int, ...] = ()
    leave: tuple[tuple[Pod, str], ...] = ()  # pod, reason


def settled(
    instances: Instances,
    replicas: int,
    limits: Bounds,
    most_sick: int = 0,
    drifting: Collection[PodKey] = (),
    *,
    waits: bool = False,
) -> Change:
    """Outside an update: fill holes, move off leaving nodes, let the surplus go.

    An instance on a leaving node keeps running until its replacement elsewhere is healthy. The
    replacements may exceed `replicas` by the surge, and by at least one, so that a node can always
    be emptied. Once every instance stands on a node that stays, nothing is left to do, however long
    the cordon lasts.

    At most `most_sick` of the instances that have not been ready for too long are replaced at once.
    The replacement comes first: they go when no instance is still starting. An instance that
    recovers before that stays, and the surplus goes.

    Instances in `drifting` move as if their nodes were about to go. While it `waits`, no healthy
    instance goes because there are too many.
    """
    sick = instances.longest_sick(most_sick)
    stayers, leavers = instances.split_by_leaving(instances.live)
    replaced = [pod for pod in stayers if pod.key in sick]
    leavers += [pod for pod in stayers if pod.key in drifting and pod.key not in sick]
    stayers = [pod for pod in stayers if pod.key not in sick and pod.key not in drifting]
    short = replicas - len(instances.live)
    if leavers or replaced:
        surge = max(1, limits.instances - replicas)
        short = max(short, short + surge - instances.going)
    leave = [*_surplus(instances, stayers, replicas)]
    if waits:
        leave = [pod for pod in leave if not instances.healthy(pod)]
    healthy = instances.healthy_among(instances.live) - instances.healthy_among(leave)
    moved = _moved(instances, leavers, healthy, replicas)
    gone = {pod.key for pod in leave}
    starting = any(
        not instances.healthy(pod) and pod.key not in instances.sick
        for pod in stayers
        if pod.key not in gone
    )
    if len(stayers) < replicas or starting:
        replaced = []
    return Change(
        start=max(0, min(replicas - len(stayers), short)),
        leave=(
            *((pod, "surplus") for pod in leave),
            *((pod, DRIFTED if pod.key in drifting else MOVED) for pod in moved),
            *((pod, "unhealthy, replaced") for pod in replaced),
            *_abandoned(instances.lost if replicas == 0 else ()),
        ),
    )


def braked(
    instances: Instances, replicas: int, limits: Bounds | None, *, restorable: bool
) -> Change:
    """While most of the cluster may only seem lost: holes are filled, nothing goes, nothing moves.

    During an update (`limits` are given) the revision that is known to work fills the holes, as far
    as terminating instances leave room: an instance that goes on a silent node still runs.
    """
    missing = max(0, replicas - len(instances.live))
    if limits is not None:
        room = limits.instances - len(instances.live) - instances.going
        missing = min(missing, max(0, room))
    return Change(restore=missing) if restorable else Change(start=missing)


def rolled(
    instances: Instances,
    revision: str,
    replicas: int,
    limits: Bounds,
    *,
    failing: bool,
    restorable: bool,
    refused: bool = False,
    goal: int | None = None,
    prefer: str = "",
) -> Change:
    """During an update: one step from the old instances towards `replicas` of `revision`.

    Old instances without a node go at once. Unhealthy old instances go next, but only as many as
    would still leave the healthy minimum if the others recovered: one bad minute of a database must
    not restart the whole service. Healthy old instances go last, down to the healthy minimum.
    Among these the instance on the node `prefer` goes first: there a new instance that finds no
    room comes nearest to having some.

    `goal`: only so many instances get the revision for now (None: all); the others stay old, and
    missing old instances are made again.

    While there are instances of the new revision and none is healthy, or the server refuses its
    pods (`refused`), instances missing from the healthy minimum are made of the old revision, if it
    is `restorable`. That covers lost instances and a larger `replicas`, so that growth goes to the
    revision that works. Meanwhile old instances without a node go only as far as the minimum
    allows, or they would be made again; and new instances go before the service gets too large.

    `failing`: instances of the new revision keep failing, or none becomes healthy. New instances
    beyond the update's own share then make room for what is restored.
    """
    goal = replicas if goal is None else goal
    new = [pod for pod in instances.live if instances.revision_of(pod) == revision]
    old = [pod for pod in instances.live if instances.revision_of(pod) != revision]
    stayers, leavers = instances.split_by_leaving(new)
    healthy = instances.healthy_among(instances.live)
    surplus = _spared(instances, _surplus(instances, stayers, goal), healthy - limits.healthy)
    healthy -= instances.healthy_among(surplus)
    healthy_new = instances.healthy_among(new) - instances.healthy_among(surplus)
    moved = _spared(
        instances, _moved(instances, leavers, healthy_new, goal), healthy - limits.healthy
    )
    healthy -= instances.healthy_among(moved)

    leave = [
        *((pod, "surplus") for pod in surplus),
        *((pod, MOVED) for pod in moved),
    ]
    most = max(limits.instances, replicas + 1 if instances.leaving else 0)
    room = max(0, most - len(instances.live) - instances.going)
    kept = replicas - goal
    restore = 0
    unproven = restorable and (refused or healthy_new == 0)
    lacking = limits.healthy - len(old) - healthy_new
    deficit = max(0, lacking) if unproven and (new or failing or refused) else 0
    if kept:
        restore = min(max(0, kept - len(instances.split_by_leaving(old)[0])), room)
    restore = max(restore, min(deficit, room))

    old_stayers, old_leavers = instances.split_by_leaving(old) if kept else (old, [])
    going = _outdated(
        instances,
        old_stayers,
        homeless=max(0, -lacking) if unproven else len(old),
        sick=healthy_new - limits.healthy,
        well=healthy - limits.healthy,
        prefer=prefer,
    )[: max(0, len(old_stayers) - kept)]
    leave += [(pod, "outdated") for pod in going]
    if old_leavers:
        healthy -= instances.healthy_among(going)
        healthy_old = instances.healthy_among(old) - instances.healthy_among(going)
        moved = _moved(instances, old_leavers, healthy_old, kept)
        moved = _spared(instances, moved, healthy - limits.healthy)
        leave += [(pod, MOVED) for pod in moved]
    if unproven and healthy_new == 0:
        leave += _yielding(instances, new, len(instances.live) - most, leave)
        if failing:
            spare = len(new) - (limits.instances - limits.healthy)
            yielded = [(pod, why) for pod, why in leave if instances.revision_of(pod) == revision]
            leave += _yielding(instances, new, min(deficit - restore, spare), yielded)
    if healthy >= limits.healthy and not kept:
        everyone = replicas == 0
        leave += _abandoned(
            pod for pod in instances.lost if everyone or instances.revision_of(pod) != revision
        )
    return Change(
        start=max(0, min(goal - len(stayers), room - restore)),
        restore=restore,
        leave=tuple(leave),
    )


def _outdated(
    instances: Instances,
    old: list[Pod],
    *,
    homeless: int,
    sick: int,
    well: int,
    prefer: str,
) -> list[Pod]:
    """The old instances that may go: `homeless` without a node, and `well` healthy ones.

    Of the unhealthy at most N + `sick` go, where N old instances have a node.
    """
    ordered = instances.first_to_go(old)
    housed = [pod for pod in ordered if pod.node]
    unhealthy = [pod for pod in housed if not instances.healthy(pod)]
    healthy = [pod for pod in housed if instances.healthy(pod)]
    healthy.sort(key=lambda pod: bool(prefer) and pod.node != prefer)
    return [
        *[pod for pod in ordered if not pod.node][:homeless],
        *unhealthy[: max(0, len(housed) + sick)],
        *healthy[: max(0, well)],
    ]


def _yielding(
    instances: Instances, new: list[Pod], count: int, leave: Collection[Leaving]
) -> list[Leaving]:
    """The youngest new instances that go in addition, so that `count` go in all."""
    leaving = {pod.key for pod, _ in leave}
    staying = [pod for pod in instances.youngest(new) if pod.key not in leaving]
    return [(pod, "not ready, and too many") for pod in staying[: max(0, count - len(leaving))]]


def _spared(instances: Instances, pods: list[Pod], healthy: int) -> list[Pod]:
    """The pods that may go, in order, until more than `healthy` healthy pods would go."""
    gone = []
    for pod in pods:
        healthy -= instances.healthy(pod)
        if healthy < 0:
            break
        gone.append(pod)
    return gone


def _surplus(instances: Instances, stayers: list[Pod], replicas: int) -> list[Pod]:
    """Which pods on staying nodes are surplus: healthy pods only after all unhealthy ones."""
    count = len(stayers) - replicas
    return instances.balanced(stayers, count) if count > 0 else []


def _moved(instances: Instances, leavers: list[Pod], healthy: int, replicas: int) -> list[Pod]:
    """Which pods on leaving nodes may go so that `replicas` healthy pods remain without them."""
    gone = []
    for pod in instances.first_to_go(leavers):
        healthy -= instances.healthy(pod)
        if healthy < replicas:
            break
        gone.append(pod)
    return gone


def _abandoned(pods: Iterable[Pod]) -> list[tuple[Pod, str]]:
    return [(pod, "on a lost node") for pod in pods]
