"""Lists both custom kinds, which repairs what kopf's watches have missed.

Both kinds are listed at the start, every few minutes, and soon after a caller asks. A list that
fails is repeated until it succeeds: nothing can be decided without it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from bayplan import logs
from bayplan.cluster import errors, informer
from bayplan.cluster.cache import Cache
from bayplan.cluster.transport import Transport

# Our listing follows kopf's new listing after this pause, so that both see the same.
PAUSE_SECONDS = 1.0


class Relister:
    """Keeps the custom resources of `cache` equal to the API server's lists.

    `namespace` is the served namespace, empty for all. `pools` says whether Pools are served too.
    Belongs to one event loop.
    """

    def __init__(
        self,
        transport: Transport,
        cache: Cache,
        namespace: str,
        interval_seconds: float,
        *,
        pools: bool = False,
    ) -> None:
        self._transport = transport
        self._cache = cache
        self._namespace = namespace
        self._interval = interval_seconds
        self._pools = pools
        self._asked = asyncio.Event()

    async def run(self) -> None:
        """List at the start, at each interval, and a moment after each `ask`; for ever."""
        while True:
            await self._until_listed(informer.relist_resources)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._asked.wait()
                await asyncio.sleep(PAUSE_SECONDS)
            self._asked.clear()

    def ask(self) -> None:
        """Have both kinds listed again in a moment."""
        self._asked.set()

    async def look_anew(self) -> None:
        """List both custom kinds and their pods once; returns when that has succeeded.

        Where Pools are served, list them and the NodeClaims as well.
        """
        await self._until_listed(informer.look_anew)
        if self._pools:
            await self._until_listed(informer.look_anew_at_pools)

    async def _until_listed(
        self, list_all: Callable[[Transport, Cache, str], Awaitable[None]]
    ) -> None:
        while True:
            try:
                await list_all(self._transport, self._cache, self._namespace)
            except errors.ClusterError as error:
                logs.say(logging.WARNING, "list failed", error=str(error))
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return
