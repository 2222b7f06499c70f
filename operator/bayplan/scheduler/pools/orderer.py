"""Writes orders for nodes as claims, as far as the limits of their Pools allow."""

import functools
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bayplan import logs
from bayplan.cloud import node_claim_body
from bayplan.cluster.cache import Cache
from bayplan.cluster.pools import StoredNodePool
from bayplan.inputs import InputError
from bayplan.model import resources
from bayplan.model.intents import LaunchNode
from bayplan.model.untyped import mapping
from bayplan.provisioning.orders import Order
from bayplan.reconcile.pool import limits
from bayplan.reconcile.pool.claim_names import fresh
from bayplan.scheduler.pools import loads
from bayplan.scheduler.pools.menus import MenuKeeper, Menus
from bayplan.scheduler.pools.pool_metrics import PoolMetrics
from bayplan.scheduler.pools.under_way import UnderWay


class Launches(Protocol):
    """The part of the writer that orders nodes; `done` gets None, or why it was refused."""

    def launch(self, wanted: LaunchNode, done: Callable[[str | None], None]) -> None: ...


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
    menus: MenuKeeper
    under_way: UnderWay
    measured: PoolMetrics
    refused_writes: dict[str, str] = field(default_factory=dict)

    def room(self, pool: str, menus: Menus) -> limits.Room:
        """What a buying Pool may still have."""
        node_pool = self.menus.node_pool(pool)
        if node_pool is None:
            return limits.Room()
        bounds = mapping(mapping(node_pool.body.get("spec")).get("limits"))
        there = loads.counted(self.cache, pool, node_pool.name, menus)
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
        return self.menus.node_pool(pool) is not None

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
            if node_pool is None:
                continue
            room, wanted = self.room(pool, menus), list(of_pool)
            uid = self.cache.pools.pools[pool].uid
            names = fresh(pool, uid, self.cache.pools.claims, len(wanted))
            for order, name in zip(wanted, names, strict=True):
                load = loads.of_order(order, menus)
                if not room.takes(load):
                    held_back[pool] = room.hindering(load)[0]
                    continue
                room = room.minus(load)
                if self._launch(order, name, node_pool, moves=moves):
                    claims[name] = order
        return Ordered(claims, held_back)

    def _launch(self, order: Order, name: str, node_pool: StoredNodePool, *, moves: bool) -> bool:
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
        self.writer.launch(
            LaunchNode(order.pool, body), functools.partial(self._answered, order.pool, name)
        )
        return True

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
