"""Keeps the Pools in order, once a second: refused and stuck claims, empty nodes, statuses."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from bayplan import logs
from bayplan.cluster.cache import Cache
from bayplan.model.node_claims import NodeClaim
from bayplan.reconcile.pool.group_claims import unjoined
from bayplan.reconcile.pool.stuck import stuck
from bayplan.scheduler.consolidation.consolidator import MoveWrites
from bayplan.scheduler.consolidation.deletion_costs import Prices
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools.buyer import Buyer
from bayplan.scheduler.pools.clock_steps import ClockSteps
from bayplan.scheduler.pools.groups import Groups
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.orderer import Launches
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.refused import RefusedOfferings
from bayplan.scheduler.pools.retirer import NodeWrites, Retirer
from bayplan.scheduler.pools.teller import StatusWrites, Teller
from bayplan.scheduler.pools.under_way import UnderWay

_TICK_SECONDS = 1.0
_AGAIN_SECONDS = 10  # while pods wait for nodes, it is looked this often what is still to be bought
_ANSWER_SECONDS = 2  # by then it is known whether a withdrawn claim has an instance after all
_LAUNCH_SECONDS = 30  # for the claims of a Pool that is gone or cannot be read


class PoolWrites(Launches, NodeWrites, MoveWrites, Prices, StatusWrites, Protocol):
    """The part of the writer that is about Pools and their nodes."""


@dataclass(slots=True)
class _Withdrawn:
    """A claim that waited too long for its instance; `put_away` once its offerings are."""

    claim: NodeClaim
    why: str
    since: int
    put_away: bool = False


@dataclass(slots=True, eq=False)
class Keeper:
    """`failed` hears of a defect of ours; the next look goes on."""

    cache: Cache
    writer: PoolWrites
    clock: Clock
    menus: MenuKeeper
    under_way: UnderWay
    refused: RefusedOfferings
    steps: ClockSteps
    buyer: Buyer
    retirer: Retirer
    teller: Teller
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]
    measured: PoolMetrics
    groups: Groups
    _looked_at: int = field(default=0)
    _withdrawn: dict[str, _Withdrawn] = field(default_factory=dict)  # by the uid of the claim
    _unjoined: frozenset[str] = frozenset()  # instances that became no node, and are still there

    async def run(self) -> NoReturn:
        """Look once a second, until cancelled; also without any Pool, for it may just have gone."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            if self.leads():
                try:
                    self.look(self.clock.now())
                except Exception as error:  # noqa: BLE001  the cluster is served without Pools too
                    self.failed(error)

    def look(self, now: int) -> None:
        """One look at everything, at `now` (epoch seconds)."""
        self.hear_of_clocks()
        self.groups.look()
        menus = self.menus.current(now)
        self.refused.hear(now)
        self._hear_of_refusals(menus, now)
        self._withdraw_stuck(menus, now)
        self._end_unjoined(menus, now)
        self.under_way.tidy(now)
        self.measured.watch(self.cache.pools.claims.values(), now)
        self.retirer.look(menus, now)
        unmet = self.buyer.unmet
        if not unmet:
            self.buyer.held_back.clear()
        self.teller.look(menus, now)
        # The wall clock may have been set back.
        if unmet and not 0 <= now - self._looked_at < _AGAIN_SECONDS:
            self._looked_at = now
            self.buyer.ring()

    def hear_of_clocks(self) -> None:
        """What is remembered by the wall clock is set as the clock was.

        Which nodes are empty, and since when, is found out anew, as after a restart.
        """
        seconds = self.steps.look()
        if not seconds:
            return
        logs.say(logging.WARNING, "the clock was set", seconds=seconds)
        self.refused.clock_set(seconds)
        self.groups.clock_set(seconds)
        self.retirer.forget()
        for one in self._withdrawn.values():
            one.since += seconds

    def _hear_of_refusals(self, menus: Menus, now: int) -> None:
        """Claims that were deleted before they had an instance: the cloud had none."""
        gone, self.cache.pools.gone = self.cache.pools.gone, []
        for claim in gone:
            self.measured.refused(claim.pool)
            why = claim.problem if claim.group else "no capacity, or the NodeClass is not ready"
            self._put_away(claim, menus, now, why)

    def _withdraw_stuck(self, menus: Menus, now: int) -> None:
        """Claims that wait for an instance for too long stop all buying of Karpenter."""
        known = self.cache.pools
        by_pool: dict[str, list[NodeClaim]] = {}  # of Pools that are gone too
        for claim in known.claims.values():
            by_pool.setdefault(claim.pool, []).append(claim)
        for name, claims in by_pool.items():
            pool = known.pools.get(name)
            spec = pool.spec if pool is not None else None
            seconds = spec.buying.launch_seconds if spec is not None else _LAUNCH_SECONDS
            for wanted in stuck(claims, seconds, now, self.steps.shifts):
                claim = known.claims[wanted.claim]
                self._withdrawn.setdefault(claim.uid, _Withdrawn(claim, wanted.why, now))
                self.writer.retire(wanted)
        self._put_away_withdrawn(menus, now)

    def _end_unjoined(self, menus: Menus, now: int) -> None:
        """Instances of groups that become no node: something is wrong with all like them."""
        claims = self.cache.pools.claims
        late = unjoined(claims.values(), now)
        known = self._unjoined & {claim.uid for claim in claims.values()}
        self._unjoined = known.union(wanted.uid for wanted in late)
        for wanted in late:
            claim = claims[wanted.claim]
            if wanted.uid not in known:  # its end may be refused for long
                self.measured.withdrawn(claim.pool)
                self._put_away(claim, menus, now, wanted.why)
            self.groups.retire(wanted)

    def _put_away_withdrawn(self, menus: Menus, now: int) -> None:
        """Put the offerings of withdrawn claims away, but not of a claim that was launched.

        The writer reads a claim anew before it deletes the claim: the watch may be seconds late.
        """
        there = {claim.uid: claim for claim in self.cache.pools.claims.values()}
        for uid, one in list(self._withdrawn.items()):
            claim = there.get(uid)
            if claim is not None and claim.provider_id:
                del self._withdrawn[uid]
            elif not one.put_away and now - one.since >= _ANSWER_SECONDS:
                one.put_away = True
                self.measured.withdrawn(one.claim.pool)
                self._put_away(one.claim, menus, now, one.why)
            elif claim is None and one.put_away:
                del self._withdrawn[uid]

    def _put_away(self, claim: NodeClaim, menus: Menus, now: int, why: str) -> None:
        logs.say(
            logging.WARNING,
            "no node",
            pool=claim.pool,
            claim=claim.name,
            types=",".join(claim.types),
            why=why,
        )
        self.refused.put_away(claim, menus.offerings(claim.pool), now)
        self.buyer.ring()
