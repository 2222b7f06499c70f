"""Carries out the plans of consolidation: orders, holds, and what becomes of each node.

Every ten seconds each Pool in which nothing else is going on is planned for anew, and every second
the state machine of its nodes (`reconcile.pool.vacating`) is asked what comes next. A plan is a
wish: the state machine proves every move again before the first pod moves.
"""

import asyncio
import functools
import logging
import operator
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from bayplan import logs
from bayplan.api.pool import PoolSpec
from bayplan.cluster.cache import Cache
from bayplan.model.budgets import Allowance
from bayplan.model.intents import CloseNode, EvictPod, TaintNode
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.workloads import NO_BACKLOG, Backlog, Waiting
from bayplan.model.workloads import Plan as Placed
from bayplan.provisioning.consolidation.scene import Plan
from bayplan.reconcile.pool.consolidation import moved_lately
from bayplan.reconcile.pool.quiet import Problem
from bayplan.reconcile.pool.retirement import Seen
from bayplan.reconcile.pool.vacating import machine
from bayplan.reconcile.pool.vacating.passes import HOUR
from bayplan.reconcile.pool.vacating.vacancies import (
    Group,
    Held,
    Memory,
    NodeState,
    Now,
    Proof,
    Rules,
    Step,
    draining,
)
from bayplan.scheduler.consolidation.calm import Calm
from bayplan.scheduler.consolidation.deletion_costs import DeletionCosts
from bayplan.scheduler.consolidation.demands import Demand
from bayplan.scheduler.consolidation.planner import Planner
from bayplan.scheduler.consolidation.prover import Prover
from bayplan.scheduler.consolidation.pursued import Pursued, Targets, intended
from bayplan.scheduler.consolidation.records import Records
from bayplan.scheduler.consolidation.scenes import Scenes
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.pool_nodes import PoolNodes
from bayplan.scheduler.pools.under_way import UnderWay

PLAN_SECONDS = 10
_LOOK_SECONDS = 1.0  # so often it is looked whether it is time to plan
_TICK_SECONDS = 1.0
_GOING_SECONDS = 60  # by then pods that are about to go have gone, or go slowly
_DAY = 86_400  # moves count for so long, if the demand stays the same
_OLD_SECONDS = 60  # a plan that is still being carried out is made anew after so long


class MoveWrites(Protocol):
    """The part of the writer that empties nodes."""

    def close(self, wanted: CloseNode) -> None: ...
    def taint(self, wanted: TaintNode) -> None: ...
    def evict_pod(self, wanted: EvictPod) -> None: ...


@dataclass(slots=True)
class _Work:
    """What goes on in one Pool. `number` counts its plans, and `at` is when the last one came."""

    plan: Plan | None = None
    number: int = 0
    at: int = 0
    progress_at: int = 0  # when anything was last done for it
    demand: Demand = field(default_factory=Demand)  # when it came
    same: Demand = field(default_factory=Demand)  # about what has been asked for, since then
    same_since: int = 0
    moved: int = 0  # pods that have begun to move since then
    shrinks_since: int | None = None  # since when many pods are about to go
    pursued: list[Pursued] = field(default_factory=list)
    memory: Memory = field(default_factory=Memory)
    step: Step = field(default_factory=Step)
    hindered: Problem | None = None  # nothing begins
    still: Problem | None = None  # no pod begins to move


