"""The operator whole, as `tests.histories.replica` has it, serving Pools.

Besides transport, kopf, lease and clock, two more parts stand in: the solver process and the page
of Karpenter's metrics.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from bayplan import settings
from bayplan.api import names
from bayplan.cloud.prices import Market
from bayplan.runtime import pool_watch
from tests.histories import replica
from tests.histories.pools.solver import TickingSolver

SETTINGS = settings.Settings(relist_seconds=60, pools=True)


def errors_counted() -> float:
    """How many defects of Bayplan all replicas have met and set aside."""
    return float(replica.METRICS.reconcile_errors._value.get())  # noqa: SLF001


class World(replica.World, Protocol):
    def market(self) -> Market: ...
    def solver_fails(self) -> bool: ...


class PoolReplica(replica.Replica):
    """One process of an operator that serves Pools."""

    world: World

    def __init__(
        self, line: replica.Line, bend: Callable[[replica.Replica], None] = lambda _: None
    ) -> None:
        super().__init__(line, bend, SETTINGS)
        self._solver = TickingSolver(self.world.solver_fails)  # type: ignore[assignment]
        self._consolidator = TickingSolver(self.world.solver_fails)  # type: ignore[assignment]

    def _pool_watch(self) -> pool_watch.PoolWatch:
        return pool_watch.PoolWatch(
            self.transport,
            self.cache,
            self._informer,
            self.clock.exact,
            metrics_url="http://karpenter/metrics",
            market_at=self._market_at,
        )

    async def _market_at(self, _: str) -> Market:
        return self.world.market()

    async def _deliver(self) -> None:
        kinds = (names.BATCHJOB, names.LONGSERVICE)
        await asyncio.gather(*(self._deliver_kind(kind) for kind in kinds))
