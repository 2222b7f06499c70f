"""Makes drafts of the groups of a plan: nodes that are given back together, and what that takes.

A node whose pods find room on nodes that are there stands for itself. Nodes whose pods are to share
a new node belong together with it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.resources import NOTHING
from bayplan.model.snapshot import PodKey
from bayplan.optimizer.consolidation.holding import Consolidated
from bayplan.provisioning.consolidation.pairing import Pairing, Together
from bayplan.provisioning.consolidation.pods import SortedPods, lost_work
from bayplan.provisioning.consolidation.scene import HOUR, Asked, Scene, overlap_cost, with_margin
from bayplan.provisioning.demand import tied
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Order, order_for

LEAST_SAVING = 10_000  # microdollars an hour

Leaving = Mapping[str, Mapping[str, int]]  # uid -> node -> how many leave


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
    asked: Asked, answer: Consolidated, scene: Scene, pods: SortedPods, departures: Leaving
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
    pairing = Pairing(asked, answer, going, row_of)
    groups = pairing.groups()
    return [_draft(group, going, pairing.hints, (asked, answer), pods) for group in groups]


def _moving(at: int, scene: Scene, pods: SortedPods, departures: Leaving) -> list[Pod] | None:
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


def _draft(
    group: Together,
    going: Mapping[int, Sequence[Pod]],
    places: Mapping[PodKey, str],
    made: tuple[Asked, Consolidated],
    pods: SortedPods,
) -> Draft:
    scene, (asked, answer) = pods.scene, made
    nodes = tuple(pods.nodes[at] for at in group.nodes)
    moves = tuple(pod for at in group.nodes for pod in going[at])
    hints = {pod.key: places[pod.key] for pod in moves if pod.key in places}
    orders: list[Order] = []
    for number, planned in group.bought:
        hints.update((pod.key, f"~{len(orders)}") for pod in planned)
        orders.append(_order(planned, asked.places[int(answer.types[number])], scene))
    for more, place in _places(group.left, scene):
        hints.update((pod.key, f"~{len(orders)}") for pod in more)
        orders.append(_order(more, place, scene))
    price = {node.name: scene.price(node) or 0 for node in nodes}
    by_name = {node.name: node for node in nodes}
    lost = sum(lost_work(pod, by_name[pod.node], price[pod.node], scene.now) for pod in moves)
    overlap = sum(overlap_cost(order.price) for order in orders)
    return Draft(
        nodes=nodes,
        moves=moves,
        orders=tuple(orders),
        hints=hints,
        saving=sum(price.values()) - sum(order.price for order in orders),
        cost=len(moves) * scene.terms.move_microdollars + lost + overlap,
        empties_in=max((pods.empties_in.get(node.name, 0) for node in nodes), default=0),
    )


def _order(pods: Sequence[Pod], place: tuple[Offer, str], scene: Scene) -> Order:
    kinds = Counter(map(scene.kinds, pods))
    offer, zone = place
    if not zone and any(tied(kind) for kind in kinds):
        zone = next(iter(offer.zones or scene.shop.zones), "")
    return order_for(kinds, (offer, zone), scene.shop, scene.buying)


def _places(pods: Sequence[Pod], scene: Scene) -> Iterator[tuple[Sequence[Pod], tuple[Offer, str]]]:
    """The fewest new nodes for these pods, as halving finds them; nothing for what fits none."""
    parts = [pods] if pods else []
    while parts:
        part = parts.pop()
        kinds = Counter(map(scene.kinds, part))
        total = sum((kind.request.times(n) for kind, n in kinds.items()), start=NOTHING)
        offer = scene.shop.holder(total, kinds, "")
        if offer is not None:
            yield part, (offer, "")
        elif len(part) > 1:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
