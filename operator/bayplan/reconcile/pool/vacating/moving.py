"""The pods that move off the nodes of a Pool, during one step: holds, successors and evictions.

A LongService moves its instances itself, once their node has the taint: replacement first. All
other pods are evicted here, one of each owner at a time, or a tenth of its pods if that is more. A
pod goes only while no more of the owner's other pods are away than that, and while a hold for its
successor stands.
"""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from bayplan.api.names import LONGSERVICE
from bayplan.model.backoff import delay_after
from bayplan.model.departures import Move
from bayplan.model.intents import EvictPod
from bayplan.model.movability import Circumstances, verdict
from bayplan.model.pods import Owner, Pod
from bayplan.model.workloads import PodClass
from bayplan.reconcile.pool.vacating.vacancies import (
    Fleet,
    Held,
    Memory,
    Moving,
    Now,
    Rules,
    Watched,
)

RESUME_SECONDS = 20  # after a restart nobody knows which pods were evicted a moment ago
RECOVER_SECONDS = 60  # an owner that stays smaller than before was scaled down
HOLD_SECONDS = 120  # for the successor of a pod that has gone, if no pod of its owner waits
LONGEST_HOLD_SECONDS = 600  # if any does: one that has not landed by then will not land there
_AGAIN_SECONDS, _LONGEST_SECONDS = 5, 60  # until an eviction without effect is tried again
_PART_AWAY = 10  # one in so many pods of an owner may be away at a time


def moves_itself(pod: Pod) -> bool:
    """Whether its owner replaces it first, once the node has the taint."""
    return pod.owner is not None and pod.owner.kind == LONGSERVICE


