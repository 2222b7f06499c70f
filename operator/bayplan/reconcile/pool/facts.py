"""What the status of a Pool is computed from, as of one moment."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api.pool_resource import PoolResource
from bayplan.model.groups import PoolGroups
from bayplan.reconcile.pool.launches import Launch
from bayplan.reconcile.pool.limits import Limit, Room
from bayplan.reconcile.pool.quiet import Problem
from bayplan.reconcile.pool.refusals import Unavailable
from bayplan.reconcile.pool.states import Counts


class Cause(enum.StrEnum):
    """Why a pod was moved."""

    CONSOLIDATION = "Consolidation"  # the nodes cost less afterwards
    INTERRUPTION = "Interruption"  # the cloud takes the node back


@dataclass(frozen=True, slots=True)
class Hands:
    """What of Karpenter the Pool buys through.

    `served`: Karpenter's API is there; `synced`: its objects have been listed. `node_pool` is the
    NodePool as stored, None if it does not exist; `unread` says why it cannot be read.
    `node_class` is its node class as stored, None if it does not exist or is of a kind that is not
    looked at; `followed` says whether its kind is looked at. Of a Pool with Auto Scaling groups:
    its `groups`, None until AWS has described them, and why it does not describe them now.
    """

    served: bool = True
    synced: bool = True
    node_pool: Mapping[str, Any] | None = None
    unread: str = ""
    node_class: Mapping[str, Any] | None = None
    followed: bool = False
    groups: PoolGroups | None = None
    groups_problem: str = ""


@dataclass(frozen=True, slots=True)
class Offers:
    """What can be had: the number of offerings that the NodePool allows, and what is wrong.

    `unpriced` are allowed types without a known price. `problem` says why prices and availability
    cannot be read now, `remembered` whether older ones are still used.
    """

    allowed: int = 0
    unpriced: tuple[str, ...] = ()
    problem: str = ""
    remembered: bool = False
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Costs:
    """Microdollars an hour: of the nodes, of the proven bound and of the best plan, if known."""

    now: int | None = None
    bound: int | None = None
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class LeavingNode:
    """A node that is to be given back: it closes, or its pods are being moved.

    `runs` on it are waited for; the last of them ends in about `ends_in` seconds, if that is known.
    Of `moves` pods that move in all, `moved` have moved. `why` says what it waits for, as a part of
    a sentence. `saving` is what the node's end saves, in microdollars an hour; new nodes that are
    bought for its pods are taken off.
    """

    node: str
    saving: int
    runs: int = 0
    ends_in: int | None = None
    moves: int = 0
    moved: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class BlockedNode:
    """A node that would be given back but for a pod (`namespace/name`; empty: the node is kept).

    `reason` ends the sentence that begins with the pod, or with the node; `price` is what the node
    costs, in microdollars an hour.
    """

    node: str
    pod: str
    reason: str
    price: int


@dataclass(frozen=True, slots=True)
class Consolidating:
    """What consolidation does in a Pool.

    `promised` is what the nodes that close and drain save once they have gone; `saved` is by how
    much the plans that were carried out in the last 24 hours lowered the cost: both in microdollars
    an hour. `frozen` says why no pod begins to move, None if nothing keeps it. `planned` is False
    until the first plan. `opened` says why a node takes pods again, by its name.
    """

    moves_last_hour: int = 0
    moves_last_day: int = 0
    moves_by_cause: Mapping[Cause, int] = field(default_factory=dict)  # of the last day
    closing: tuple[LeavingNode, ...] = ()
    draining: tuple[LeavingNode, ...] = ()
    blocked: tuple[BlockedNode, ...] = ()
    promised: int = 0
    saved: int = 0
    frozen: Problem | None = None
    planned: bool = True
    opened: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """`default` names the Pool that is the default, empty without any.

    `held_back` are the limits that stopped an order lately; `waiting` is how many pods wait for a
    node of this Pool. `refused` counts the claims without an instance of the last 30 minutes.
    `refused_write` is the API server's message on a write that it refuses. `next` are the sentences
    on what is bought and given back next. `consolidating` is for a Pool that moves pods.
    `launches` are those of Auto Scaling groups that have no answer yet.
    """

    pool: PoolResource
    hands: Hands = Hands()
    offers: Offers = Offers()
    costs: Costs = Costs()
    counts: Counts = field(default_factory=Counts)
    room: Room = field(default_factory=Room)
    held_back: tuple[Limit, ...] = ()
    unavailable: Unavailable = field(default_factory=Unavailable)
    refused: int = 0
    refused_write: str = ""
    waiting: int = 0
    default: str = ""
    next: tuple[str, ...] = ()
    consolidating: Consolidating | None = None
    launches: tuple[Launch, ...] = ()
    launch_serial: int = 0

    @property
    def buys(self) -> bool:
        """Whether the Pool is to buy, whatever hinders it."""
        return self.pool.spec is not None and self.pool.spec.buys

    @property
    def consolidates(self) -> bool:
        """Whether the Pool is to move pods so that nodes can go, whatever hinders it."""
        return self.pool.spec is not None and self.pool.spec.consolidates

    @property
    def referred(self) -> str:
        """The name of its NodePool; empty without a reference."""
        return self.pool.node_pool
