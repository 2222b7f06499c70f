"""Sorts the pods of a consolidation: which stay, which end by themselves, which leave or move."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from bayplan.model.movability import of_its_node, young
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.model.workloads import PodClass, Strategy
from bayplan.provisioning import demand
from bayplan.provisioning.consolidation.scene import HOUR, Pin, Row, Scene

# The LongService whose pods may leave, the owner of pods that are not put together with others.
_Key = tuple[str, str, PodClass]


@dataclass(slots=True, eq=False)
class SortedPods:
    """What nodes hold: `pins` by the name of the node, pods by row, and what ends by itself.

    `surplus` says by uid how many pods of a LongService may leave from these nodes. `fixed` are
    those that may leave, but not move: (index of the node, row) -> how many. `others` are the pods
    of LongServices that are in no row: for each, the labels of its node.
    """

    scene: Scene
    nodes: Sequence[Node]
    pins: dict[str, list[Pin]] = field(default_factory=dict)
    empties_in: dict[str, int] = field(default_factory=dict)
    surplus: Counter[str] = field(default_factory=Counter)
    others: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)
    _members: dict[_Key, dict[int, list[Pod]]] = field(default_factory=dict)
    _fixed: Counter[tuple[int, _Key]] = field(default_factory=Counter)

    @classmethod
    def of(cls, scene: Scene, nodes: Sequence[Node]) -> Self:
        """The pods of these nodes, sorted."""
        found = cls(scene, nodes)
        first = found._too_many()
        for at, node in enumerate(nodes):
            for pin in _of_node(node, scene):
                found._pin(node, pin)
            for pod in scene.snapshot.pods_on(node.name):
                if of_its_node(pod):
                    continue
                if pod.key in first:
                    found._wait(node, 0)
                else:
                    found._sort(at, node, pod)
        return found

    def rows(self) -> list[Row]:
        return [Row(kind, owner, pods) for (owner, _, kind), pods in self._members.items()]

    def fixed(self) -> Iterator[tuple[int, int, int]]:
        """(index of the node, row, how many) of pods that may leave but not move."""
        index = {key: at for at, key in enumerate(self._members)}
        for (at, key), count in self._fixed.items():
            yield at, index[key], count

    def free_on(self, at: int) -> list[tuple[str, Pod]]:
        """The pods of a node that may leave or move, each with the LongService it may leave."""
        return [
            (owner, pod)
            for (owner, _, _), there in self._members.items()
            for pod in there.get(at, ())
        ]

    def leavers(self, rows: Sequence[Row]) -> list[int]:
        """How many pods of each row are too many."""
        left, found = self.surplus.copy(), [0] * len(rows)
        held = [sum(map(len, row.pods.values())) for row in rows]
        for at in sorted(range(len(rows)), key=lambda at: -held[at]):
            owner = rows[at].owner
            if owner:
                found[at] = min(left[owner], held[at])
                left[owner] -= found[at]
        return found

    def _too_many(self) -> set[PodKey]:
        """Sets `surplus`; the pods that leave in any case, because they are not ready."""
        living: Counter[str] = Counter()
        unready: dict[str, list[PodKey]] = {}
        names = {node.name for node in self.nodes}
        for pod in self.scene.snapshot.pods():
            uid = _uid(pod)
            if uid not in self.scene.wanted or pod.terminating:
                continue
            if pod.node not in names:
                self._beside(pod)
                continue
            living[uid] += 1
            if not pod.ready:
                unready.setdefault(uid, []).append(pod.key)
        first: set[PodKey] = set()
        for uid, count in living.items():
            surplus = max(count - self.scene.wanted[uid], 0)
            bad = sorted(unready.get(uid, ()))[:surplus]
            first.update(bad)
            if surplus > len(bad):
                self.surplus[uid] = surplus - len(bad)
        return first

    def _sort(self, at: int, node: Node, pod: Pod) -> None:
        scene, uid = self.scene, _uid(pod)
        if pod.passing:
            rest = _rest(pod, scene.now)
            if rest is not None and rest <= scene.terms.batch_wait_seconds:
                self._wait(node, rest)
                return
        reason = scene.verdict(pod)
        if self.surplus[uid] and not pod.constraints.claims:
            key = uid, "", scene.kinds(pod)
            self._join(at, pod, key)
            if reason or scene.leavers_only:
                self._fixed[at, key] += 1
        elif reason or scene.leavers_only:
            early = young(pod, scene.terms.minimum_stay_seconds, scene.now)
            self._pin(node, Pin(reason or "is wanted where it is", pod, early))
            if uid in scene.wanted:
                self._beside(pod)
        else:
            # Runs that may be ended have a price of their own: the work that is lost.
            kind = scene.kinds(pod)
            apart = pod.passing or not _alike(kind)
            self._join(at, pod, ("", uid, kind) if apart else ("", "", demand.alike(kind)))

    def _join(self, at: int, pod: Pod, key: _Key) -> None:
        self._members.setdefault(key, {}).setdefault(at, []).append(pod)

    def _pin(self, node: Node, pin: Pin) -> None:
        self.pins.setdefault(node.name, []).append(pin)

    def _wait(self, node: Node, seconds: int) -> None:
        self.empties_in[node.name] = max(self.empties_in.get(node.name, 0), seconds)

    def _beside(self, pod: Pod) -> None:
        node = self.scene.snapshot.known.get(pod.node)
        if node is not None:
            self.others.setdefault(_uid(pod), []).append(node.labels)


def lost_work(pod: Pod, node: Node, price: int, now: int) -> int:
    """What a run has cost so far on a node with this price, in microdollars; 0 for other pods."""
    if not pod.passing:
        return 0
    began = pod.created_at if pod.ending.started_at is None else pod.ending.started_at
    share = pod.request.dominant_share(node.allocatable)
    return int(share * max(now - began, 0) * price) // HOUR


def _uid(pod: Pod) -> str:
    return pod.owner.uid if pod.owner is not None else ""


def _of_node(node: Node, scene: Scene) -> Iterator[Pin]:
    """Why the node itself stays."""
    if node.kept:
        yield Pin(f"is kept by its annotation {node.kept}")
    least = scene.terms.minimum_node_age_seconds
    if not scene.leavers_only and scene.now - node.created_at < least:
        yield Pin(f"is younger than {least} seconds", young=True)
    shares = (*scene.planned.shares.values(), *scene.planned.held.values())
    if any(node.name in share for share in shares):
        yield Pin("is to take pods that are on their way", young=True)
    if node.name in scene.unproven:
        yield Pin("has pods that found no room elsewhere", young=True)


def _rest(pod: Pod, now: int) -> int | None:
    """How many seconds a pod that leaves by itself is expected to take; None if nobody can tell.

    A run that is late is expected to take as long again as it is late.
    """
    ends_at = pod.ends_at
    if ends_at is None:
        return None
    return max(ends_at - now, 0) if pod.terminating else abs(ends_at - now)


def _alike(kind: PodClass) -> bool:
    """Whether nothing ties its pods to each other: pods of other workloads may be in its row."""
    placement = kind.placement
    return not (demand.tied(kind) or placement.gang or placement.strategy is Strategy.EXCLUSIVE)