@dataclass(slots=True, eq=False)
class Consolidator:
    """`allowed` gives the disruption budgets of a pod, `surplus` says whether instances leave now.

    `failed` hears of a defect of ours.
    """

    cache: Cache
    writer: MoveWrites
    clock: Clock
    menus: MenuKeeper
    under_way: UnderWay
    nodes: PoolNodes
    scenes: Scenes
    planner: Planner
    prover: Prover
    targets: Targets
    calm: Calm
    records: Records
    costs: DeletionCosts
    allowed: Callable[[Pod], Allowance | None]
    surplus: Callable[[], bool]
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]
    _work: dict[str, _Work] = field(default_factory=dict)  # by Pool
    _held: Backlog = NO_BACKLOG
    _asked_at: dict[str, int] = field(default_factory=dict)  # Pool -> when it was last planned for

    async def run(self) -> None:
        """Plan, and carry the plans out, until cancelled."""
        await asyncio.gather(self._planning(), self._looking())

    def held(self) -> Backlog:
        """The room that is kept for pods that move, and the nodes that close."""
        return self._held

    def moves(self, pool: str, now: int) -> int:
        """How many pods of a Pool may begin to move now."""
        spec, work = self.menus.current(now).buying.get(pool), self._work_of(pool)
        if spec is None or self.calm.still(spec, work.memory, now) is not None:
            return 0
        spent = self.calm.spent(work.memory, now)
        return max(spec.consolidation.maximum_moves_per_hour - spent, 0)

    def moved(self, pool: str) -> int:
        """How many pods have begun to move for about the demand of now."""
        return self._work_of(pool).moved

    def going(self, pool: str) -> frozenset[str]:
        """The uids of nodes that are given back already, for which new nodes were ordered."""
        work = self._work.get(pool, _Work())
        return frozenset(uid for one in work.pursued if one.claims for uid in one.nodes)

    def intended(self) -> Backlog:
        """The room that groups need for which new nodes were ordered, on other nodes."""
        pursued = [one for work in self._work.values() for one in work.pursued]
        return intended(pursued, self._uids_begun())

    def land(self, waiting: Iterable[Waiting], placed: Placed) -> None:
        """Pods have been given nodes: no room is kept for those any more."""
        if not self._held.held:
            return
        held = {kind: dict(by) for kind, by in self._held.held.items()}
        for group in waiting:
            by = held.get(group.kind)
            for key in group.keys if by else ():
                node = placed.placements.get(key, "")
                if by and by.get(node, 0) > 0:
                    by[node] -= 1
        self._held = Backlog(self._held.nodes, {}, held, self._held.closing)

    def look(self, now: int) -> None:
        """One step for every Pool that consolidates or has, at `now` (epoch seconds).

        Right after the start nobody knows yet which Pools consolidate, and everything stays.
        """
        if not self.cache.pools.known:
            return
        menus = self.menus.current(now)
        by_pool = self.nodes.by_pool()
        consolidating = {name for name, spec in menus.buying.items() if spec.consolidates}
        pools = consolidating | {name for name, nodes in by_pool.items() if _marked(nodes)}
        pools |= {name for name, work in self._work.items() if work.memory.nodes}
        wanted = {name for name in consolidating if menus.buying[name].consolidation.deletion_cost}
        self.costs.look(wanted, now)
        if not (pools or self._work):
            return
        seen = self.nodes.seen({name: by_pool.get(name, []) for name in pools})
        for name in sorted(pools):
            spec = menus.buying.get(name)
            try:
                self._step(name, spec if name in consolidating else None, seen[name], menus)
            except Exception as error:  # noqa: BLE001  the other Pools go on
                self.failed(error)
        for name in self._work.keys() - pools:
            del self._work[name]
        self.planner.forget(consolidating)
        self.records.forget(consolidating)
        self._hold()

    # ---- plans -----------------------------------------------------------------------------

    async def plan(self) -> None:
        """Plan for every Pool in which nothing else is going on."""
        if self.surplus():
            self._asked_at.clear()  # as soon as the instances have left, it is planned anew
            return
        now = self.clock.now()
        for name, spec in tuple(self.menus.current(now).buying.items()):
            if spec.consolidates and not 0 <= now - self._asked_at.get(name, 0) < PLAN_SECONDS:
                self._asked_at[name] = now
                try:
                    await self._plan(name)
                except Exception as error:  # noqa: BLE001  the nodes are only not given back
                    self.failed(error)

    async def _planning(self) -> NoReturn:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self.leads():
                continue
            try:
                await self.plan()
            except Exception as error:  # noqa: BLE001  the next look is another question
                self.failed(error)

    async def _plan(self, pool: str) -> None:
        now, work = self.clock.now(), self._work_of(pool)
        if self.calm.hindrance(pool, now) is not None:
            return
        demand = self.scenes.demand(pool)
        if not (demand.like(work.same) and 0 <= now - work.same_since < _DAY):
            work.same, work.same_since, work.moved = demand, now, 0
        if self._busy(work, demand, now):
            work.number += 1  # it stands
            return
        if self._shrinks(work, demand, now):
            self._asked_at.pop(pool, None)
            return
        await self.planner.moving(pool)
        found = self.planner.known(pool)
        if found is None or self.surplus():
            return
        work = self._work_of(pool)
        if found is not work.plan:
            self._accept(pool, work, found)
        else:
            work.number += 1

    def _work_of(self, pool: str) -> _Work:
        """What goes on in a Pool; a new process counts on from the moves of the last hour."""
        work = self._work.get(pool)
        if work is None:
            stored, now = self.cache.pools.pools.get(pool), self.clock.now()
            moved = moved_lately(stored.status) if stored is not None else 0
            memory = Memory(moves=((now, moved),)) if moved else Memory()
            work = self._work[pool] = _Work(memory=memory)
            self.records.resume(pool, moved, now)
        return work

    def _busy(self, work: _Work, demand: Demand, now: int) -> bool:
        """Whether the last plan is still being carried out, for about the same pods."""
        if not work.pursued or not 0 <= now - max(work.at, work.progress_at) < _OLD_SECONDS:
            return False
        return demand.like(work.demand)

    def _shrinks(self, work: _Work, demand: Demand, now: int) -> bool:
        """Whether many pods are about to go: a plan before that would buy what becomes free."""
        if not demand.shrinks:
            work.shrinks_since = None
            return False
        if work.shrinks_since is None:
            work.shrinks_since = now
        return 0 <= now - work.shrinks_since < _GOING_SECONDS

    def _accept(self, pool: str, work: _Work, plan: Plan) -> None:
        """Pursue a plan from now on; what was begun by the plan before goes on."""
        begun = [one for one in work.pursued if self._begun(one, work)]
        taken = frozenset(uid for one in begun for uid in one.nodes)
        fresh = [Pursued.of(group) for group in plan.groups]
        work.pursued = [*begun, *(one for one in fresh if taken.isdisjoint(one.nodes))]
        work.plan, work.number, work.at = plan, work.number + 1, self.clock.now()
        work.demand = self.scenes.demand(pool)

    def _begun(self, one: Pursued, work: _Work) -> bool:
        """Whether anything of the group cannot be taken back without a trace."""
        return bool(one.claims) or self._drains(one, work)

    def _drains(self, one: Pursued, work: _Work) -> bool:
        states = (work.memory.nodes.get(uid) for uid in one.nodes)
        return any(state is not None and state.state is not NodeState.CLOSING for state in states)

    # ---- every second ------------------------------------------------------------------------

    async def _looking(self) -> NoReturn:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if not self.leads():
                self._work.clear()  # what another process does meanwhile is not known here
                self.records.forget(())
                self._held = NO_BACKLOG
                continue
            try:
                self.look(self.clock.now())
            except Exception as error:  # noqa: BLE001  the cluster is served all the same
                self.failed(error)

    def _step(self, pool: str, spec: PoolSpec | None, seen: Sequence[Seen], menus: Menus) -> None:
        """One step of a Pool; without a `spec` it no longer consolidates, and its nodes open."""
        now, work = self.clock.now(), self._work_of(pool)
        if spec is None:
            work.pursued.clear()
            rules = Rules(0, consolidating=False)
        else:
            rules = self._rules(pool, spec, work, len(seen), now)
            if rules.moving and not rules.frozen:
                self._order(work, rules, menus)
        groups = [group for one in work.pursued if (group := self.targets.carried(one, now))]
        moment = Now(
            at=now,
            plan=work.number,
            prove=functools.partial(self._prove, pool, groups),
            owned=lambda uid: self.cache.state.owned(uid).values(),
            usable=self._usable(),
            allowed=self.allowed,
            interruptible=self.scenes.interruptible,
            crowded=self.prover.crowded,
            in_flight=frozenset(node for node in self.cache.state.assumed.values() if node),
            wanted=self.under_way.kept(),
        )
        before = work.memory
        step = machine.step(seen, groups, before, rules, moment)
        work.memory, work.step = step.memory, step
        known = sum(now < at + HOUR for at, _ in before.moves)
        work.moved += sum(count for _, count in step.memory.moves[known:])
        if step.intents or any(told.changed for told in step.states.values()):
            work.progress_at = now
        self._write(step)
        self.records.took(pool, step, before, now)
        self._end(pool, work, {one.node.uid for one in seen}, now)
        if spec is not None:
            pursued = [one.group for one in work.pursued]
            blocked = self.planner.blocked(pool) if self.planner.known(pool) is not None else None
            frozen = work.hindered or work.still
            self.records.tell(pool, step, pursued, blocked=blocked, frozen=frozen, now=now)

    def _rules(self, pool: str, spec: PoolSpec, work: _Work, nodes: int, now: int) -> Rules:
        terms = spec.consolidation
        work.hindered = self.calm.hindrance(pool, now)
        work.still = self.calm.still(spec, work.memory, now)
        frozen = work.hindered.message if work.hindered is not None else ""
        return Rules(
            most_draining=terms.draining_nodes(nodes),
            moves_per_hour=terms.maximum_moves_per_hour,
            stay_seconds=terms.minimum_stay_seconds,
            moving=work.still is None,
            frozen=frozen,
            halted=frozen if self.calm.halts(work.hindered) else "",
        )

    def _order(self, work: _Work, rules: Rules, menus: Menus) -> None:
        """Order what the next groups need: new nodes come while the nodes before are emptied."""
        draining_ = (one.state is NodeState.DRAINING for one in work.memory.nodes.values())
        free = 2 * rules.most_draining - sum(draining_)
        for one in work.pursued:
            if free <= 0 and work.pursued[0] is not one:
                return
            if one.buys:
                self.targets.order(one, menus, self.clock.now())
            free -= len(one.nodes) if not self._drains(one, work) else 0

    def _prove(
        self,
        pool: str,
        groups: Sequence[Group],
        pods: Sequence[Pod],
        held: Held,
        closed: Collection[str],
    ) -> Proof:
        """Where the successors of these pods land, on the nodes of the plan if they can."""
        targets = {
            move.pod: move.target
            for group in groups
            for one in group.vacatings
            for move in one.moves
        }
        others = [one.step.held.taken() for name, one in self._work.items() if name != pool]
        planned = functools.reduce(operator.or_, others, self.under_way.planned(coming=False))
        return self.prover.prove(pods, held, closed, targets=targets, planned=planned)

    def _usable(self) -> frozenset[str]:
        """The nodes to which a successor can go."""
        nodes = self.cache.state.nodes.values()
        return frozenset(node.name for node in nodes if node.ready and not node.leaving)

    def _end(self, pool: str, work: _Work, there: Collection[str], now: int) -> None:
        """Leave the groups that are carried out, that have failed, or whose nodes open again."""
        kept: list[Pursued] = []
        for one in work.pursued:
            opened = [
                each.node
                for each in one.group.vacatings
                if (told := work.step.states.get(each.node)) is not None
                and told.changed
                and told.state is NodeState.OPEN
            ]
            if one.late(now) and not self._drains(one, work):
                one.failed = "its new nodes were not used in time"
            if one.nodes.isdisjoint(there):
                bought = tuple(self.under_way.usable(one.claims).values())
                self.records.done(pool, one.group, bought, now)
            elif opened or one.failed:
                self.planner.disproved(pool, opened)
                work.number += 1
                names_ = ",".join(each.node for each in one.group.vacatings)
                why = one.failed or work.step.states[opened[0]].why
                logs.say(logging.INFO, "give up", pool=pool, nodes=names_, why=why)
            else:
                kept.append(one)
        work.pursued = kept

    def _hold(self) -> None:
        """Gather what is held, and keep room on what was ordered for moves that have not begun."""
        pursued = [one for work in self._work.values() for one in work.pursued]
        self.targets.keep_only(pursued, self._uids_begun())
        held = [work.step.held for work in self._work.values()]
        self._held = functools.reduce(operator.or_, held, NO_BACKLOG)

    def _uids_begun(self) -> Collection[str]:
        """The nodes whose pods have begun to move."""
        return {
            uid
            for work in self._work.values()
            for uid, one in work.memory.nodes.items()
            if one.state is not NodeState.CLOSING
        }

    def _write(self, step: Step) -> None:
        for intent in step.intents:
            match intent:
                case CloseNode():
                    self.writer.close(intent)
                case TaintNode():
                    self.writer.taint(intent)
                case EvictPod():
                    self.writer.evict_pod(intent)


def _marked(nodes: Iterable[Node]) -> bool:
    """Whether any of the nodes says that it closes or that its pods move."""
    return any(node.closing or draining(node) for node in nodes)
