"""Carries out the fence behind which empty nodes go back (`reconcile.pool.retirement`)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bayplan import logs
from bayplan.cluster import errors
from bayplan.cluster.cache import Cache
from bayplan.model.intents import RetireNode, TaintNode
from bayplan.model.pods import Pod
from bayplan.model.workloads import NO_BACKLOG, Backlog
from bayplan.placement.solve import Policy, solve
from bayplan.provisioning.group_offers import pool_taints
from bayplan.reconcile.pool import retirement
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools.headroom import headroom
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.pool_nodes import PoolNodes
from bayplan.scheduler.pools.under_way import UnderWay


class NodeWrites(Protocol):
    """The part of the writer that gives nodes back."""

    def retire(self, wanted: RetireNode) -> None: ...
    def taint(self, wanted: TaintNode) -> None: ...
    def pods_on(self, node: str) -> Awaitable[list[Pod]]: ...


class EndsInstances(Protocol):
    """Who ends the instances of Auto Scaling groups."""

    def retire(self, wanted: RetireNode) -> None: ...


@dataclass(slots=True, eq=False)
class Retirer:
    """What is remembered of each Pool's nodes, and the lists that were asked for.

    `moving` has the room that is held for pods that move, and the nodes that close.
    """

    cache: Cache
    writer: NodeWrites
    clock: Clock
    menus: MenuKeeper
    under_way: UnderWay
    nodes: PoolNodes
    measured: PoolMetrics
    groups: EndsInstances
    moving: Callable[[], Backlog] = lambda: NO_BACKLOG
    _memory: dict[str, retirement.Memory] = field(default_factory=dict)  # by Pool
    _fresh: dict[str, retirement.FreshList] = field(default_factory=dict)  # by node
    _asking: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def look(self, menus: Menus, now: int) -> None:
        """One step for every Pool; a Pool that does not buy takes its taints off.

        Right after the start nobody knows yet which Pools buy, and every taint stays.
        """
        pools = self.cache.pools
        if not pools.known or not (pools.synced or pools.groups):
            return
        by_pool = self.nodes.by_pool()
        seen = self.nodes.seen(by_pool) if menus.buying else {}
        goes = any(retirement.may_go(one) for nodes in seen.values() for one in nodes)
        wanted = self._wanted(menus, now) if goes else frozenset()
        for pool, nodes in by_pool.items():
            spec = menus.buying.get(pool)
            if not self._known(pool):
                continue
            if spec is None:
                self._memory.pop(pool, None)
                for taint in retirement.reopened(nodes):
                    self.writer.taint(taint)
                continue
            rules = retirement.Rules(
                spec.retirement.empty_seconds,
                self._start_taints(pool),
                consolidating=spec.consolidates,
            )
            flying = frozenset(node for node in self.cache.state.assumed.values() if node)
            moment = retirement.Now(now, wanted, flying, self._fresh)
            step = retirement.step(seen[pool], self._memory.get(pool, {}), rules, moment)
            self._memory[pool] = step.memory
            self._carry_out(pool, step)
        self._fresh.clear()

    def _known(self, pool: str) -> bool:
        """Whether it is known what this Pool buys through; of a Pool that has gone, Karpenter."""
        stored = self.cache.pools.pools.get(pool)
        if stored is not None and stored.groups_tag:
            return self.cache.pools.ready(stored)
        return self.cache.pools.synced

    def _start_taints(self, pool: str) -> frozenset[str]:
        """The keys of the taints that nodes of the Pool have from their start."""
        stored, groups = self.menus.node_pool(pool), self.cache.pools.groups.get(pool)
        if stored is not None:
            return retirement.template_taints(stored.body)
        fit = groups.fit if groups is not None else ()
        return frozenset(taint.key for group in fit for taint in pool_taints(pool, group))

    def forget(self) -> None:
        """Forget what is known of the nodes: tainted nodes go through the whole fence again."""
        self._memory.clear()
        self._fresh.clear()

    def _carry_out(self, pool: str, step: retirement.Step) -> None:
        for intent in step.intents:
            if isinstance(intent, TaintNode):
                self.writer.taint(intent)
            else:
                logs.say(logging.INFO, "give back", pool=pool, claim=intent.claim, why=intent.why)
                self.measured.given_back(pool, intent.uid)
                self._retire(intent)
        for node in step.lists:
            if node not in self._asking:
                self._asking[node] = asyncio.get_running_loop().create_task(self._list(node))

    def _retire(self, wanted: RetireNode) -> None:
        claim = self.cache.pools.claims.get(wanted.claim)
        if claim is not None and claim.group:
            self.groups.retire(wanted)
        else:
            self.writer.retire(wanted)

    def _wanted(self, menus: Menus, now: int) -> frozenset[str]:
        """Nodes for which pods are planned or room is held, or which are the headroom."""
        moving = self.moving()
        kept = self.under_way.kept().union(*moving.held.values())
        spare = headroom(menus)
        if not (spare or self.cache.state.leading):
            return kept
        plan = solve(self.cache.snapshot(), spare, now, Policy(), planned=moving)
        rooms = (name for room in plan.rooms.values() for name in room)
        return kept.union(plan.placements.values(), rooms)

    async def _list(self, node: str) -> None:
        asked_at = self.clock.now()
        try:
            pods: Sequence[Pod] = await self.writer.pods_on(node)
        except errors.ClusterError as error:
            logs.say(logging.INFO, "no list of a node's pods", node=node, error=error)
        else:
            self._fresh[node] = retirement.FreshList(asked_at, self.nodes.keeping(pods))
        finally:
            del self._asking[node]
