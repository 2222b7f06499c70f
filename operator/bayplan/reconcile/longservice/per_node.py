"""`mode: PerNode`: one instance on each eligible node, as long as the node is there.

How many are wanted follows from the nodes: the nodes that can take an instance now, and the nodes
that have one. So a cordoned or silent node keeps what runs there and gets nothing new, and an
instance that goes with its node is not made again elsewhere. Instances count together whatever
their revision, by a Unique constraint over nodes that `placement_rules` adds; the solver decides
which node each gets. While a node has no room nothing is created for it, so that no autoscaler
buys a node because of it.

An update ends the old instance of a node before its new instance starts (`in_place`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bayplan.model.pods import Pod
from bayplan.model.workloads import EligibleNodes
from bayplan.reconcile.longservice import in_place, rollout
from bayplan.reconcile.longservice.instances import Instances

ELSEWHERE = "its node is not for it any more"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which nodes have their instance. `strays` stand where none should, or beside another."""

    wanted: int = 0  # nodes that have an instance, or can take one
    vacant: int = 0  # nodes that can take one and have no pod of the service, running or going
    open: frozenset[str] = frozenset()
    strays: tuple[tuple[Pod, str], ...] = ()


def housed(
    instances: Instances, pods: Iterable[Pod], homes: EligibleNodes, *, suspended: bool
) -> tuple[Instances, Coverage]:
    """The instances on nodes that are to have one, and the rest. O(pods + nodes).

    `pods` are all pods of the service. No instance moves off a node that is about to go, because
    no other node wants it.
    """
    at_home: dict[str, Pod] = {}
    homeless: list[Pod] = []
    strays: list[tuple[Pod, str]] = []
    best = sorted(
        instances.live, key=lambda pod: (not instances.healthy(pod), pod.created_at, pod.name)
    )
    for pod in best:
        if not pod.node:
            homeless.append(pod)
        elif suspended or pod.node not in homes.stay:
            strays.append((pod, "surplus" if suspended else ELSEWHERE))
        elif pod.node in at_home:
            strays.append((pod, "surplus"))
        else:
            at_home[pod.node] = pod
    free = homes.open - {pod.node for pod in pods if not pod.terminal}
    vacant = 0 if suspended else len(free) - len(homeless)
    if vacant < 0:
        strays += [(pod, "surplus") for pod in homeless[vacant:]]
        del homeless[vacant:]
    gone = {pod.key for pod, _ in strays}
    kept = replace(
        instances,
        live=[pod for pod in instances.live if pod.key not in gone],
        ready=instances.ready
        - sum(pod.ready and pod.key not in instances.silent for pod, _ in strays),
        available=instances.available - gone,
        silent=instances.silent - gone,
        leaving=set(),
        sick={key: since for key, since in instances.sick.items() if key not in gone},
    )
    wanted = 0 if suspended else len(homes.open | at_home.keys())
    return kept, Coverage(wanted, max(0, vacant), homes.open, tuple(strays))


def places(coverage: Coverage, instances: Instances, limits: rollout.Bounds) -> in_place.Places:
    """The nodes as places; closed nodes come last, because an update ends what runs there."""
    return in_place.Places(
        live=instances.live,
        leave=leaving(coverage, instances, limits),
        turn=lambda pod: (pod.node not in coverage.open, pod.created_at, pod.name),
        vacant=coverage.vacant,
    )


def leaving(coverage: Coverage, instances: Instances, limits: rollout.Bounds) -> in_place.Leave:
    """The strays that may go: the healthy minimum stays, and healthy strays count towards it."""
    healthy = {pod.key for pod, _ in coverage.strays if pod.ready}
    spare = len(instances.available) + len(healthy) - limits.healthy
    leave = []
    for pod, why in coverage.strays:
        if pod.key not in healthy:
            leave.append((pod, why))
        elif spare > 0:
            spare -= 1
            leave.append((pod, why))
    return tuple(leave)