def title(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"


class Moves:
    """`held` counts what is kept for successors; `evictions`, `moved` and `fleets` are results.

    `watched` are all nodes of the Pool whose pods move, by uid; their names are `leaving`.
    """

    def __init__(self, memory: Memory, rules: Rules, now: Now, leaving: Collection[str]) -> None:
        self._rules, self._now = rules, now
        self.leaving = leaving
        self._began_at = memory.began_at
        self.fleets = dict(memory.fleets)
        self.held: dict[PodClass, Counter[str]] = {}
        self.evictions: list[EvictPod] = []
        self.moved: list[Move] = []
        self._crowded: Collection[str] = ()
        self._ended: set[str] = set()  # owners of which a run is ended in this step
        self._followed: set[str] = set()  # owners of whose pods all are known as of this step
        self._alive: dict[str, int] = {}  # by uid of an owner: how many of its pods are ready
        self._spent = Counter[str]()  # evictions in this step, by disruption budget
        self._around = Circumstances(
            now.at, rules.stay_seconds, self._living, self._spent_by_now, now.interruptible
        )

    # ---- holds and successors -----------------------------------------------------------------

    def settle(self, watched: Mapping[str, Watched]) -> dict[str, Watched]:
        """The same nodes after what has landed and gone since the last step."""
        moves = {uid: list(one.moves) for uid, one in watched.items()}
        by_owner: dict[str, list[tuple[str, int]]] = {}
        for uid, each in moves.items():
            for index, moving in enumerate(each):
                by_owner.setdefault(moving.move.owner, []).append((uid, index))
        for owner, places in by_owner.items():
            self._settle_owner(owner, places, moves)
        self._followed.update(by_owner)
        found = {}
        for uid, one in watched.items():
            after = tuple(moving for moving in moves[uid] if not _over(moving))
            changed = dataclasses.replace(one, moves=after, started=True, progress_at=self._now.at)
            found[uid] = changed if after != one.moves else one
            for moving in after:
                if moving.held:
                    self._hold(moving.move)
        self._crowded = self._now.crowded(self.kept())
        return found

    def _settle_owner(
        self, owner: str, places: Sequence[tuple[str, int]], moves: Mapping[str, list[Moving]]
    ) -> None:
        pods = {pod.uid: pod for pod in self._now.owned(owner) if not pod.terminal}
        waits = any(not pod.node and not pod.terminating for pod in pods.values())
        for uid, index in places:
            moving = moves[uid][index]
            there = moving.move.uid in pods
            if not there and not moving.gone_at:
                moving = dataclasses.replace(moving, gone_at=self._now.at)
            patience = LONGEST_HOLD_SECONDS if waits else HOLD_SECONDS
            late = self._now.at >= moving.gone_at + patience
            if not there and (late or moving.move.target not in self._now.usable):
                moving = dataclasses.replace(moving, held=False)
            moves[uid][index] = moving
        fleet = self.fleets.get(owner, Fleet())
        placed = {uid: pod for uid, pod in pods.items() if uid and pod.node}
        for uid in sorted(placed.keys() - fleet.known):
            if placed[uid].node not in self.leaving:
                self._land(placed[uid], pods, places, moves)
        self.fleets[owner] = dataclasses.replace(fleet, known=frozenset(placed))

    def _land(
        self,
        successor: Pod,
        pods: Mapping[str, Pod],
        places: Sequence[tuple[str, int]],
        moves: Mapping[str, list[Moving]],
    ) -> None:
        """It takes a hold: rather that of its node, and of a pod that is going."""

        def on_its_way(moving: Moving) -> bool:
            pod = pods.get(moving.move.uid)
            return pod is None or pod.terminating

        held = [(uid, index) for uid, index in places if moves[uid][index].held]
        if not held:
            return

        def fit(place: tuple[str, int]) -> tuple[bool, bool]:
            moving = moves[place[0]][place[1]]
            return moving.move.target != successor.node, not on_its_way(moving)

        uid, index = min(held, key=fit)
        moving = moves[uid][index]
        if not on_its_way(moving):
            for of, at in held:
                gone = moves[of][at]
                if on_its_way(gone) and gone.move.kind == moving.move.kind:
                    # It is the successor of that pod: the pod that is still there gets its hold.
                    kept = dataclasses.replace(moving.move, target=gone.move.target)
                    moves[uid][index] = dataclasses.replace(moving, move=kept)
                    landed = dataclasses.replace(gone.move, target=successor.node)
                    uid, index, moving = of, at, dataclasses.replace(gone, move=landed)
                    break
        moves[uid][index] = dataclasses.replace(moving, held=False)
        if on_its_way(moving) or moves_itself(successor):
            self.moved.append(moving.move)

    def begin(self, moves: Iterable[Move]) -> tuple[Moving, ...]:
        """Keep room for these successors from now on."""
        begun = tuple(Moving(move) for move in moves)
        for moving in begun:
            self._hold(moving.move)
            owner = moving.move.owner
            if owner not in self._followed:
                self._followed.add(owner)
                pods = self._now.owned(owner)
                placed = frozenset(pod.uid for pod in pods if pod.uid and pod.node)
                fleet = self.fleets.get(owner, Fleet())
                self.fleets[owner] = dataclasses.replace(fleet, known=placed)
        return begun

    def _hold(self, move: Move) -> None:
        self.held.setdefault(move.kind, Counter())[move.target] += 1

    def release(self, moving: Iterable[Moving]) -> None:
        """Keep no room for these successors any more."""
        for one in moving:
            if one.held:
                self.held[one.move.kind][one.move.target] -= 1

    def kept(self) -> Held:
        """What is held now."""
        found = {kind: {name: n for name, n in by.items() if n} for kind, by in self.held.items()}
        return {kind: by for kind, by in found.items() if by}

    # ---- evictions ----------------------------------------------------------------------------

    def advance(self, one: Watched, here: Mapping[str, Pod]) -> tuple[Watched, str]:
        """Evict what may be evicted now; the node as remembered after that, and what it waits for.

        `here` are the node's pods by uid.
        """
        moves, waits = list(one.moves), ""
        for index, moving in enumerate(moves):
            pod = here.get(moving.move.uid)
            if pod is None or pod.terminating:
                waits = waits or f"the successor of {'/'.join(moving.move.pod)} has not landed yet"
                continue
            if moves_itself(pod):
                moves[index] = self._landable(moving, pod) if moving.held else moving
                waits = waits or f"{title(pod)} waits for its replacement"
                continue
            after, why = self._advance(moving, pod)
            moves[index] = after
            waits = waits or why
        return dataclasses.replace(one, moves=tuple(moves)), waits

    def _advance(self, moving: Moving, pod: Pod) -> tuple[Moving, str]:
        """Evict one pod, or say why not yet. Without a hold that can be used, it gets a new one."""
        now = self._now
        why = self.forbids(pod) or self._not_yet(moving, pod)
        if why:
            return moving, why
        moving = self._landable(moving, pod)
        if not moving.held:
            return moving, f"there is no other node for {title(pod)}"
        owner = moving.move.owner
        fleet = self.fleets.get(owner, Fleet())
        size = sum(not (each.terminal or each.terminating) for each in now.owned(owner))
        if now.at < fleet.evicted_at + RECOVER_SECONDS:
            size = max(size, fleet.size)  # successors that are not there yet are still missed
        asked = {uid: at for uid, at in fleet.asked.items() if now.at < at + _AGAIN_SECONDS}
        self.fleets[owner] = dataclasses.replace(
            fleet, size=size, evicted_at=now.at, asked={**asked, pod.uid: now.at}
        )
        if pod.is_run:
            self._ended.add(owner)
        allowance = now.allowed(pod)
        if allowance is not None:
            self._spent[allowance.budget] += 1
        why = f"its node {pod.node} is to be given back; there is room on {moving.move.target}"
        self.evictions.append(EvictPod(pod.namespace, pod.name, pod.uid, why))
        return dataclasses.replace(moving, asked_at=now.at, tries=moving.tries + 1), ""

    def _landable(self, moving: Moving, pod: Pod) -> Moving:
        """With a hold that can be used: another one if need be, or without any if there is none."""
        target, now = moving.move.target, self._now
        if moving.held and target in now.usable and target not in self._crowded:
            return moving
        self.release((moving,))
        proof = now.prove((pod,), self.kept(), self.leaving)
        if not proof.moves:
            return dataclasses.replace(moving, held=False, asked_at=now.at)
        return dataclasses.replace(moving, move=self.begin(proof.moves)[0].move, held=True)

    def forbids(self, pod: Pod) -> str:
        """Why this pod must not move now; empty if it may."""
        why = verdict(pod, self._around)
        return f"{title(pod)} {why}" if why else ""

    def _living(self, owner: Owner) -> int:
        if owner.uid not in self._alive:
            pods = self._now.owned(owner.uid)
            self._alive[owner.uid] = sum(pod.ready and not pod.terminating for pod in pods)
        return self._alive[owner.uid]

    def _spent_by_now(self, pod: Pod) -> str:
        """The budget that lets no pod like this go, after those that go in this step."""
        allowance = self._now.allowed(pod)
        spent = allowance is not None and self._spent[allowance.budget] >= allowance.count
        return allowance.budget if allowance is not None and spent else ""

    def _not_yet(self, moving: Moving, pod: Pod) -> str:
        now, owner = self._now, moving.move.owner
        if self._rules.halted:
            return self._rules.halted
        if now.at < self._began_at + RESUME_SECONDS:
            return "the operator has just started"
        if moving.tries:
            wait = delay_after(moving.tries, _AGAIN_SECONDS, _LONGEST_SECONDS)
            if now.at < moving.asked_at + wait:
                return f"the eviction of {title(pod)} was refused: it is tried again"
        elif moving.asked_at and now.at < moving.asked_at + _AGAIN_SECONDS:
            return f"there was no other node for {title(pod)} a moment ago"
        if not pod.is_run:
            return self._unready(owner, pod)
        return (
            f"another run of the owner of {title(pod)} ends first" if owner in self._ended else ""
        )

    def _unready(self, owner: str, pod: Pod) -> str:
        """Why the owner cannot spare this pod now: too many of its pods are not ready, or lack."""
        fleet, now = self.fleets.get(owner, Fleet()), self._now
        others = [each for each in now.owned(owner) if not each.terminal and each.uid != pod.uid]
        if not others:
            return f"{title(pod)} is the only pod of its owner"
        # Those that were asked to go may go, whatever was answered.
        asked = {uid for uid, at in fleet.asked.items() if now.at < at + _AGAIN_SECONDS}
        unready = [each for each in others if not each.node or not each.ready or each.terminating]
        going = asked.union(each.uid for each in unready if each.terminating)
        count = sum(not each.terminating for each in others) + 1
        there = {each.uid for each in others}.difference(each.uid for each in unready)
        away = sum(not each.terminating for each in unready) + len(asked & there)
        recovers = now.at < fleet.evicted_at + RECOVER_SECONDS
        if recovers and count < fleet.size:
            away += fleet.size - count
        if max(away, len(going)) < max(count // _PART_AWAY, 1):
            return ""
        if unready:
            return f"{title(unready[0])} is not ready, so {title(pod)} stays for now"
        if asked:
            return f"another pod of the owner of {title(pod)} was asked to go just now"
        return f"the successor of the pod that moved before {title(pod)} is not there yet"


def _over(moving: Moving) -> bool:
    """Whether nothing is left to do: the pod has gone, and no room is kept for its successor."""
    return bool(moving.gone_at) and not moving.held
