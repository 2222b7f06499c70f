"""Orders nodes for pods that find no room, through the Pools that may hold them.

Pods seldom come alone, and a plan for many is cheaper than many plans: the buyer waits until no
more have come for a second, at most ten seconds, as Karpenter does. Then it asks the solver process
what to buy for all that nodes under way do not hold, and orders what is still needed when the
answer comes. The cycle never waits for it.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from bayplan import logs
from bayplan.cluster.cache import Cache
from bayplan.model.workloads import NO_BACKLOG, Backlog, Plan, PodClass, Waiting
from bayplan.optimizer.problem import Problem
from bayplan.optimizer.purchase import Purchase
from bayplan.provisioning.demand import Shop
from bayplan.provisioning.offerings import Offer
from bayplan.provisioning.orders import Order, Site, orders, question
from bayplan.reconcile.pool import limits
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.pools import loads
from bayplan.scheduler.pools.batch_window import BatchWindow
from bayplan.scheduler.pools.headroom import headroom
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.orderer import Orderer
from bayplan.scheduler.pools.under_way import UnderWay

_LEAST_SECONDS, _MOST_SECONDS, _TASKS_A_SECOND = 0.5, 2.5, 400  # of the solver

Ask = Callable[[Problem, float], Awaitable[Purchase | None]]


@dataclass(slots=True, eq=False)
class Buyer:
    """`waiting` gives what waits for a node now, by class. `ask` asks the solver process.

    `moving` has the room that is held for pods that move, and the nodes that close.
    """

    cache: Cache
    clock: Clock
    menus: MenuKeeper
    under_way: UnderWay
    orderer: Orderer
    ask: Ask
    waiting: Callable[[int], Sequence[Waiting]]
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]
    moving: Callable[[], Backlog] = lambda: NO_BACKLOG
    held_back: dict[str, limits.Limit] = field(default_factory=dict)  # Pool -> what stopped orders
    _wanted: dict[PodClass, int] = field(default_factory=dict)  # of the last cycle
    _window: BatchWindow = field(init=False)

    def __post_init__(self) -> None:
        self._window = BatchWindow(self.clock)

    @property
    def refused_writes(self) -> Mapping[str, str]:
        """What the server said to the last order of each Pool whose last order it refused."""
        return self.orderer.refused_writes

    @property
    def unmet(self) -> bool:
        """Whether anything may wait for a node that a Pool can buy; headroom always may."""
        menus = self.menus.current(self.clock.now())
        waits = any(menus.pools_for(kind) for kind in self._wanted)
        return waits or bool(headroom(menus))

    def waiting_for(self, pool: str) -> int:
        """How many pods wait for a node that this Pool may buy."""
        menus = self.menus.current(self.clock.now())
        return sum(count for kind, count in self._wanted.items() if pool in menus.pools_for(kind))

    def look(self, plan: Plan | None) -> None:
        """A cycle has ended with this plan; None if nothing waits."""
        counts: dict[PodClass, int] = {}
        for one in plan.refused if plan is not None else ():
            # A service with one instance on each node has no pod for a node without room.
            there = any(key in self.cache.state.pods for key in one.keys)
            if there and not (one.funnel.defect or one.funnel.making):
                kind = one.waiting.kind
                counts[kind] = counts.get(kind, 0) + len(one.keys)
        before, self._wanted = self._wanted, counts
        menus = self.menus.current(self.clock.now())
        grown = [kind for kind, count in counts.items() if count > before.get(kind, 0)]
        if any(menus.pools_for(kind) for kind in grown):
            self.ring()

    def ring(self) -> None:
        """Something may have to be bought."""
        self._window.ring()

    async def run(self) -> NoReturn:
        """Buy for what waits, batch by batch, until cancelled."""
        while True:
            await self._window.opened()
            if self.leads():
                await self._window.settled()
            self._window.close()
            if self.leads():
                try:
                    await self._buy()
                except Exception as error:  # noqa: BLE001  the next batch is another question
                    self.failed(error)

    async def _buy(self) -> None:
        now = self.clock.now()
        menus = self.menus.current(now)
        site = self._site(menus, now)
        if not (menus.menu.offers and site.waiting):
            return
        shop, hindering = self._within_limits(menus)
        left, absorbed = site.placed()
        asked = question(site, left, shop, fresh=not site.snapshot.busy.any())
        if asked is None:
            self.under_way.absorb(absorbed)
            waits = hindering and any(menus.shop.holds(group.kind) for group in left)
            self.held_back = hindering if waits else {}
            return
        tasks = int(asked.problem.demand.sum())
        seconds = min(_LEAST_SECONDS + tasks / _TASKS_A_SECOND, _MOST_SECONDS)
        answer = await self.ask(asked.problem, seconds)
        if answer is None:
            logs.say(logging.WARNING, "the solver gave no answer", tasks=tasks)
            return
        now = self.clock.now()
        current = self.menus.current(now)
        if not self.leads() or current.buying != menus.buying:
            self.ring()  # the Pools have changed meanwhile: begin again
            return
        made = orders(asked, answer, self._site(current, now), shop, menus.terms)
        self.under_way.absorb(made.absorbed)
        self._order(made.orders, current)

    def _site(self, menus: Menus, now: int) -> Site:
        able = [group for group in self.waiting(now) if menus.pools_for(group.kind)]
        return Site(
            snapshot=self.cache.snapshot(),
            waiting=[*able, *headroom(menus)],
            now=now,
            coming=self.under_way.coming(menus.everything),
            planned=self.under_way.planned(coming=True) | self.moving(),
        )

    def _within_limits(self, menus: Menus) -> tuple[Shop, dict[str, limits.Limit]]:
        """What can be had of which each Pool may have one more, and what stops it from the rest."""
        offers: list[Offer] = []
        hindering: dict[str, limits.Limit] = {}
        rooms = {pool: self.orderer.room(pool, menus) for pool in menus.buying}
        for offer in menus.menu.offers:
            room, load = rooms[offer.pool], loads.of_offer(offer, menus)
            if room.takes(load):
                offers.append(offer)
            else:
                hindering.setdefault(offer.pool, room.hindering(load)[0])
        if not hindering:
            return menus.shop, {}
        daemonsets, claims = tuple(self.cache.state.daemonsets.values()), self.cache.state.claims
        return Shop(tuple(offers), menus.menu.zones, daemonsets, claims), hindering

    def _order(self, made: Sequence[Order], menus: Menus) -> None:
        """Order these nodes, as far as the limits of their Pools allow.

        What was refused while the solver was at work is not asked for: it is planned again.
        """
        self.held_back.clear()
        closed = self.menus.closed(self.clock.now())
        open_ = [one for one in made if one.offerings.isdisjoint(closed.get(one.pool, ()))]
        if len(open_) < len(made):
            self.ring()
        self.held_back.update(self.orderer.order(open_, menus).held_back)
