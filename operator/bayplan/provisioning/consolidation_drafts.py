"""Makes drafts of the groups of a plan: nodes that are given back together, and what that takes.

A node whose pods find room on nodes that are there stands for itself. Nodes whose pods are to share
a new node belong together with it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.optimizer.consolidation import Consolidated
from bayplan.provisioning.consolidation import HOUR, Asked, Scene, overlap_cost, with_margin
from bayplan.provisioning.consolidation_pods import SortedPods, lost_work
from bayplan.provisioning.demand import tied
from bayplan.provisioning.orders import Order, order_for

LEAST_SAVING = 10_000  # microdollars an hour
_PARTS = 1000  # of the largest room; the grid on which sizes of pods are compared

Departures = Mapping[str, Mapping[str, int]]  # uid -> node -> how many leave


@dataclass(frozen=True, slots=True)
class Draft:
    """Nodes that are given back together; their `moves` have been planned to `hints`.

    A hint "~0" is the node of the first order, and so on. `saving` is in microdollars an hour,
    `cost` in microdollars.
    """

    nodes: tuple[Node, ...]
    moves: tuple[Pod, ...] = ()
    orders: tuple[Order, ...] = ()
    hints: Mapping[PodKey, str] = field(default_factory=dict)
    saving: int = 0
    cost: int = 0
    empties_in: int = 0

    @property
    def free(self) -> bool:
        """Whether nothing is moved or bought."""
        return not (self.moves or self.orders)

    def worth(self, horizon_seconds: int) -> bool:
        """Whether it saves enough within the horizon; what costs nothing always does."""
        saved = self.saving * max(horizon_seconds - self.empties_in, 0)
        enough = self.saving >= LEAST_SAVING and saved >= with_margin(self.cost) * HOUR
        return self.free or enough


def drafts(
    asked: Asked, answer: Consolidated, scene: Scene, pods: SortedPods, departures: Departures
) -> list[Draft]:
    """All drafts of an answer, for what is on the nodes now."""
    index = {node.name: at for at, node in enumerate(pods.nodes)}
    going: dict[int, list[Pod]] = {}
    for node, kept in zip(asked.nodes, answer.keep.tolist(), strict=True):
        at = index.get(node.name)
        if kept or at is None or node.name in pods.pins:
            continue
        moving = _moving(at, scene, pods, departures)
        if moving is not None:
            going[at] = moving
    row_of = {
        pod.key: k
        for k, row in enumerate(asked.rows)
        for there in row.pods.values()
        for pod in there
    }
    making = _Making(asked, answer, scene, pods, going, row_of)
    making.fill_bought()
    making.fill_existing()
    return [making.draft(group) for group in making.groups()]


def _moving(at: int, scene: Scene, pods: SortedPods, departures: Departures) -> list[Pod] | None:
    """The pods of a node that have to move; None if one of those may not."""
    name, moving = pods.nodes[at].name, []
    by_owner: dict[str, list[Pod]] = {}
    for owner, pod in pods.free_on(at):
        if owner:
            by_owner.setdefault(owner, []).append(pod)
        else:
            moving.append(pod)
    for owner, there in by_owner.items():
        # Those that may not move are the first to leave.
        ordered = sorted(there, key=lambda pod: (not scene.verdict(pod), pod.key))
        left = ordered[departures.get(owner, {}).get(name, 0) :]
        if left and (scene.leavers_only or scene.verdict(left[0])):
            return None
        moving += left
    return moving


@dataclass(slots=True, eq=False)
class _Making:
    """`going`: index of a node that is given back -> the pods that move. `row_of` each pod."""

    asked: Asked
    answer: Consolidated
    scene: Scene
    pods: SortedPods
    going: Mapping[int, Sequence[Pod]]
    row_of: Mapping[PodKey, int]
    bought: dict[PodKey, int] = field(default_factory=dict)  # number of the bought node
    hints: dict[PodKey, str] = field(default_factory=dict)  # node that is there

    def fill_bought(self) -> None:
        """Choose whose pods go to bought nodes, so that each has the pods of few nodes."""
        left = {at: self._by_row(pods) for at, pods in self.going.items()}
        sizes = self._sizes()
        for number, pattern in enumerate(self.answer.bought.tolist()):
            need = Counter({k: count for k, count in enumerate(pattern) if count})
            while need and left:
                mass = {
                    at: sum(
                        sizes[k] * min(count, len(rows.get(k, ()))) for k, count in need.items()
                    )
                    for at, rows in left.items()
                }
                best = max(mass, key=lambda at: (mass[at], -at))
                if not mass[best]:
                    break
                for k in list(need):
                    for _ in range(min(need[k], len(left[best].get(k, ())))):
                        self.bought[left[best][k].pop().key] = number
                        need[k] -= 1
                need = +need

    def fill_existing(self) -> None:
        """Where the other pods were planned to go."""
        into: dict[int, list[str]] = {}
        for at, k in zip(*self.answer.into.nonzero(), strict=True):
            names = [self.asked.nodes[at].name] * int(self.answer.into[at, k])
            into.setdefault(int(k), []).extend(names)
        for pods in self.going.values():
            for pod in pods:
                names = into.get(self.row_of.get(pod.key, -1), [])
                if pod.key not in self.bought and names:
                    self.hints[pod.key] = names.pop()

    def groups(self) -> list[list[int]]:
        """Nodes that share a bought node, directly or by others, are together."""
        group = {at: at for at in self.going}

        def root(at: int) -> int:
            while group[at] != at:
                at = group[at]
            return at

        first: dict[int, int] = {}  # bought node -> a node whose pods go there
        for at, pods in self.going.items():
            for number in {self.bought[pod.key] for pod in pods if pod.key in self.bought}:
                group[root(at)] = root(first.setdefault(number, at))
        found: dict[int, list[int]] = {}
        for at in self.going:
            found.setdefault(root(at), []).append(at)
        return list(found.values())

    def draft(self, group: Sequence[int]) -> Draft:
        scene = self.scene
        nodes = tuple(self.pods.nodes[at] for at in group)
        moves = tuple(pod for at in group for pod in self.going[at])
        numbers = sorted({self.bought[pod.key] for pod in moves if pod.key in self.bought})
        orders = tuple(self._order(number, moves) for number in numbers)
        hints = {
            pod.key: f"~{numbers.index(self.bought[pod.key])}"
            if pod.key in self.bought
            else self.hints[pod.key]
            for pod in moves
            if pod.key in self.bought or pod.key in self.hints
        }
        prices = {node.name: scene.price(node) or 0 for node in nodes}
        by_name = {node.name: node for node in nodes}
        lost = sum(lost_work(pod, by_name[pod.node], prices[pod.node], scene.now) for pod in moves)
        overlap = sum(overlap_cost(order.price) for order in orders)
        return Draft(
            nodes=nodes,
            moves=moves,
            orders=orders,
            hints=hints,
            saving=sum(prices.values()) - sum(order.price for order in orders),
            cost=len(moves) * scene.terms.move_microdollars + lost + overlap,
            empties_in=max((self.pods.empties_in.get(node.name, 0) for node in nodes), default=0),
        )

    def _order(self, number: int, moves: Sequence[Pod]) -> Order:
        scene = self.scene
        kinds = Counter(scene.kinds(pod) for pod in moves if self.bought.get(pod.key) == number)
        offer, zone = self.asked.places[int(self.answer.types[number])]
        if not zone and any(tied(kind) for kind in kinds):
            zone = next(iter(offer.zones or scene.shop.zones), "")
        return order_for(kinds, (offer, zone), scene.shop, scene.buying)

    def _by_row(self, pods: Sequence[Pod]) -> dict[int, list[Pod]]:
        rows: dict[int, list[Pod]] = {}
        for pod in pods:
            if pod.key in self.row_of:
                rows.setdefault(self.row_of[pod.key], []).append(pod)
        return rows

    def _sizes(self) -> list[int]:
        """How large a pod of each row is, by the resource of which it takes most."""
        holding = self.asked.holding
        largest = holding.room.max(axis=0, initial=1).clip(min=1)
        sizes: list[int] = (holding.request * _PARTS // largest).max(axis=1, initial=0).tolist()
        return [size + 1 for size in sizes]
