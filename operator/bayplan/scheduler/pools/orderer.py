"""Writes orders for nodes as claims, or launches instances, as far as limits of Pools allow."""

import functools
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bayplan import logs
from bayplan.cloud import node_claim_body
from bayplan.cluster.cache import Cache
from bayplan.cluster.pools import StoredNodePool
from bayplan.inputs import InputError
from bayplan.model import resources
from bayplan.model.claim_names import fresh
from bayplan.model.intents import LaunchNode
from bayplan.model.untyped import mapping
from bayplan.provisioning.orders import Order
from bayplan.reconcile.pool import limits
from bayplan.scheduler.pools import loads
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.under_way import UnderWay


class Launches(Protocol):
    """The part of the writer that orders nodes; `done` gets None, or why it was refused."""

    def launch(self, wanted: LaunchNode, done: Callable[[str | None], None]) -> None: ...


class LaunchesInstances(Protocol):
    """Who orders instances of Auto Scaling groups; False: there is no group for it now."""

    def launch(self, order: Order, claim: str, done: Callable[[str | None], None]) -> bool: ...
    def names(self) -> Collection[str]: ...


@dataclass(frozen=True, slots=True)
class Ordered:
    """The orders that went out, by the names of their claims, and the limits that stopped others.

    `held_back` is by Pool.
    """

    claims: Mapping[str, Order] = field(default_factory=dict)
    held_back: Mapping[str, limits.Limit] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Orderer:
    """`refused_writes` has, by Pool, what the server said to the last order, if it refused it."""

    cache: Cache
    writer: Launches
    groups: LaunchesInstances
    menus: MenuKeeper
    under_way: UnderWay
    measured: PoolMetrics
    refused_writes: dict[str, str] = field(default_factory=dict)

    def room(self, pool: str, menus: Menus) -> limits.Room:
        """What a buying Pool may still have."""
        node_pool = self.menus.node_pool(pool)
        if node_pool is None and not self._of_groups(pool):
            return limits.Room()
        body = node_pool.body if node_pool is not None else {}
        bounds = mapping(mapping(body.get("spec")).get("limits"))
        name = node_pool.name if node_pool is not None else ""
        there = loads.counted(self.cache, pool, name, menus)
        return limits.room(menus.buying[pool].limits, bounds, there)

    def fits(self, made: Sequence[Order], menus: Menus) -> bool:
        """Whether the limits of a Pool allow all of these orders, which are of this Pool."""
        if not made:
            return True
        pool = made[0].pool
        room = self.room(pool, menus)
        for order in made:
            load = loads.of_order(order, menus)
            if not room.takes(load):
                return False
            room = room.minus(load)
        return self.menus.node_pool(pool) is not None or self._of_groups(pool)

    def _of_groups(self, pool: str) -> bool:
        """Whether a Pool buys through Auto Scaling groups."""
        stored = self.cache.pools.pools.get(pool)
        return stored is not None and bool(stored.groups_tag)

    def order(self, made: Sequence[Order], menus: Menus, *, moves: bool = False) -> Ordered:
        """Order these nodes, as far as the limits of their Pools allow.

        With `moves` they are for pods that still run elsewhere: nobody else gets their room.
        """
        claims: dict[str, Order] = {}
        held_back: dict[str, limits.Limit] = {}
        # Alike orders in a row: the provider for AWS makes one call of those.
        alike = sorted(made, key=lambda one: (one.pool, one.types, one.zones))
        for pool, of_pool in itertools.groupby(alike, key=lambda one: one.pool):
            node_pool = self.menus.node_pool(pool)
            if node_pool is None and not self._of_groups(pool):
                continue
            room, wanted = self.room(pool, menus), list(of_pool)
            uid = self.cache.pools.pools[pool].uid
            taken: Collection[str] = self.cache.pools.claims
            if node_pool is None:
                taken = {*taken, *self.groups.names()}
            names = fresh(pool, uid, taken, len(wanted))
            for order, name in zip(wanted, names, strict=True):
                load = loads.of_order(order, menus)
                if not room.takes(load):
                    held_back[pool] = room.hindering(load)[0]
                    continue
                room = room.minus(load)
                if self._launch(order, name, node_pool, moves=moves):
                    claims[name] = order
        return Ordered(claims, held_back)

    def _launch(
        self, order: Order, name: str, node_pool: StoredNodePool | None, *, moves: bool
    ) -> bool:
        hears = functools.partial(self._answered, order.pool, name)
        if node_pool is None:
            sent = self.groups.launch(order, name, hears)
            if sent:
                self._sent(order, name, moves=moves)
            return sent
        try:
            body = node_claim_body.body(
                name,
                order.pool,
                node_pool.body,
                types=order.types,
                zones=order.zones,
                capacity_type=order.capacity_type,
                extended=_extended(order),
            )
        except InputError as error:
            self.refused_writes[order.pool] = str(error)
            return False
        self._sent(order, name, moves=moves)
        self.writer.launch(LaunchNode(order.pool, body), hears)
        return True

    def _sent(self, order: Order, name: str, *, moves: bool) -> None:
        self.under_way.plan(name, order, moves=moves)
        logs.say(
            logging.INFO,
            "buy",
            pool=order.pool,
            claim=name,
            types=",".join(order.types),
            pods=sum(order.pods.values()),
            dollars_per_hour=round(order.price / 1e6, 4),
        )

    def _answered(self, pool: str, name: str, why: str | None) -> None:
        if why is not None:
            logs.say(logging.WARNING, "claim refused", claim=name, why=why)
            self.refused_writes[pool] = why
        else:
            self.refused_writes.pop(pool, None)
            self.measured.ordered(pool)


def _extended(order: Order) -> dict[str, int]:
    """What of the planned pods waits for device plug-ins: these have to be on the node first."""
    total: Counter[str] = Counter()
    for kind, count in order.pods.items():
        for name, amount in kind.request.items():
            if name not in resources.STANDARD:
                total[name] += amount * count
    return dict(total)
