"""Statuses on their way: the newest wanted status of each resource, at a bounded pace.

A status is written against the version that it was computed from. When it is stored, the things
that it accounts for (Events, notices) are sent, and work that waits for the record may go on.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource
from bayplan.cluster import errors, requests
from bayplan.cluster.refusals import Write
from bayplan.cluster.sender import Job
from bayplan.cluster.writes import Writes
from bayplan.model import intents

_FEW = 64  # below this, it is not worth looking for resources that have gone


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A status, the resource it was computed from, and the Events that it accounts for."""

    resource: Resource
    status: Mapping[str, Any]
    events: tuple[intents.EmitEvent | intents.Notice, ...] = ()


@dataclass(slots=True, eq=False)
class _Status:
    """One resource's status on its way: the newest wanted status, and the last write's time."""

    wanted: _Wanted | None = None
    unsure: _Wanted | None = None  # sent, and the answer was lost
    dropped: Mapping[str, Any] = field(default_factory=dict)  # left out by the server last time
    planned: bool = False
    sent_at: float = float("-inf")


class Statuses:
    """`interval_seconds` lie between two writes of one resource's status."""

    def __init__(self, writes: Writes, interval_seconds: float) -> None:
        self._writes = writes
        self._cache = writes.cache
        self._interval = interval_seconds
        self._statuses: dict[ResourceKey, _Status] = {}

    @property
    def kept(self) -> int:
        """The number of resources of which something is remembered."""
        return len(self._statuses)

    def write(
        self,
        resource: Resource,
        status: Mapping[str, Any],
        events: tuple[intents.EmitEvent | intents.Notice, ...] = (),
    ) -> None:
        """Make this the stored status: the first at once, then one an interval, the newest wins.

        A field that the server leaves out, because its schema is older than ours, is not written
        again.
        """
        slot = self._statuses.get(resource.key)
        patch = requests.merge_patch(resource.status, status)
        if slot is not None and patch and patch == slot.dropped:
            slot.wanted = None
            return
        if not patch:
            if slot is not None:
                slot.wanted = None  # the stored status is the wanted status by now
            self._writes.emit(resource, events)
            return
        if slot is None:
            self._forget_gone()
            slot = self._statuses[resource.key] = _Status()
        slot.wanted = _Wanted(resource, status, events)
        self._plan(slot)

    def settle(self, resource: Resource) -> None:
        """If a write whose answer was lost is seen to be stored, send what it accounts for."""
        slot = self._statuses.get(resource.key)
        sent = slot.unsure if slot is not None else None
        if (
            slot is None
            or sent is None
            or resource.resource_version == sent.resource.resource_version
        ):
            return
        slot.unsure = None
        same = resource.uid == sent.resource.uid
        if same and not requests.merge_patch(resource.status, sent.status):
            self._writes.emit(resource, sent.events)

    def _plan(self, slot: _Status) -> None:
        if slot.planned or slot.wanted is None:
            return
        slot.planned = True
        loop = asyncio.get_running_loop()
        due = slot.sent_at + self._interval
        if due <= loop.time():
            self._submit(slot)
        else:
            loop.call_at(due, self._submit, slot)

    def _submit(self, slot: _Status) -> None:
        if slot.wanted is None:
            slot.planned = False
            return
        key = slot.wanted.resource.key
        write = Write(key, "status", key[0], key[2])
        # If the server refuses a status (its schema is older than ours, a right is missing),
        # nothing else can report it: the status is computed anew when it may be tried again.
        if not self._cache.refusals.admits(write):
            slot.wanted, slot.planned = None, False
            return

        async def attempt() -> None:
            if slot.wanted is not None:
                await self._written(slot, slot.wanted)
            slot.planned = False
            self._plan(slot)

        def failed(error: errors.ClusterError) -> None:
            slot.planned = False
            if slot.wanted is not None:
                resource = slot.wanted.resource
                slot.wanted = None
                if isinstance(error, errors.NotFound):
                    self._cache.doubt_resource(resource.key, resource.uid)
                    self._writes.reports.missing(resource.key)
                else:
                    self._writes.failed(write, error)

        job = Job(key, ("status", key), attempt, failed, urgent=True)
        if not self._writes.submit(write, job):
            slot.planned = False

    async def _written(self, slot: _Status, sent: _Wanted) -> None:
        resource = sent.resource
        current = self._cache.resources.get(resource.key)
        if current is None or current.resource_version != resource.resource_version:
            # The resource has changed since: the server would answer 409. Look again instead.
            slot.wanted = None
            self._cache.doorbell.mark(resource.key)
            return
        slot.sent_at = asyncio.get_running_loop().time()
        try:
            answer = await self._writes.send(
                requests.write_status(
                    resource.key, resource.resource_version, resource.status, sent.status
                )
            )
        except errors.Unavailable:
            slot.unsure = sent
            raise
        slot.unsure = None
        self._writes.feed(resource.kind, answer)
        stored = self._cache.resources.get(resource.key)
        slot.dropped = requests.merge_patch(stored.status, sent.status) if stored else {}
        self._writes.emit(resource, sent.events)
        # Work that waits for the record (finalizers, deletions) may go on now. A status wanted
        # since then was computed without this write and might contradict it: it is computed anew.
        slot.wanted = None
        self._cache.doorbell.mark(resource.key)

    def _forget_gone(self) -> None:
        """Keep at most twice as many entries as there are resources."""
        there = self._cache.resources
        if len(self._statuses) > 2 * len(there) + _FEW:
            self._statuses = {
                key: slot for key, slot in self._statuses.items() if key in there or slot.planned
            }
