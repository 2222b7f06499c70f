"""The pods of one service, sorted by what they are worth: live, lost, ended, going.

One pass over the pods; later steps ask the result. This module decides nothing.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bayplan.api import names
from bayplan.model.departures import ANY_DEPARTURE, Departures
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice.turns import Turn, turns

# The state of a node for the pods on it; a set of bits.
_WELL, _SILENT, _LOST, _GONE, _LEAVING = 0, 1, 2, 4, 8

# Ranks of `first_to_go`: the least valuable first.
_ON_SILENT_NODE, _HOMELESS, _NOT_READY, _TOO_NEW, _HEALTHY_LEAVING, _HEALTHY = range(6)

Order = Literal["YoungestFirst", "OldestFirst", "EmptiestFirst"]
Fullness = Callable[[str], int]  # node -> how full of pods it is, in thousandths


def _nothing(node: str) -> int:
    """Treats every node as equally full."""
    del node
    return 0


@dataclass(slots=True)
class Instances:
    """The state of the instances at one moment.

    `live`: neither ended, terminating nor lost. `lost`: on a node that has been silent for
    `patience`. `orphaned`: on a node that no longer exists. `ended`: their containers have ended
    for good. `going`: number of terminating pods whose room still counts during an update. `turns`
    are the moments (epoch seconds) at which the clock alone changes any of this.
    """

    revision: str = ""  # the newest
    patience: int = 0  # seconds until a silent node is lost, or a pod past its grace is forgotten
    order: Order = "YoungestFirst"  # which healthy instances go first when there are too many
    fullness: Fullness = _nothing
    departures: Departures = ANY_DEPARTURE  # who leaves first by the plan of a Pool
    live: list[Pod] = field(default_factory=list)
    lost: list[Pod] = field(default_factory=list)
    orphaned: list[Pod] = field(default_factory=list)
    ended: list[Pod] = field(default_factory=list)
    going: int = 0
    outdated_going: bool = False  # some of the terminating pods are of another revision
    ready: int = 0
    turns: list[int] = field(default_factory=list)
    available: set[PodKey] = field(default_factory=set)
    silent: set[PodKey] = field(default_factory=set)  # live pods on a node that is not ready
    leaving: set[PodKey] = field(default_factory=set)  # live pods on a node about to go
    unhealthy_after: int | None = None  # seconds until a pod that is not ready is sick
    groups: dict[str, str] = field(default_factory=dict)  # node -> group to keep balanced
    sick: dict[PodKey, int] = field(default_factory=dict)  # pod -> since when it is not ready

    def node_state(self, node: Node | None, now: int) -> int:
        if node is None:
            return _GONE
        leaving = _LEAVING if node.leaving else _WELL
        if node.ready:
            return leaving
        lost_at = node.ready_changed_at + self.patience
        if lost_at <= now:
            return _LOST | leaving
        self.turns.append(lost_at)
        return _SILENT | leaving

    def count_going(self, pod: Pod, state: int, now: int) -> None:
        """A terminating pod takes room during an update; `rollout` says which do not, and why."""
        overdue_at = pod.overdue_at(self.patience)
        if pod.terminal or pod.disrupted or state & (_LOST | _GONE):
            return
        if overdue_at is not None:
            if overdue_at <= now:
                return
            self.turns.append(overdue_at)
        self.going += 1
        if self.revision_of(pod) != self.revision:
            self.outdated_going = True

    def count_ready(self, key: PodKey, healthy_at: int, now: int) -> None:
        self.ready += 1
        if healthy_at <= now:
            self.available.add(key)
        else:
            self.turns.append(healthy_at)

    def count_unready(self, pod: Pod, now: int) -> None:
        """A pod not ready for `unhealthy_after` is sick; a pod without a node has not started."""
        if self.unhealthy_after is None or not pod.node:
            return
        since = max(pod.ready_since or 0, pod.created_at)
        if since + self.unhealthy_after <= now:
            self.sick[pod.key] = since
        else:
            self.turns.append(since + self.unhealthy_after)

    def longest_sick(self, count: int) -> set[PodKey]:
        """The `count` pods on nodes that stay that are sick the longest.

        Pods whose turn it is to leave by the plan come before them.
        """
        if not self.sick:
            return set()
        here = [pod for pod in self.live if pod.key in self.sick and pod.key not in self.leaving]
        here.sort(key=lambda pod: (self.sick[pod.key], pod.key))
        return {pod.key for pod in self.in_turn(here)[:count]}

    def balanced(self, pods: Collection[Pod], count: int) -> list[Pod]:
        """The `count` pods that go first; among healthy pods, the largest group gives first.

        So groups whose sizes differed by at most one still do. O(pods · log groups).
        """
        ordered = self._too_many(pods)
        if not self.groups:
            return ordered[:count]
        gone = [pod for pod in ordered if not self.healthy(pod)][:count]
        queues: dict[str, list[tuple[int, Pod]]] = {}  # last to go first
        for place in range(len(ordered) - 1, -1, -1):
            pod = ordered[place]
            if self.healthy(pod):
                queues.setdefault(self.groups.get(pod.node, ""), []).append((place, pod))
        heap = [(-len(queue), queue[-1][0], group) for group, queue in queues.items()]
        heapq.heapify(heap)
        while heap and len(gone) < count:
            group = heapq.heappop(heap)[2]
            queue = queues[group]
            gone.append(queue.pop()[1])
            if queue:
                heapq.heappush(heap, (-len(queue), queue[-1][0], group))
        return gone

    def healthy(self, pod: Pod) -> bool:
        """Whether a pod has been ready for `min_ready` seconds on a node that answers."""
        return pod.key in self.available

    def healthy_among(self, pods: Iterable[Pod]) -> int:
        available = self.available
        return sum((pod.namespace, pod.name) in available for pod in pods)

    def split_by_leaving(self, pods: list[Pod]) -> tuple[list[Pod], list[Pod]]:
        """Pods on nodes that stay (or without a node yet), and pods on nodes about to go."""
        if not self.leaving:
            return pods, []
        stayers = [pod for pod in pods if pod.key not in self.leaving]
        return stayers, [pod for pod in pods if pod.key in self.leaving]

    def in_turn(self, pods: Collection[Pod]) -> list[Pod]:
        """The pods by the plan of who leaves; those that it treats alike keep their order."""
        return sorted(pods, key=turns(pods, self.departures))

    def first_to_go(self, pods: Collection[Pod]) -> list[Pod]:
        """Lost, without a node, not ready, just ready, on a leaving node, healthy.

        Then by the plan (`turns`) and by age; the strategy OldestFirst puts age before the plan.
        """
        turn = self._turn(pods)

        def key(pod: Pod) -> tuple[object, ...]:
            since, *older = self._age(pod)
            planned = (since, *turn(pod)) if self.order == "OldestFirst" else (*turn(pod), since)
            return self._rank(pod), *planned, *older

        return sorted(pods, key=key)

    def _too_many(self, pods: Collection[Pod]) -> list[Pod]:
        """As `first_to_go`, but pods by age or by how full their nodes are.

        Among pods of one age those on the emptiest node go first. Among equally empty nodes all
        pods of one node go first, so that services which shrink together free the same nodes.
        """
        filled = {name: self.fullness(name) for name in {pod.node for pod in pods if pod.node}}
        turn = self._turn(pods)

        def key(pod: Pod) -> tuple[object, ...]:
            full, planned = filled.get(pod.node, 0), turn(pod)
            since, number, name = self._age(pod)
            if self.order == "EmptiestFirst":
                return self._rank(pod), *planned, full, pod.node, since, number, name
            if self.order == "OldestFirst":
                return self._rank(pod), since, *planned, full, number, name
            return self._rank(pod), *planned, since, full, number, name

        return sorted(pods, key=key)

    def _turn(self, pods: Collection[Pod]) -> Turn:
        """What the plan says of these pods, where the least valuable of a node go first."""
        if not self.departures.counts:
            return turns((), self.departures)
        return turns(
            sorted(pods, key=lambda pod: (self._rank(pod), *self._age(pod))), self.departures
        )

    def youngest(self, pods: Collection[Pod]) -> list[Pod]:
        return sorted(pods, key=lambda pod: (-pod.created_at, -ordinal(pod.name), pod.name))

    def revision_of(self, pod: Pod) -> str:
        """The revision on the pod's label; empty when somebody removed the label."""
        return pod.labels.get(names.REVISION, "")

    def _rank(self, pod: Pod) -> int:
        if pod.key in self.silent:
            return _ON_SILENT_NODE
        if not pod.node:
            return _HOMELESS
        if not pod.ready:
            return _NOT_READY
        if pod.key not in self.available:
            return _TOO_NEW
        return _HEALTHY_LEAVING if pod.key in self.leaving else _HEALTHY

    def _age(self, pod: Pod) -> tuple[int, int, str]:
        sign = 1 if self.order == "OldestFirst" else -1
        return sign * pod.created_at, sign * ordinal(pod.name), pod.name


