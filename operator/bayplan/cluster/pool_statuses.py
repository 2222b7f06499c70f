"""Statuses of Pools on their way: the newest wanted status of each, at a bounded pace.

A status is written against the version that it was computed from.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api.pool_resource import PoolResource
from bayplan.cluster import errors, requests
from bayplan.cluster.pools import POOL
from bayplan.cluster.refusals import Write
from bayplan.cluster.sender import Job
from bayplan.cluster.writes import Writes


@dataclass(slots=True, eq=False)
class _Status:
    """One Pool's status on its way: the newest wanted status, and the last write's time."""

    wanted: tuple[PoolResource, Mapping[str, Any]] | None = None
    dropped: Mapping[str, Any] = field(default_factory=dict)  # left out by the server last time
    planned: bool = False
    sent_at: float = float("-inf")


class PoolStatuses:
    """`interval_seconds` lie between two writes of one Pool's status."""

    def __init__(self, writes: Writes, interval_seconds: float) -> None:
        self._writes = writes
        self._pools = writes.cache.pools
        self._interval = interval_seconds
        self._statuses: dict[str, _Status] = {}

    def write(self, pool: PoolResource, status: Mapping[str, Any]) -> None:
        """Make this the stored status, unless it is so, or the server has left the rest out."""
        slot = self._statuses.get(pool.name)
        patch = requests.merge_patch(pool.status, status)
        if not patch or (slot is not None and patch == slot.dropped):
            if slot is not None:
                slot.wanted = None
            return
        if slot is None:
            there = self._pools.pools
            for name in [name for name in self._statuses if name not in there]:
                del self._statuses[name]
            slot = self._statuses[pool.name] = _Status()
        slot.wanted = pool, status
        self._plan(slot)

    def _plan(self, slot: _Status) -> None:
        if slot.planned or slot.wanted is None:
            return
        slot.planned = True
        loop = asyncio.get_running_loop()
        loop.call_at(max(slot.sent_at + self._interval, loop.time()), self._submit, slot)

    def _submit(self, slot: _Status) -> None:
        slot.planned = False
        if slot.wanted is None:
            return
        name = slot.wanted[0].name
        write = Write((POOL, "", name), "status", POOL, name)
        if not self._writes.cache.refusals.admits(write):
            slot.wanted = None
            return
        slot.planned = True

        async def attempt() -> None:
            if slot.wanted is not None:
                await self._written(slot, *slot.wanted)
            slot.planned = False
            self._plan(slot)

        def failed(error: errors.ClusterError) -> None:
            slot.planned, slot.wanted = False, None
            self._writes.failed(write, error)
            if isinstance(error, errors.Conflict):
                self._pools.changed()

        job = Job((POOL, "", name), ("status", POOL, name), attempt, failed, urgent=True)
        if not self._writes.submit(write, job):
            slot.planned = False

    async def _written(self, slot: _Status, pool: PoolResource, status: Mapping[str, Any]) -> None:
        current = self._pools.pools.get(pool.name)
        if current is None or current.resource_version != pool.resource_version:
            # The Pool has changed since: the server would answer 409. Look again instead.
            slot.wanted = None
            self._pools.changed()
            return
        slot.sent_at = asyncio.get_running_loop().time()
        request = requests.write_status(
            (POOL, "", pool.name), pool.resource_version, pool.status, status
        )
        answer = await self._writes.send(request)
        self._writes.feed(POOL, answer)
        stored = self._pools.pools.get(pool.name)
        slot.dropped = requests.merge_patch(stored.status, status) if stored else {}
        newer = slot.wanted is not None and slot.wanted[1] is not status
        slot.wanted = None
        if newer:  # it was computed from the former version
            self._pools.changed()
