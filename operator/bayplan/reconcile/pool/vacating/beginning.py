"""How the nodes of a group close, and once all is ready, drain: a part of `vacating`."""

import dataclasses
from collections.abc import Sequence

from bayplan.model.departures import Move, Vacating
from bayplan.model.intents import CloseNode
from bayplan.model.pods import Pod
from bayplan.reconcile.pool.retirement import ordinary
from bayplan.reconcile.pool.vacating.moving import title
from bayplan.reconcile.pool.vacating.passes import Pass, moving_taint, no_room, taken_by
from bayplan.reconcile.pool.vacating.vacancies import Group, NodeState, Told

MOST_PROOFS = 3  # that fail in a row, and the node opens


def begin(p: Pass, group: Group) -> None:
    """Close the nodes of a group, and once all is ready, let them drain.

    Nodes that were emptied first may have gone already while others wait for their turn.
    """
    there = tuple(one for one in group.vacatings if one.uid in p.seen)
    group = dataclasses.replace(group, vacatings=there)
    for one in group.vacatings:
        if why := _unfit(p, one):
            _refuse(p, group, f"{one.node}: {why}")
            return
    frees = not any(one.moves for one in group.vacatings)
    why = p.rules.frozen
    if not why and not (frees or p.rules.moving):
        why = "no window for moves is open"
    if why:
        _refuse(p, group, why)
        return
    for one in group.vacatings:
        if one.uid not in p.watched:
            seen = p.seen[one.uid]
            closing = p.new(seen, group.plan, NodeState.CLOSING)
            if not seen.node.closing:
                intent = CloseNode(one.node, one.uid, group.plan)
                closing = p.write(closing, "close", intent)
            p.keep(one.uid, closing)
            p.tell(closing, "new pods go there last")
    todo = [
        one
        for one in group.vacatings
        if one.moves and p.watched[one.uid].state is NodeState.CLOSING
    ]
    if todo:
        _begin_moves(p, group, todo)


def _refuse(p: Pass, group: Group, why: str) -> None:
    for one in group.vacatings:
        watched = p.watched.get(one.uid)
        if watched is None:
            p.told[one.node] = Told(NodeState.OPEN, why, len(one.moves))
        elif watched.state is NodeState.CLOSING:
            p.tell(watched, why, len(one.moves))


def _unfit(p: Pass, one: Vacating) -> str:
    """Why this node cannot be given back now; empty if it can, or if it is on its way."""
    seen, watched = p.seen[one.uid], p.watched.get(one.uid)
    if why := p.stays(seen) or taken_by(seen):
        return why
    if watched is not None:
        return "it has just been opened" if watched.state is NodeState.OPEN else ""
    rest = p.rests.get(one.uid)
    if rest is not None and p.now.at < rest.until:
        return f"it was opened a while ago, since {rest.why}"
    for move in one.moves:
        if failed := p.failed.get(move.owner):
            return f"{'/'.join(move.pod)} could not be moved lately: {failed.why}"
    if one.node in p.now.wanted:
        return "pods need it"
    return "" if seen.claim.initialized else "it is only joining"


def _begin_moves(p: Pass, group: Group, todo: Sequence[Vacating]) -> None:
    """Hold room for all pods of these nodes, and let the nodes have their taint."""
    active = sum(one.state is NodeState.DRAINING for one in p.watched.values())
    free = p.rules.most_draining - active
    begun = any(
        one.moves and p.watched[one.uid].state is not NodeState.CLOSING for one in group.vacatings
    )
    batch = todo[: max(free, 0)]
    why = _not_ready(p, group, todo)
    if not why and (not batch or (active and not begun and len(batch) < len(todo))):
        why = f"as many nodes drain as may at a time ({p.rules.most_draining})"
    pods: list[Pod] = []
    for one in batch:
        here = [pod for pod in ordinary(p.seen[one.uid].pods) if not pod.terminating]
        why = why or _not_alone(p, one, here)
        planned = {move.uid for move in one.moves}
        pods += [pod for pod in here if not pod.is_run or pod.uid in planned]
    spent = sum(count for _, count in p.spent)
    if not why and spent + len(pods) > p.rules.moves_per_hour:
        why = f"{spent} pods have moved in the last hour, and {p.rules.moves_per_hour} may"
    if why:
        _wait(p, todo, why)
        return
    proof = p.proof(pods)
    if proof.lacking:
        _unproven(p, batch, no_room(proof.lacking))
        return
    p.spent.append((p.now.at, len(pods)))
    nodes = {pod.uid: pod.node for pod in pods}
    for one in batch:
        moves = [move for move in proof.moves if nodes.get(move.uid) == one.node]
        _let_drain(p, one, moves)


def _not_ready(p: Pass, group: Group, todo: Sequence[Vacating]) -> str:
    """Why a group that is closing does not drain yet, for reasons that no pod gives."""
    if not group.usable:
        return "what was bought for its pods is not there yet"
    for one in todo:
        watched, seen = p.watched[one.uid], p.seen[one.uid]
        if not seen.node.closing or watched.since >= p.now.at:
            return "its annotation is on its way"
        if one.node in p.now.in_flight:
            return "a pod is on its way there"
        if not p.may_prove(watched):
            return watched.why
    return ""


def _not_alone(p: Pass, one: Vacating, here: Sequence[Pod]) -> str:
    """Why the pods of this node cannot all move now; empty if they can."""
    planned = {move.uid for move in one.moves}
    for pod in here:
        if not pod.uid or (pod.uid not in planned and not pod.is_run):
            return f"it waits for {title(pod)}, which is not to move, to leave"
        if pod.uid not in planned:
            continue
        if why := p.moves.forbids(pod):
            return why
    return ""


def _wait(p: Pass, todo: Sequence[Vacating], why: str) -> None:
    for one in todo:
        p.tell(p.watched[one.uid], why, len(one.moves))


def _unproven(p: Pass, batch: Sequence[Vacating], why: str) -> None:
    """There is no room: it is tried again a few times, then the nodes open."""
    for one in batch:
        known = p.watched[one.uid]
        failed = dataclasses.replace(
            known, unproven=known.unproven + 1, proved_at=p.now.at, why=why
        )
        if failed.unproven >= MOST_PROOFS:
            p.open(one.uid, failed, why, rest=True)
        else:
            p.keep(one.uid, failed)
            p.tell(failed, why, len(one.moves))


def _let_drain(p: Pass, one: Vacating, moves: Sequence[Move]) -> None:
    begun = dataclasses.replace(
        p.watched[one.uid],
        state=NodeState.DRAINING,
        since=p.now.at,
        moves=p.moves.begin(moves),
        progress_at=p.now.at,
        unproven=0,
    )
    intent = moving_taint(p.seen[one.uid].node, present=True)
    begun = p.write(begun, "taint", intent)
    p.keep(one.uid, begun)
    p.tell(begun, f"room is held for its {len(moves)} pods", len(moves))