def surveyed(
    pods: Mapping[PodKey, Pod],
    nodes: Mapping[str, Node],
    now: int,
    *,
    revision: str,
    min_ready: int,
    replace_after: int,
    order: Order = "YoungestFirst",
    fullness: Fullness = _nothing,
    departures: Departures = ANY_DEPARTURE,
    unhealthy_after: int | None = None,
    balance: str = "",
) -> Instances:
    """Sort the pods. `min_ready`, `replace_after`, `unhealthy_after` in seconds. O(pods).

    `balance` is the node label whose groups a scale-down keeps even; empty: none.
    """
    found = Instances(
        revision=revision,
        patience=replace_after,
        order=order,
        fullness=fullness,
        departures=departures,
        unhealthy_after=unhealthy_after,
    )
    found.groups = _groups(pods, nodes, balance)
    states: dict[str, int] = {"": _WELL}
    for key, pod in pods.items():
        state = states.get(pod.node)
        if state is None:
            state = states[pod.node] = found.node_state(nodes.get(pod.node), now)
        if pod.deleted_at is not None:
            found.count_going(pod, state, now)
        elif pod.terminal:
            found.ended.append(pod)
        elif state & _GONE:
            found.orphaned.append(pod)
        elif state & _LOST:
            found.lost.append(pod)
        else:
            found.live.append(pod)
            if state & _LEAVING:
                found.leaving.add(key)
            if state & _SILENT:
                found.silent.add(key)
            elif pod.ready:
                found.count_ready(key, (pod.ready_since or 0) + min_ready if min_ready else 0, now)
            else:
                found.count_unready(pod, now)
    return found


def _groups(pods: Mapping[PodKey, Pod], nodes: Mapping[str, Node], label: str) -> dict[str, str]:
    """Node -> its value of the label; empty without a label."""
    here = {pod.node for pod in pods.values()} & nodes.keys() if label else ()
    return {name: nodes[name].labels.get(label, "") for name in here}


def ordinal(name: str) -> int:
    """The N of SERVICE-REV5-N; -1 when the name does not end in a number."""
    last = name.rpartition("-")[2]
    return int(last) if last.isascii() and last.isdecimal() else -1
