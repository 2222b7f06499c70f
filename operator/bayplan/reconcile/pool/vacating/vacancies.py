"""What the state machine of nodes that are given back sees, remembers and says: data only.

`vacating` is the machine; `moving` is its part for the pods that move.
"""

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from bayplan.model.backoff import delay_after
from bayplan.model.budgets import Allowance
from bayplan.model.departures import Move, Vacating
from bayplan.model.intents import CloseNode, EvictPod, TaintNode
from bayplan.model.nodes import MOVING, RETIRING, Node
from bayplan.model.pods import Owner, Pod
from bayplan.model.workloads import Backlog, PodClass, TaskKey

_AGAIN_SECONDS, _LONGEST_SECONDS = 5, 300  # until an act without effect is tried again

Held = Mapping[PodClass, Mapping[str, int]]  # class -> node -> pods, as in `Backlog.held`


class NodeState(enum.Enum):
    OPEN = "Open"
    CLOSING = "Closing"  # used last; it empties by itself as far as it can
    DRAINING = "Draining"  # tainted: its pods move
    EMPTY = "Empty"  # tainted, and nothing is left to move: the fence of `retirement` is next
    FORCED = "Forced"  # somebody else takes the node away: room is held for its pods


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that are given back together, as the newest plan wants it.

    `plan` is what their annotation says. `usable`: what was bought for it is there. The targets of
    the moves are names of nodes.
    """

    plan: str
    vacatings: tuple[Vacating, ...]
    usable: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """`moving` is false outside the windows: then no node begins to drain.

    `frozen` says why nothing new begins, and `halted` why no pod may be evicted now; both are empty
    else. `consolidating` is false if the Pool no longer consolidates: every node opens again.
    """

    most_draining: int
    moves_per_hour: int = 600
    stay_seconds: int = 1800
    patience_seconds: int = 600  # without any progress, the moves of a node are given up
    moving: bool = True
    frozen: str = ""
    halted: str = ""
    consolidating: bool = True


@dataclass(frozen=True, slots=True)
class Proof:
    """Where the successors of pods go by the real filters, beside all holds there are.

    `lacking` are the pods without a place, each with the reason.
    """

    moves: tuple[Move, ...] = ()
    lacking: Mapping[TaskKey, str] = field(default_factory=dict)


# Called with the pods, what is held already, and the nodes that take none of their successors.
Prove = Callable[[Sequence[Pod], Held, Collection[str]], Proof]


@dataclass(frozen=True, slots=True)
class Now:
    """What else a step has to know.

    `plan` is the number of the newest plan, and 0 before the first one. `owned` gives the pods of a
    controller by its uid, on all nodes and on none. `allowed` gives the budgets of a pod; None if
    it has none. `interruptible` says whether the runs of a job may be ended. `usable` are the nodes
    to which a successor can go; `crowded` tells of given holds on which nodes they no longer have
    room together. `in_flight` are nodes for which a bind or a create of ours has no answer yet.
    `wanted` are nodes that must stay or open again.
    """

    at: int  # epoch seconds
    plan: int
    prove: Prove
    owned: Callable[[str], Collection[Pod]]
    usable: Collection[str]
    allowed: Callable[[Pod], Allowance | None] = lambda _: None
    interruptible: Callable[[Owner], bool] = lambda _: False
    crowded: Callable[[Held], Collection[str]] = lambda _: ()
    in_flight: Collection[str] = frozenset()
    wanted: Collection[str] = frozenset()


# ---- what is remembered ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moving:
    """One pod on its way to another node.

    `held`: room is kept for its successor, which has not landed yet. `asked_at` is when its
    eviction was last decided, and `tries` how often. `gone_at` is when the pod had gone; 0 before.
    """

    move: Move
    held: bool = True
    asked_at: int = 0
    tries: int = 0
    gone_at: int = 0


@dataclass(frozen=True, slots=True)
class Watched:
    """What is remembered of one node.

    `known` are the uids of the pods that were there when it closed. `absent` counts the plans in a
    row without the node. `started`: a pod has gone, or a replacement has begun. `tainted`: the
    taint of this vacating was seen. `progress_at` is
    when its moves last came on. `unproven` counts the attempts in a row to place its pods.
    `why` says why the last of them failed, or why the node has opened.
    `act`, `acted_at` and `tries` are of the last write.
    """

    node: str
    group: str = ""
    state: NodeState = NodeState.CLOSING
    since: int = 0
    known: frozenset[str] = frozenset()
    moves: tuple[Moving, ...] = ()
    started: bool = False
    tainted: bool = False
    plan: int = 0
    absent: int = 0
    progress_at: int = 0
    unproven: int = 0
    proved_at: int = 0
    why: str = ""
    act: str = ""
    acted_at: int = 0
    tries: int = 0

    def may(self, act: str, now: int) -> bool:
        """Whether the write is new, or was tried so long ago that it may be tried again."""
        if act != self.act:
            return True
        return now >= self.acted_at + delay_after(self.tries, _AGAIN_SECONDS, _LONGEST_SECONDS)


@dataclass(frozen=True, slots=True)
class Fleet:
    """What is remembered of the pods of one controller.

    `known` are the uids of placed pods that are no successors, or were counted as such. `size` is
    how many pods it had at the last eviction, at `evicted_at`. `asked` has the uids of the pods
    that were lately asked to go, and when.
    """

    known: frozenset[str] = frozenset()
    size: int = 0
    evicted_at: int = 0
    asked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rest:
    """Until when (epoch seconds) a node is not closed again, or an owner not moved, and why."""

    until: int
    why: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class Memory:
    """All that a Pool's steps remember; after a restart it is empty.

    `nodes` are by uid; a node that has gone stays until its successors have landed. `rests` are by
    uid of the node, `failed` by uid of the owner. `moves` are (epoch seconds, count) of the last
    hour. `began_at` is when the first step was, and `planned_at` when the newest plan came.
    """

    nodes: Mapping[str, Watched] = field(default_factory=dict)
    fleets: Mapping[str, Fleet] = field(default_factory=dict)
    rests: Mapping[str, Rest] = field(default_factory=dict)
    failed: Mapping[str, Rest] = field(default_factory=dict)
    moves: tuple[tuple[int, int], ...] = ()
    began_at: int = 0
    plan: int = 0
    planned_at: int = 0


# ---- what a step says --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """The state of a node, and why it is so, as the rest of a sentence about the node.

    `left` is how many pods are still to move; `changed`: the state is new, and worth a log line.
    """

    state: NodeState
    why: str = ""
    left: int = 0
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """`held` has room for every pod that is still to move or whose successor has not landed.

    `held.closing` are the nodes that are used last. `states` has every node that is not open, and
    the open ones that the plan wants, by name. `moved` are those whose successors landed in this
    step. `lacking` are pods of nodes that others take away, for which there is no room.
    """

    intents: tuple[CloseNode | TaintNode | EvictPod, ...] = ()
    held: Backlog = field(default_factory=Backlog)
    states: Mapping[str, Told] = field(default_factory=dict)
    moved: tuple[Move, ...] = ()
    lacking: Mapping[TaskKey, str] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)


def draining(node: Node) -> bool:
    """Whether the node has the taint under which its pods move."""
    return MOVING in node.drains


def retiring(node: Node) -> bool:
    return RETIRING in node.drains
