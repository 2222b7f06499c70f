"""Gives nodes of a Pool back that still have pods: Open, Closing, Draining, Empty.

A node that the plan gives back is Closing at first: an annotation says so, new pods go there last,
and it opens again if a pod lands there or the plan drops it. Once room is held for every pod that
has to move, the node gets a taint, and its pods move (`moving`). The empty node goes through the
fence of `retirement`. Until a pod has gone or a replacement has begun, everything is undone
without a trace; after that it goes on, unless a person says that the node stays, or the moves get
stuck. The annotation and the taint alone tell a successor of ours what was begun.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from bayplan.model.intents import CloseNode, TaintNode
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.reconcile.pool.retirement import Seen, ordinary
from bayplan.reconcile.pool.vacating.beginning import begin
from bayplan.reconcile.pool.vacating.moving import title
from bayplan.reconcile.pool.vacating.passes import Pass, moving_taint, no_room, taken_by
from bayplan.reconcile.pool.vacating.vacancies import (
    Group,
    Memory,
    NodeState,
    Now,
    Rest,
    Rules,
    Step,
    Watched,
    draining,
    retiring,
)

DROPPED = 2  # plans in a row without the node, and it opens
STALE_SECONDS = 120  # without a new plan, what has not started opens
FAILED_SECONDS = 3600  # before an owner whose moves got stuck is moved again


def step(
    nodes: Sequence[Seen], groups: Sequence[Group], memory: Memory, rules: Rules, now: Now
) -> Step:
    """One step for all nodes of a Pool, once a second or so. O(nodes + pods).

    `groups` are those of the newest plan, in the order in which they are to begin.
    """
    one = Pass(nodes, groups, memory, rules, now)
    _resume(one)
    one.watched = one.moves.settle(one.watched)
    for uid in sorted(one.watched, key=lambda uid: one.watched[uid].node):
        _look(one, uid)
    if rules.consolidating:
        for group in groups:
            begin(one, group)
    return one.result()


def reopened(nodes: Sequence[Node]) -> tuple[CloseNode | TaintNode, ...]:
    """Takes our marks off these nodes: their Pool no longer consolidates, or it is gone."""
    found: list[CloseNode | TaintNode] = []
    for node in nodes:
        if draining(node) and not node.deleting:
            found.append(moving_taint(node, present=False))
        if node.closing and not node.deleting:
            found.append(CloseNode(node.name, node.uid, ""))
    return tuple(found)


def _resume(p: Pass) -> None:
    """Watch nodes with marks of ours of which nothing is remembered, and those others take."""
    for uid, seen in p.seen.items():
        known, node = p.watched.get(uid), seen.node
        taken = taken_by(seen) if p.rules.consolidating else ""
        if taken and (known is None or known.state is not NodeState.FORCED):
            before = known.moves if known is not None else ()
            if ordinary(seen.pods):
                forced = Watched(node.name, "", NodeState.FORCED, p.now.at, moves=before)
                p.watched[uid] = dataclasses.replace(forced, progress_at=p.now.at)
        elif known is None and (node.closing or draining(node)):
            state = NodeState.DRAINING if draining(node) else NodeState.CLOSING
            p.watched[uid] = p.new(seen, node.closing, state)


def _look(p: Pass, uid: str) -> None:
    one, seen = _counted(p, uid), p.seen.get(uid)
    if seen is None:
        # The node has gone. Successors that have not landed still need their holds.
        p.keep(uid, dataclasses.replace(one, state=NodeState.EMPTY) if one.moves else None)
        return
    if one.state is NodeState.FORCED:
        _force(p, uid, one, seen)
        return
    if one.state is NodeState.OPEN:
        p.undo(uid, one, seen)
        return
    if retiring(seen.node) or (draining(seen.node) and not ordinary(seen.pods)):
        empty = dataclasses.replace(one, state=NodeState.EMPTY, tainted=True)
        if stays := p.stays(seen):
            p.open(uid, empty, stays)
        else:
            p.keep(uid, empty)
            p.tell(empty, "it has no pods left")
        return
    if one.state is NodeState.EMPTY:  # a pod has come, or the fence has taken the taint off
        p.open(uid, one, "it is needed again", rest=True)
        return
    if one.state is NodeState.DRAINING:
        one = _progressed(p, one, seen)
    stays = p.stays(seen) or _dropped(p, one, uid)
    if stays:
        p.open(uid, one, stays)
    elif one.state is NodeState.CLOSING:
        _close(p, uid, one, seen)
    else:
        _drain(p, uid, one, seen)


def _counted(p: Pass, uid: str) -> Watched:
    """The node, after the newest plan was seen to want it or not."""
    one = p.watched[uid]
    if one.plan == p.now.plan:
        return one
    absent = 0 if uid in p.wanted else one.absent + 1
    return dataclasses.replace(one, plan=p.now.plan, absent=absent)


def _dropped(p: Pass, one: Watched, uid: str) -> str:
    """Why nothing more is to be begun there; empty if the plan still wants it."""
    if one.started and one.state is NodeState.DRAINING:
        return ""
    if one.absent >= DROPPED:
        return "the plan no longer gives it back"
    if p.now.at >= p.memory.planned_at + STALE_SECONDS:
        return f"no plan was made for {STALE_SECONDS} s"
    if p.seen[uid].node.name in p.now.wanted and not one.tainted:
        return "pods need it"
    return ""


def _close(p: Pass, uid: str, one: Watched, seen: Seen) -> None:
    """A closing node: it opens if a pod has landed that the plan did not foresee."""
    vacating = p.wanted.get(uid)
    foreseen = {move.uid for move in vacating.moves} if vacating is not None else set[str]()
    for pod in ordinary(seen.pods):
        if pod.uid and pod.uid not in one.known and pod.uid not in foreseen:
            p.open(uid, one, f"{title(pod)} has landed there", rest=True)
            return
    if draining(seen.node):  # decided a moment before a restart, and seen late
        p.keep(uid, dataclasses.replace(one, state=NodeState.DRAINING, tainted=True))
        return
    if not seen.node.closing:
        one = p.write(one, "close", CloseNode(one.node, uid, one.group))
    p.keep(uid, one)
    p.tell(one, "new pods go there last")


def _drain(p: Pass, uid: str, one: Watched, seen: Seen) -> None:
    node, now = seen.node, p.now
    if draining(node):
        one = dataclasses.replace(one, tainted=True)
    elif one.tainted:
        p.open(uid, one, "somebody has taken its taint off", rest=True)
        return
    else:
        one = p.write(one, "taint", moving_taint(node, present=True))
        p.keep(uid, one)
        p.tell(one, "its taint is on its way")
        return
    here = {pod.uid: pod for pod in ordinary(seen.pods)}
    one = _all_proven(p, uid, one, here)
    if p.watched[uid].state is NodeState.OPEN:
        return
    if not node.ready:
        waits = "the node is not ready"
    else:
        one, waits = p.moves.advance(one, here)
    if one.moves and now.at >= one.progress_at + p.rules.patience_seconds:
        _give_up(p, one.group, uid, waits)
        return
    p.keep(uid, one)
    left = sum(each.move.uid in here for each in one.moves)
    runs = sum(pod.is_run for pod in here.values()) if not one.moves else 0
    p.tell(one, waits or f"it waits for {runs} runs to end", left)


def _progressed(p: Pass, one: Watched, seen: Seen) -> Watched:
    """Notes that a replacement has begun, or that a pod is going."""
    if one.started:
        return one
    going = {pod.uid for pod in seen.pods if pod.terminating}
    owners = {each.move.owner for each in one.moves}
    begun = any(each.asked_at or each.move.uid in going for each in one.moves) or any(
        pod.assumed and pod.node not in {"", one.node}
        for owner in owners
        for pod in p.now.owned(owner)
    )
    return dataclasses.replace(one, started=begun)


def _all_proven(p: Pass, uid: str, one: Watched, here: Mapping[str, Pod]) -> Watched:
    """Have a place for every pod that must leave: for those of a former operator, and new ones.

    If there is none, what has not started opens.
    """
    moving = {each.move.uid for each in one.moves}
    extra = [
        pod
        for pod in here.values()
        if pod.uid and pod.uid not in moving and not pod.terminating and not pod.is_run
    ]
    if not extra or not p.may_prove(one):
        return one
    if one.moves and not one.started:
        p.open(uid, one, f"{title(extra[0])} has landed there", rest=True)
        return one
    proof = p.proof(extra)
    if not proof.lacking:
        # After a restart nobody knows what had started: it goes on.
        moves = (*one.moves, *p.moves.begin(proof.moves))
        p.spent.append((p.now.at, len(proof.moves)))
        one = dataclasses.replace(one, moves=moves, started=True, unproven=0)
        return dataclasses.replace(one, progress_at=p.now.at)
    one = dataclasses.replace(one, unproven=one.unproven + 1, proved_at=p.now.at)
    if one.unproven >= DROPPED and not one.moves:
        p.open(uid, one, no_room(proof.lacking), rest=True)
    return one


def _give_up(p: Pass, group: str, uid: str, why: str) -> None:
    """The moves are stuck: the nodes of the group open, and the owners are left alone."""
    stuck = p.watched[uid]
    why = f"its pods did not move for {p.rules.patience_seconds} s: {why}"
    owners = {each.move.owner for each in stuck.moves}
    unready = {
        owner
        for owner in owners
        if any(not pod.ready for pod in p.now.owned(owner) if not pod.terminal)
    }
    for owner in unready or owners:
        p.failed[owner] = Rest(p.now.at + FAILED_SECONDS, why)
    for other, one in tuple(p.watched.items()):
        same = other == uid or (group and one.group == group and other in p.seen)
        if same and one.state in {NodeState.CLOSING, NodeState.DRAINING}:
            p.open(other, one, why, rest=True)


def _force(p: Pass, uid: str, one: Watched, seen: Seen) -> None:
    """Keep room for the pods of a node that somebody else takes away; they cannot wait."""
    why = taken_by(seen) if p.rules.consolidating else ""
    if not why:
        p.open(uid, one, "nobody takes it away any more")
        return
    there = {pod.uid for pod in seen.pods}
    lost = [
        each
        for each in one.moves
        if each.held and each.move.uid in there and each.move.target not in p.now.usable
    ]
    p.moves.release(lost)
    one = dataclasses.replace(one, moves=tuple(each for each in one.moves if each not in lost))
    moving = {each.move.uid for each in one.moves}
    here = [
        pod
        for pod in ordinary(seen.pods)
        if pod.uid and pod.owner is not None and not pod.terminating and not pod.is_run
    ]
    extra = [pod for pod in here if pod.uid not in moving]
    if extra and p.may_prove(one):
        proof = p.proof(extra)
        failed = one.unproven + 1 if proof.lacking else 0
        moves = (*one.moves, *p.moves.begin(proof.moves))
        one = dataclasses.replace(one, moves=moves, unproven=failed, proved_at=p.now.at)
        placed = {move.uid for move in proof.moves}
        extra = [pod for pod in extra if pod.uid not in placed]
        p.lacking.update({pod.key: proof.lacking.get(pod.key, "") for pod in extra})
    else:
        p.lacking.update({pod.key: "" for pod in extra})
    p.keep(uid, one)
    p.tell(one, why, len(here))
