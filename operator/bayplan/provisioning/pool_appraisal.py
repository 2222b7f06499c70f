"""What a Pool's nodes cost, and the question what the least would be for the pods on them.

Constraints between pods are left out of the question, which can only lower the answer: so its bound
holds for any placement. Pods that no offer holds stay, and their nodes with them: those count on
neither side.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bayplan.cloud.node_pools import ON_DEMAND, SPOT
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, Node
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import PodClass
from bayplan.optimizer.problem import Problem
from bayplan.optimizer.purchase import Purchase
from bayplan.provisioning.appraisal import movable
from bayplan.provisioning.demand import Row, Shop
from bayplan.provisioning.offerings import Offer

Sort = tuple[str, str]  # instance type, capacity type
_SHOWN = 6  # types in a sentence


@dataclass(frozen=True, slots=True, eq=False)
class PoolAppraisal:
    """`cost` in microdollars an hour of the nodes that are compared, by sort in `there`.

    `kept` is the cost of nodes with a pod that no offer holds: it counts on both sides. `problem`
    is None if there are no pods to place: then the least is nothing.
    """

    cost: int
    kept: int
    there: Counter[Sort]
    problem: Problem | None
    places: tuple[tuple[Offer, str], ...]

    @property
    def digest(self) -> bytes:
        """An earlier answer to a question with the same digest still holds."""
        if self.problem is None:
            return b""
        return self.problem.digest + repr(sorted(self.there.items())).encode()

    def changes(self, answer: Purchase) -> list[tuple[Sort, int]]:
        """How many nodes of each sort the plan has more (above 0) or less than there are."""
        then: Counter[Sort] = Counter()
        for place in answer.types.tolist():
            offer = self.places[place][0]
            then[offer.name, SPOT if offer.spot else ON_DEMAND] += 1
        sorts = sorted(then.keys() | self.there.keys())
        return [(one, then[one] - self.there[one]) for one in sorts if then[one] != self.there[one]]


def pool_appraisal(
    snapshot: Snapshot,
    nodes: Sequence[Node],
    shop: Shop,
    price: Callable[[Node], int | None],
) -> PoolAppraisal | None:
    """The appraisal of these nodes; None if the price of a node is unknown."""
    prices = {node.name: price(node) for node in nodes}
    if any(each is None for each in prices.values()):
        return None
    by_node = {node.name: movable(snapshot, (node,)) for node in nodes}
    held = {kind: shop.holds(kind) for counts in by_node.values() for kind in counts}
    moving = [node for node in nodes if all(held[kind] for kind in by_node[node.name])]
    demand: Counter[PodClass] = Counter()
    for node in moving:
        demand.update(by_node[node.name])
    rows = [Row(kind, count=count) for kind, count in demand.items()]
    places = shop.places(rows) if rows else []
    names = {node.name for node in moving}
    return PoolAppraisal(
        cost=sum(prices[node.name] or 0 for node in moving),
        kept=sum(prices[node.name] or 0 for node in nodes if node.name not in names),
        there=Counter(map(_sort, moving)),
        problem=shop.problem(rows, places) if rows else None,
        places=tuple(places),
    )


def sentences(changes: Iterable[tuple[Sort, int]], saving: int) -> list[str]:
    """What the plan would buy and give back, and what that saves, in a line each."""
    bought = [(sort, count) for sort, count in changes if count > 0]
    given = [(sort, -count) for sort, count in changes if count < 0]
    found = []
    if bought:
        found.append(f"Would buy {_listed(bought)}.")
    if given:
        found.append(f"Would give back {_listed(given)}.")
    if found:
        found.append(f"That would save ${saving / 1e6:.2f} an hour.")
    return found


def _listed(sorts: Sequence[tuple[Sort, int]]) -> str:
    shown = [
        f"{count} × {kind}{' spot' if capacity == SPOT else ''}"
        for (kind, capacity), count in sorted(sorts, key=lambda one: (-one[1], one[0]))
    ]
    more = len(shown) - _SHOWN
    return ", ".join(shown[:_SHOWN]) + (f" and {more} more types" if more > 0 else "")


def _sort(node: Node) -> Sort:
    return node.labels.get(INSTANCE_TYPE, ""), node.labels.get(CAPACITY_TYPE, ON_DEMAND)
