"""Instances that stand where today's `placement.constraints` would not put them, and their moves.

Constraints are checked when an instance is placed. An edit of the constraints, of a node's labels
or of the set of nodes restarts nothing, so instances may come to break them. They are counted, and
moved if `rebalance` allows: at most that many an hour, and each after its replacement is healthy.

A move is stored before it begins: an instance moves only when the stored status names it. So a
crash repeats no move, and the hourly limit holds whichever process leads.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api.longservice import Rebalance
from bayplan.api.times import epoch_of, rfc3339
from bayplan.model.constraints import AllTogether, AtMost, EvenShares, PlaceConstraint
from bayplan.model.nodes import Node
from bayplan.model.pods import Constraints, Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.longservice.instances import ordinal

HOUR_SECONDS = 3600

Nodes = Mapping[str, Node]
Groups = Mapping[str, list[Pod]]  # value of a node label -> instances, the oldest first


def drifted(
    pods: Collection[Pod],
    nodes: Nodes,
    constraints: Collection[PlaceConstraint],
    replicas: int,
) -> list[Pod]:
    """Instances that would have to go so that the others keep to the constraints; oldest first.

    `pods` are of one template. In a group with too many instances the youngest break the rule. An
    instance without a node breaks nothing.
    """
    placed = sorted((pod for pod in pods if pod.node in nodes), key=_age)
    broken: set[PodKey] = set()
    for one in constraints:
        broken.update(pod.key for pod in _breaking(one, placed, nodes, replicas))
    return [pod for pod in placed if pod.key in broken]


def movable(constraints: Collection[PlaceConstraint]) -> list[PlaceConstraint]:
    """The constraints that a replacement surely keeps to; `AllTogether` takes any value in use."""
    return [one for one in constraints if not isinstance(one.coupling, AllTogether)]


def _breaking(one: PlaceConstraint, placed: list[Pod], nodes: Nodes, replicas: int) -> list[Pod]:
    test = one.accepts()
    if test is not None:
        absent = one.accepts_absence()
        labels = ((pod, nodes[pod.node].labels.get(one.label)) for pod in placed)
        return [pod for pod, value in labels if not (absent if value is None else test(value))]
    groups: dict[str, list[Pod]] = {}
    homeless = []
    for pod in placed:
        value = nodes[pod.node].labels.get(one.label)
        if value is None:
            homeless.append(pod)
        else:
            groups.setdefault(value, []).append(pod)
    return [*homeless, *_beyond(one, groups, placed, nodes, replicas)]


def _beyond(
    one: PlaceConstraint,
    groups: Groups,
    placed: list[Pod],
    nodes: Nodes,
    replicas: int,
) -> list[Pod]:
    """The instances of each group above its limit; the largest groups may have the most."""
    largest = sorted(groups, key=lambda value: (-len(groups[value]), value))
    allowed: list[int]
    match one.coupling:
        case None:
            return []
        case AtMost():
            allowed = [one.count] * len(largest)
        case AllTogether():
            allowed = [len(placed)]
        case EvenShares():
            expected = one.count or len(_open(one.label, placed, nodes) | {*groups})
            each, extra = divmod(replicas, max(expected, 1))
            used = min(expected, len(largest))  # a value may name far more groups than there are
            allowed = [each + (rank < extra) for rank in range(used)]
    allowed += [0] * (len(largest) - len(allowed))
    return [
        pod for value, count in zip(largest, allowed, strict=False) for pod in groups[value][count:]
    ]


def _open(label: str, placed: list[Pod], nodes: Nodes) -> set[str]:
    """Values of the label among nodes that could take such an instance."""
    if not placed:
        return set()
    wanted = placed[0].constraints
    return {
        node.labels[label]
        for node in nodes.values()
        if label in node.labels and node.ready and not node.leaving and _admits(node, wanted)
    }


def _admits(node: Node, wanted: Constraints) -> bool:
    """Whether taints, node selector and required node affinity let a pod in."""
    return (
        all(node.labels.get(label) == value for label, value in wanted.selector)
        and (
            wanted.affinity is None
            or any(term.matches(node.labels, node.name) for term in wanted.affinity)
        )
        and all(
            taint.effect == "PreferNoSchedule"
            or any(one.tolerates(taint) for one in wanted.tolerations)
            for taint in node.taints
        )
    )


@dataclass(frozen=True, slots=True)
class Move:
    """An instance that is to be replaced on another node; `begun_at` in epoch seconds."""

    pod: str
    uid: str
    begun_at: int

    def wire(self) -> dict[str, Any]:
        return {"pod": self.pod, "uid": self.uid, "time": rfc3339(self.begun_at)}


@dataclass(frozen=True, slots=True)
class Moves:
    """What moves now, what is to be stored, and when the hourly limit allows the next move."""

    moving: frozenset[PodKey] = frozenset()
    stored: tuple[Move, ...] = ()
    next_at: int | None = None


NO_MOVES = Moves()


def moves(
    status: Mapping[str, Any],
    rules: Rebalance | None,
    candidates: Collection[Pod],
    now: int,
    *,
    calm: bool,
) -> Moves:
    """The moves after this look. `candidates` break constraints; a move begins only when `calm`.

    All stored moves younger than an hour count, whether the instance moved or healed by itself.
    """
    before = _stored(status)
    if rules is None:
        return Moves(stored=before)
    named = {move.uid for move in before}
    moving = frozenset(pod.key for pod in candidates if pod.uid in named)
    waiting = [pod for pod in candidates if pod.uid and pod.uid not in named]
    if moving or not waiting or not calm:
        return Moves(moving, before)
    recent = [move for move in before if move.begun_at + HOUR_SECONDS > now]
    count = max(0, rules.max_moves_per_hour - len(recent))
    if not count:
        return Moves(stored=before, next_at=min(m.begun_at for m in recent) + HOUR_SECONDS)
    fresh = [Move(pod.name, pod.uid, now) for pod in waiting[:count]]
    return Moves(stored=(*recent, *fresh), next_at=now + 1)


def begun(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of pods whose move is in the `after` status but not in the `before` status."""
    known = {move.uid for move in _stored(before)}
    return [move.pod for move in _stored(after) if move.uid not in known]


def _stored(status: Mapping[str, Any]) -> tuple[Move, ...]:
    told = status.get("recentMoves")
    found = []
    for one in told if isinstance(told, list | tuple) else ():
        try:
            found.append(Move(str(one["pod"]), str(one["uid"]), epoch_of(one["time"])))
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return tuple(found)


def _age(pod: Pod) -> tuple[int, int, str]:
    return pod.created_at, ordinal(pod.name), pod.name
