"""Proves drafts: all pods that move find room by the real filters, beside those of other drafts.

They are tried while the pods that they replace are still there. Where it hangs on other pods of its
kind where a pod may be, they must land on the same nodes once more as if those and their nodes had
gone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey, Snapshot
from bayplan.model.workloads import Backlog, PodClass, TaskKey, Waiting
from bayplan.placement.solve import Memo, Policy, solve
from bayplan.provisioning.consolidation.drafts import Draft
from bayplan.provisioning.consolidation.scene import Scene
from bayplan.provisioning.demand import tied

Targets = Mapping[PodKey, str]  # pod -> node, or "~0" for the first order of its draft


@dataclass(frozen=True, slots=True, eq=False)
class Proven:
    """The `drafts` of which every pod has a target, and the nodes of all other drafts."""

    drafts: tuple[Draft, ...] = ()
    targets: Targets = field(default_factory=dict)
    unproven: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class Prover:
    """Nothing is placed on nodes in `going`. `guests` need their room too."""

    scene: Scene
    going: frozenset[str]
    guests: Sequence[Waiting] = ()
    _bought: Memo = field(default_factory=Memo)  # of snapshots with bought nodes
    _kinds: dict[PodKey, PodClass] = field(default_factory=dict)

    def proven(self, wanted: Sequence[Draft]) -> Proven:
        """As many of the drafts as can be carried out together; earlier drafts go first."""
        found: list[Draft] = []
        targets: Targets = {}
        refused: set[str] = set()
        parts = [list(wanted)] if wanted else []
        while parts:
            part = parts.pop()
            placed = self.placed([*found, *part])
            if placed is not None:
                found, targets = [*found, *part], placed
            elif len(part) == 1:
                refused.update(node.name for node in part[0].nodes)
            else:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
        return Proven(tuple(found), targets, frozenset(refused))

    def placed(self, wanted: Sequence[Draft]) -> Targets | None:
        """Where the moved pods of these drafts land; None if one of them, or a guest, does not."""
        scene = self.scene
        going = self.going.union(node.name for one in wanted for node in one.nodes)
        pods = [pod for one in wanted for pod in one.moves]
        if not pods and not self.guests:
            return {}
        bought: dict[str, Node] = {}
        local: dict[str, str] = {}  # name here -> name in the draft
        shares: dict[PodClass, Counter[str]] = {}
        for number, one in enumerate(wanted):
            names = {f"~{at}": f"~{number}.{at}" for at in range(len(one.orders))}
            local.update((here, name) for name, here in names.items())
            for name, order in zip(names.values(), one.orders, strict=True):
                bought[name] = order.node(name)
            for pod in one.moves:
                hint = one.hints.get(pod.key)
                if hint is not None:
                    shares.setdefault(self._kind(pod), Counter())[names.get(hint, hint)] += 1
        snapshot = scene.snapshot.with_nodes(list(bought.values())) if bought else scene.snapshot
        memo = self._bought if bought else scene.memo
        there = scene.planned.taken()
        planned = there | wish(shares)

        waiting = [
            *successors(pods, self._kind, scene.now, going),
            *(replace(one, avoid=going) for one in self.guests),
        ]

        placements = self._landed(snapshot, waiting, planned, memo)
        if placements is None:
            return None
        if any(tied(self._kind(pod)) for pod in pods):
            held = _counted(waiting, placements)
            gone = snapshot.without_nodes({node.name for one in wanted for node in one.nodes})
            after = there | Backlog(held=held)
            again = self._landed(gone, waiting, after, Memo())
            if again is None or _counted(waiting, again) != held:
                return None
        return {pod.key: local.get(placements[pod.key], placements[pod.key]) for pod in pods}

    def _landed(
        self, snapshot: Snapshot, waiting: Sequence[Waiting], planned: Backlog, memo: Memo
    ) -> Mapping[TaskKey, str] | None:
        """Where all of these land; None if one of them does not."""
        found = solve(snapshot, waiting, self.scene.now, Policy(), memo, planned=planned)
        return None if found.refused else found.placements

    def see_as(self, pod: Pod, kind: PodClass) -> None:
        """Look as if the successor of a pod were of this class."""
        self._kinds[pod.key] = kind

    def _kind(self, pod: Pod) -> PodClass:
        kind = self._kinds.get(pod.key)
        if kind is None:
            kind = self._kinds[pod.key] = self.scene.kinds(pod)
        return kind


def successors(
    pods: Iterable[Pod], kind: Callable[[Pod], PodClass], now: int, away: frozenset[str]
) -> list[Waiting]:
    """The pods that follow these, as they would wait for nodes other than those in `away`."""
    keys: dict[PodClass, list[TaskKey]] = {}
    for pod in pods:
        keys.setdefault(kind(pod), []).append(pod.key)
    return [Waiting(each, tuple(named), now, away) for each, named in keys.items()]


def wish(shares: Mapping[PodClass, Mapping[str, int]]) -> Backlog:
    """That pods land on these nodes: class -> node -> how many."""
    return Backlog(frozenset(name for share in shares.values() for name in share), shares)


def _counted(
    waiting: Sequence[Waiting], placements: Mapping[TaskKey, str]
) -> dict[PodClass, Counter[str]]:
    """Class -> node -> how many of its tasks are there."""
    found: dict[PodClass, Counter[str]] = {}
    for group in waiting:
        found.setdefault(group.kind, Counter()).update(placements[key] for key in group.keys)
    return found
