"""Gives empty nodes of a Pool back, and never a node that has, or is about to have, a pod.

A node that has had nothing but DaemonSet and static pods for long enough gets a taint, so that
nothing new lands there. Once the taint has been seen for more than 10 seconds, no bind of ours is
without an answer and no pod has come, the API server is asked for a fresh list of the node's pods.
Only if that is empty too, the claim is deleted. Anything that appears before makes the node open
again. What is remembered between the steps only saves time: after a restart a tainted node goes
through the whole fence again.

A node whose pods have moved to other nodes has a taint already (`vacating`). Once it is empty, it
goes through the same fence under that taint, so that it is never without a taint. While it still
has pods, its taint is left alone here.

Others have terminated nodes with running pods that had seemed empty: kubernetes-sigs/karpenter
issue 3185.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bayplan.api.names import RUN_TRACKING
from bayplan.model.backoff import delay_after
from bayplan.model.intents import RetireNode, TaintNode
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import DRAINING, LOST_TAINTS, MOVING, RETIRING, Node
from bayplan.model.pods import Pod
from bayplan.model.untyped import mapping, sequence

QUIET_SECONDS = 10  # with the taint and without a pod
FRESH_SECONDS = 5  # a list that was asked for earlier is no longer fresh
JOINING_SECONDS = 900  # for as long a node may take to become ready: Karpenter's own patience
MOST_LEAVING = 50  # nodes with our taint at the same time, whose claims are not yet deleted
_AGAIN_SECONDS, _LONGEST_SECONDS = 5, 300  # until an act without effect is tried again
_OF_KUBERNETES = "node.kubernetes.io/"  # taints for the conditions of a node


@dataclass(frozen=True, slots=True)
class Seen:
    """A node of the Pool with its claim, and all its pods that are known or assumed.

    Instances of services that have one on each node are left out.
    """

    node: Node
    claim: NodeClaim
    pods: Sequence[Pod] = ()


@dataclass(frozen=True, slots=True)
class FreshList:
    """All pods of a node as the API server listed them; asked for at `asked_at`."""

    asked_at: int
    pods: Sequence[Pod] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """`taints` are the keys of those that the NodePool's template sets.

    `buying` and `consolidating` are of the mode: without the second, a node under whose taint pods
    move opens again.
    """

    empty_seconds: int
    taints: frozenset[str] = frozenset()
    buying: bool = True
    consolidating: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """What else a step has to know.

    `wanted` are nodes that must stay or open again: pods are planned for them, waiting pods could
    use them, or they are the headroom. `in_flight` are nodes for which a bind or a create of ours
    has no answer yet. `fresh` are the lists that have come, by node.
    """

    at: int  # epoch seconds
    wanted: Collection[str] = frozenset()
    in_flight: Collection[str] = frozenset()
    fresh: Mapping[str, FreshList] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is remembered of one node: since when it is empty, since when its taint is seen.

    `act` is what was last asked for, `acted_at` when, and `tries` how often in a row. `retired_at`
    is when the claim's delete was last decided, and `deletes` how often: each was refused since.
    """

    empty_since: int | None = None
    tainted_at: int | None = None
    act: str = ""
    acted_at: int = 0
    tries: int = 0
    retired_at: int = 0
    deletes: int = 0

    def may(self, act: str, now: int) -> bool:
        """Whether the act is new, or was tried so long ago that it may be tried again."""
        if act != self.act:
            return True
        return now >= self.acted_at + delay_after(self.tries, _AGAIN_SECONDS, _LONGEST_SECONDS)

    @property
    def retries_at(self) -> int:
        """When the delete of the claim may be tried again after the API server refused it."""
        if not self.deletes:
            return 0
        return self.retired_at + delay_after(self.deletes, _AGAIN_SECONDS, _LONGEST_SECONDS)

    def acting(self, act: str, now: int) -> "Watched":
        tries = self.tries + 1 if act == self.act else 1
        acting = dataclasses.replace(self, act=act, acted_at=now, tries=tries)
        if act != "retire":
            return acting
        return dataclasses.replace(acting, retired_at=now, deletes=self.deletes + 1)


