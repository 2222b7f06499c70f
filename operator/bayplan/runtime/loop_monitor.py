"""Measures how late the main loop runs and when the cache is synced; updates the gauges."""

import asyncio
from collections.abc import Callable

from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics

LAG_SECONDS = 0.1
GAUGES_SECONDS = 5.0  # for 5,000 nodes the gauges take tens of milliseconds


class LoopMonitor:
    """`synced` is set once every kind has been listed; `measure` refreshes the gauges."""

    def __init__(self, cache: Cache, metrics: Metrics, measure: Callable[[], None]) -> None:
        self._cache = cache
        self._metrics = metrics
        self._measure = measure
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Look ten times a second, for ever.

        Looks are due at fixed moments: one stall makes all looks late that fall into it.
        """
        loop = asyncio.get_running_loop()
        due = measured_at = loop.time()
        while True:
            due += LAG_SECONDS
            await asyncio.sleep(due - loop.time())
            now = loop.time()
            self._metrics.loop_lag.observe(max(now - due, 0.0))
            if not self._cache.synced:
                continue
            self.synced.set()
            if now - measured_at >= GAUGES_SECONDS:
                measured_at = now
                self._measure()
