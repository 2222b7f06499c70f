"""What all parts of one step of `vacating` share: what they look at, change and say."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from bayplan.model.backoff import delay_after
from bayplan.model.intents import CloseNode, TaintNode
from bayplan.model.nodes import DRAINING, LEAVING_TAINTS, MOVING, Node
from bayplan.model.pods import Pod
from bayplan.model.workloads import Backlog, PodClass, TaskKey
from bayplan.reconcile.pool.retirement import Seen, ordinary
from bayplan.reconcile.pool.vacating.moving import Moves
from bayplan.reconcile.pool.vacating.vacancies import (
    Group,
    Held,
    Memory,
    NodeState,
    Now,
    Proof,
    Rest,
    Rules,
    Step,
    Told,
    Watched,
    draining,
)

UNDONE_SECONDS = 10  # an open node is watched for so long, for its taint may be on its way
REST_SECONDS, LONGEST_REST_SECONDS = 60, 3600  # before an opened node is closed again
PROOF_SECONDS, LONGEST_PROOF_SECONDS = 5, 60  # before a proof that failed is tried again
HOUR = 3600


class Pass:
    """One step. `watched` is what is remembered of the nodes, by uid, as it changes."""

    def __init__(
        self,
        nodes: Sequence[Seen],
        groups: Sequence[Group],
        memory: Memory,
        rules: Rules,
        now: Now,
    ) -> None:
        self.seen = {seen.node.uid: seen for seen in nodes}
        self._uids = {seen.node.name: seen.node.uid for seen in nodes}
        self.groups, self.rules, self.now = groups, rules, now
        self.memory = self._aged(memory)
        self.watched = dict(memory.nodes)
        self.rests, self.failed = dict(self.memory.rests), dict(self.memory.failed)
        self.spent = list(self.memory.moves)
        self.wanted = {one.uid: one for group in groups for one in group.vacatings}
        self.intents: list[CloseNode | TaintNode] = []
        self.told: dict[str, Told] = {}
        self.lacking: dict[TaskKey, str] = {}
        self.moves = Moves(self.memory, rules, now, self._leaving())

    def _aged(self, memory: Memory) -> Memory:
        """The memory without what is too old to count."""
        at = self.now.at
        newer = self.now.plan != memory.plan
        return dataclasses.replace(
            memory,
            rests={uid: one for uid, one in memory.rests.items() if at < one.until + HOUR},
            failed={uid: one for uid, one in memory.failed.items() if at < one.until},
            moves=tuple(one for one in memory.moves if at < one[0] + HOUR),
            began_at=memory.began_at or at,
            plan=self.now.plan,
            planned_at=at if newer or not memory.planned_at else memory.planned_at,
        )

    def _leaving(self) -> frozenset[str]:
        """Nodes that take no successor: they leave, or are to be given back."""
        begun = {one.node for one in self.watched.values() if one.state is not NodeState.OPEN}
        marked = {
            seen.node.name
            for seen in self.seen.values()
            if seen.node.leaving or seen.node.closing or seen.claim.deleting
        }
        return frozenset(begun | marked | {one.node for one in self.wanted.values()})

    def new(self, seen: Seen, group: str, state: NodeState) -> Watched:
        return Watched(
            seen.node.name,
            group,
            state,
            self.now.at,
            known=frozenset(pod.uid for pod in ordinary(seen.pods)),
            tainted=draining(seen.node),
            plan=self.now.plan,
            progress_at=self.now.at,
        )

    def stays(self, seen: Seen) -> str:
        """Why the node is not ours to give back; empty if it is."""
        node = seen.node
        if not self.rules.consolidating:
            return "the Pool does not consolidate"
        if node.kept:
            return f"the annotation {node.kept} says that it stays"
        if node.unschedulable:
            return "somebody has cordoned it"
        return ""

    def proof(self, pods: Sequence[Pod]) -> Proof:
        """Where the successors of these pods land, beside what is held.

        The room that later groups are to have is left to them, if there is room without it: else
        the last node of a group would find none, and the others had been emptied for less.
        """
        held, later = self.moves.kept(), self._later(frozenset(pod.uid for pod in pods))
        if later:
            found = self.now.prove(pods, added(held, later), self.moves.leaving)
            if not found.lacking:
                return found
        return self.now.prove(pods, held, self.moves.leaving)

    def _later(self, moving: Collection[str]) -> Held:
        """The room on nodes that are there for pods, other than these, whose moves are to begin."""
        found: dict[PodClass, Counter[str]] = {}
        for group in self.groups:
            for one in group.vacatings:
                watched = self.watched.get(one.uid)
                if one.uid not in self.seen or (watched and watched.state is not NodeState.CLOSING):
                    continue
                for move in one.moves:
                    if move.uid not in moving and move.target in self._uids:
                        found.setdefault(move.kind, Counter())[move.target] += 1
        return found

    def may_prove(self, one: Watched) -> bool:
        wait = delay_after(one.unproven, PROOF_SECONDS, LONGEST_PROOF_SECONDS)
        return not one.unproven or self.now.at >= one.proved_at + wait

    def open(self, uid: str, one: Watched, why: str, *, rest: bool = False) -> None:
        """Undo what was begun there; only successors that are on their way keep their holds."""
        here = {pod.uid: pod for pod in self.seen[uid].pods} if uid in self.seen else {}
        staying = [
            each
            for each in one.moves
            if each.move.uid in here and not here[each.move.uid].terminating
        ]
        self.moves.release(staying)
        if rest:
            times = self.rests[uid].times + 1 if uid in self.rests else 1
            seconds = delay_after(times, REST_SECONDS, LONGEST_REST_SECONDS)
            self.rests[uid] = Rest(self.now.at + seconds, why, times)
        opened = dataclasses.replace(
            one,
            state=NodeState.OPEN,
            since=self.now.at,
            moves=tuple(each for each in one.moves if each not in staying),
            why=why,
            act="",
        )
        self.watched[uid] = opened
        self.undo(uid, opened, self.seen[uid])

    def undo(self, uid: str, one: Watched, seen: Seen) -> None:
        """Take our marks off, and look again until none is left and none is on its way."""
        node, first = seen.node, one.since == self.now.at
        marked = draining(node) or bool(node.closing)
        if marked or first:
            before = one
            one = self.acting(one, "open") if one.may("open", self.now.at) else one
            if one is not before:
                if draining(node) or (first and one.tainted) or self._may_be_tainted(uid):
                    self.intents.append(moving_taint(node, present=False))
                self.intents.append(CloseNode(node.name, uid, ""))
        done = not marked and self.now.at >= one.since + UNDONE_SECONDS and not one.moves
        self.tell(one, one.why)
        self.keep(uid, None if done else one)

    def _may_be_tainted(self, uid: str) -> bool:
        """Whether a taint that we decided may be on its way."""
        before = self.memory.nodes.get(uid)
        return before is not None and before.state is NodeState.DRAINING

    def keep(self, uid: str, one: Watched | None) -> None:
        if one is None:
            self.watched.pop(uid, None)
        else:
            self.watched[uid] = one

    def write(self, one: Watched, act: str, intent: CloseNode | TaintNode) -> Watched:
        if not one.may(act, self.now.at):
            return one
        self.intents.append(intent)
        return self.acting(one, act)

    def acting(self, one: Watched, act: str) -> Watched:
        tries = one.tries + 1 if act == one.act else 1
        return dataclasses.replace(one, act=act, acted_at=self.now.at, tries=tries)

    def tell(self, one: Watched, why: str, left: int = 0) -> None:
        before = self.memory.nodes.get(self._uids[one.node])
        changed = before is None or before.state is not one.state
        self.told[one.node] = Told(one.state, why, left, changed)

    def result(self) -> Step:
        busy = {each.move.owner for one in self.watched.values() for each in one.moves}
        recent = self.now.at - HOUR
        fleets = {
            owner: fleet
            for owner, fleet in self.moves.fleets.items()
            if owner in busy or fleet.evicted_at > recent
        }
        closing = frozenset(
            one.node
            for one in self.watched.values()
            if one.state in {NodeState.CLOSING, NodeState.DRAINING, NodeState.EMPTY}
        )
        memory = dataclasses.replace(
            self.memory,
            nodes=self.watched,
            fleets=fleets,
            rests=self.rests,
            failed=self.failed,
            moves=tuple(self.spent),
        )
        return Step(
            intents=(*self.intents, *self.moves.evictions),
            held=Backlog(held=self.moves.kept(), closing=closing),
            states=self.told,
            moved=tuple(self.moves.moved),
            lacking=self.lacking,
            memory=memory,
        )


def added(one: Held, other: Held) -> Held:
    """What is held in both together."""
    return {
        kind: Counter(one.get(kind, {})) + Counter(other.get(kind, {})) for kind in {**one, **other}
    }


def taken_by(seen: Seen) -> str:
    """By whom or what the node is taken away, if not by us; empty if nobody does it."""
    if seen.node.deleting or seen.claim.deleting:
        return "it is being deleted"
    for taint in seen.node.taints:
        if taint.key in LEAVING_TAINTS and not taint.of_pool:
            return f"the taint {taint.key} says that it goes"
    return ""


def moving_taint(node: Node, *, present: bool) -> TaintNode:
    return TaintNode(node.name, node.uid, DRAINING, MOVING, present=present)


def no_room(lacking: Mapping[TaskKey, str]) -> str:
    key, why = min(lacking.items())
    return f"there is no other node for {'/'.join(key)}: {why}"