Memory = Mapping[str, Watched]  # by the uid of the node


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be written, the nodes whose pods are to be listed afresh, and what to remember."""

    intents: tuple[TaintNode | RetireNode, ...] = ()
    lists: tuple[str, ...] = ()
    memory: Memory = field(default_factory=dict)


def step(nodes: Sequence[Seen], memory: Memory, rules: Rules, now: Now) -> Step:
    """One step for all nodes of a Pool, once a second or so. O(nodes + pods).

    Nodes that are being deleted are left.
    """
    remembered: dict[str, Watched] = {}
    intents: list[TaintNode | RetireNode] = []
    lists: list[str] = []
    leaving = sum(RETIRING in seen.node.drains and not seen.claim.deleting for seen in nodes)
    for seen in sorted(nodes, key=_dearest):
        node = seen.node
        if seen.claim.deleting or node.deleting:
            continue
        known = _looked_at(seen, memory.get(node.uid, Watched()), now)
        act = _due(seen, known, rules, now)
        if act == "taint" and leaving >= MOST_LEAVING:
            act = ""
        if act and known.may(act, now.at):
            known = known.acting(act, now.at)
            match act:
                case "list":
                    lists.append(node.name)
                case "retire":
                    intents.append(RetireNode(seen.claim.name, seen.claim.uid, _why(seen, known)))
                case _:
                    intents.append(_taint(node, present=act == "taint"))
                    leaving += act == "taint"
        remembered[node.uid] = known
    return Step(tuple(intents), tuple(lists), remembered)


def may_go(seen: Seen) -> bool:
    """Whether the node may have to go or to open: only then it matters who wants the node."""
    return seen.node.given_back or not ordinary(seen.pods)


def reopened(nodes: Sequence[Node]) -> tuple[TaintNode, ...]:
    """Takes our taint off these nodes: the Pool no longer buys, or it is gone."""
    return tuple(
        _taint(node, present=False) for node in nodes if node.given_back and not node.deleting
    )


def reopens(node: Node) -> bool:
    """Whether pods can go to a node as soon as our taint is off: it leaves for no other reason.

    A node whose pods have moved does not open for new pods.
    """
    others = tuple(one for one in node.taints if (one.key, one.value) != (DRAINING, RETIRING))
    return RETIRING in node.drains and not dataclasses.replace(node, taints=others).emptying


def template_taints(node_pool: Mapping[str, Any]) -> frozenset[str]:
    """The keys of the taints that a NodePool, as stored, gives to its nodes."""
    spec = mapping(mapping(mapping(node_pool.get("spec")).get("template")).get("spec"))
    return frozenset(
        str(one["key"])
        for field_ in ("taints", "startupTaints")
        for one in map(mapping, sequence(spec.get(field_)))
        if one.get("key")
    )


def ordinary(pods: Sequence[Pod]) -> list[Pod]:
    """The pods that keep a node: all but those of DaemonSets, static ones, and what has ended.

    A run that has ended keeps its node until the status of its job accounts for it.
    """
    return [
        pod
        for pod in pods
        if not pod.resident and not (pod.terminal and RUN_TRACKING not in pod.finalizers)
    ]


def _looked_at(seen: Seen, known: Watched, now: Now) -> Watched:
    """What is remembered of the node after this look."""
    used = bool(ordinary(seen.pods)) or seen.node.name in now.in_flight
    since = None if used else _first(known.empty_since, now.at)
    tainted_at = _first(known.tainted_at, now.at) if seen.node.given_back else None
    if tainted_at is None and known.act == "open":  # it was seen open: a later taint is another
        known = dataclasses.replace(known, act="", tries=0)
    return dataclasses.replace(known, empty_since=since, tainted_at=tainted_at)


def _due(seen: Seen, known: Watched, rules: Rules, now: Now) -> str:
    """What should be done with the node now: taint, open, list, retire, or nothing."""
    name = seen.node.name
    stays = (
        known.empty_since is None
        or name in now.wanted
        or bool(seen.node.kept)
        or _claimed(seen.node, rules)
    )
    if known.tainted_at is None:
        return (
            "" if stays or not rules.buying or now.at < _empty_at(seen, known, rules) else "taint"
        )
    # A taint that is being taken off may be gone already: the node has to be seen open first.
    moving = rules.consolidating and MOVING in seen.node.drains
    if stays or not rules.buying or known.act == "open":
        return "" if moving and known.empty_since is None else "open"
    if now.at <= _quiet_at(known) or now.at < known.retries_at:
        return ""
    fresh = now.fresh.get(name)
    young = fresh is not None and _quiet_at(known) < fresh.asked_at >= now.at - FRESH_SECONDS
    if fresh is None or not young:
        return "list"
    if not ordinary(fresh.pods):
        return "retire"
    return "" if moving else "open"


def _claimed(node: Node, rules: Rules) -> bool:
    """Whether somebody else has an intention with the node: a cordon, or a taint of theirs."""
    return node.unschedulable or any(
        taint.key not in rules.taints
        and taint.key not in LOST_TAINTS
        and not taint.key.startswith(_OF_KUBERNETES)
        and not taint.of_pool
        for taint in node.taints
    )


def _empty_at(seen: Seen, known: Watched, rules: Rules) -> int:
    """When the node has been empty for long enough; a node that is joining has more time."""
    since = known.empty_since or 0
    joined = 0 if seen.claim.initialized else seen.claim.created_at + JOINING_SECONDS
    return max(since + rules.empty_seconds, joined)


def _quiet_at(known: Watched) -> int:
    """Whole seconds are rounded down, so more than this has to be past."""
    return max(known.tainted_at or 0, known.empty_since or 0) + QUIET_SECONDS


def _taint(node: Node, *, present: bool) -> TaintNode:
    """Comes with the value of an empty node, and goes with the value that the node has."""
    value = MOVING if not present and MOVING in node.drains else RETIRING
    return TaintNode(node.name, node.uid, DRAINING, value, present=present)


def _first(known: int | None, now: int) -> int:
    return now if known is None else known


def _dearest(seen: Seen) -> tuple[int, str]:
    return -(seen.node.price_microdollars or 0), seen.node.name


def _why(seen: Seen, known: Watched) -> str:
    seconds = known.acted_at - (known.empty_since or 0)
    return f"node {seen.node.name} has had no pods for {seconds} s"
