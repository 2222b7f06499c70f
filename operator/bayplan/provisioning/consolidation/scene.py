"""The values of consolidation: what it looks at, what it asks the optimiser, and its plan.

`question` makes the question from a `Scene`; `plan` makes the plan from the answer. Nothing here
acts.
"""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from bayplan.api.consolidation import Consolidation
from bayplan.model.departures import Vacating
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import NO_BACKLOG, Backlog, PodClass, Waiting
from bayplan.optimizer.consolidation.holding import Holding, Offers
from bayplan.placement.solve import Memo
from bayplan.provisioning.demand import Shop
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Order, Terms

HOUR = 3600
_OVERLAP_SECONDS = 300  # a new node is paid while it joins and the pods of the old ones move


def with_margin(cost: int) -> int:
    """What must be saved for a cost (microdollars): half as much again."""
    return -(-3 * cost // 2)


def overlap_cost(price: int) -> int:
    """What a new node costs beside the old ones, in microdollars; its price is that of an hour."""
    return -(-price * _OVERLAP_SECONDS // HOUR)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """Everything that a consolidation looks at.

    `nodes` are those of one Pool, also those that leave already. `wanted` says how many pods each
    LongService is to have on them, by uid; pods of others all stay wanted. `verdict` says why a
    pod may not move, as `movability.verdict`. `kinds` gives the class of a pod's successor. `shop`
    has what may be bought, and `buying` how a Pool buys.

    `planned` are shares and holds of pods that are on their way to these nodes. `expected` are pods
    that do not wait yet but must find room: those of runs that begin soon, and headroom. `ranks`
    and `given_back` are those of the former plan, and `unproven` nodes that it could not empty
    after all.

    With `leavers_only` nothing moves: the question is who leaves. `most_moves` limits the moves.
    `spent` is what moves have cost lately that were made for the pods of now, in microdollars: what
    a plan saves must pay for them too.
    """

    snapshot: Snapshot
    nodes: Sequence[Node]
    wanted: Mapping[str, int]
    verdict: Callable[[Pod], str]
    kinds: Callable[[Pod], PodClass]
    shop: Shop
    buying: Callable[[str], Terms]
    price: Callable[[Node], int | None]  # microdollars an hour
    terms: Consolidation
    now: int  # epoch seconds
    planned: Backlog = NO_BACKLOG
    expected: Sequence[Waiting] = ()
    ranks: Mapping[str, int] = field(default_factory=dict)
    given_back: AbstractSet[str] = frozenset()
    unproven: AbstractSet[str] = frozenset()
    leavers_only: bool = False
    most_moves: int | None = None
    spent: int = 0
    memo: Memo = field(default_factory=Memo)


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Pods that the optimiser need not tell apart: `pods` has those of each node, by its index.

    `owner` is the uid of the LongService whose surplus may be among them; else it is empty.
    """

    kind: PodClass
    owner: str
    pods: Mapping[int, Sequence[Pod]]


@dataclass(frozen=True, slots=True)
class Pin:
    """A pod that keeps its node where it is, and why; `young`: only for a while.

    Without a `pod` the reason is one of the node itself.
    """

    reason: str
    pod: Pod | None = None
    young: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What the optimiser is asked, and what its nodes, rows and places mean.

    `guests` are the expected pods that find room now: they have the last rows. `most_moves` is to
    be given to the optimiser.
    """

    holding: Holding
    offers: Offers
    most_moves: int | None
    nodes: tuple[Node, ...]
    rows: tuple[Row, ...]
    places: tuple[tuple[Offer, str], ...]
    guests: tuple[Waiting, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are given back together, once the `orders` are there and their pods have moved.

    A target "~0" is the node of the first order, and so on. `saving` is in microdollars an hour;
    `cost` is what it takes once, in microdollars: the moves, and nodes that are paid side by side.
    `empties_in`: after how many seconds the last run on the nodes is expected to have ended.
    """

    vacatings: tuple[Vacating, ...]
    orders: tuple[Order, ...]
    saving: int
    cost: int
    empties_in: int = 0

    @property
    def moves(self) -> int:
        return sum(len(one.moves) for one in self.vacatings)


@dataclass(frozen=True, slots=True)
class Blocked:
    """A node that would be given back if this pod could move: its price is what that costs.

    `pod` is "namespace/name", and empty if the node itself is kept. `reason` ends a sentence that
    begins with the pod or the node. `price` is in microdollars an hour.
    """

    node: str
    pod: str
    reason: str
    price: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, and what cannot be done.

    `departures`: uid of a LongService -> node -> how many of its instances leave there. `ranks`
    say which node goes next: 0 first. `groups` have the cheapest dollars a move first; each is
    worth its cost, and its pods were placed by the real filters together with those of the groups
    before. `given_back` are all nodes that the optimiser gives back. `blocked` have the dearest
    first. `unproven` are nodes that the optimiser gives back,
    but whose pods found no room by the real filters.
    """

    departures: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    given_back: frozenset[str] = frozenset()
    blocked: tuple[Blocked, ...] = ()
    unproven: frozenset[str] = frozenset()
