"""Writes by which a node empties: its annotation, evictions, and the deletion costs of pods.

Each method returns at once. A refused write is tried again when `cache.refusals` says so. An
eviction is decided anew each time: the Eviction API is asked once, and not a second time by itself.
"""

import asyncio
from collections import deque
from collections.abc import Callable

import msgspec

from bayplan.api import names
from bayplan.cluster import errors, pods, requests
from bayplan.cluster.pools import POOL
from bayplan.cluster.refusals import Write
from bayplan.cluster.sender import Job
from bayplan.cluster.writes import Writes
from bayplan.model import intents
from bayplan.model.pods import Pod

PRICES_PER_SECOND = 10  # deletion costs, in the whole cluster
LATE_SECONDS = 10  # an eviction that has waited longer in the queue is not sent

_Key = tuple[str, str]  # namespace, name


class MoveWrites:
    """`now` returns epoch seconds."""

    def __init__(self, writes: Writes, now: Callable[[], float]) -> None:
        self._writes = writes
        self._cache = writes.cache
        self._now = now
        self._prices: dict[_Key, intents.PriceDeletion] = {}  # the newest of each pod
        self._line: deque[_Key] = deque()
        self._next_at = 0.0
        self._pumps = False

    def close(self, wanted: intents.CloseNode) -> None:
        """Say on a node that it is to be given back, or that it no longer is; the newest wins."""
        key = ("Node", "", wanted.node)
        known = self._cache.state.nodes.get(wanted.node)
        pool = known.labels.get(names.POOL, "") if known is not None else ""
        about = (POOL, "", pool) if pool in self._cache.pools.pools else key
        write = Write(about, "close", "Node", wanted.node)
        if not self._cache.refusals.admits(write):
            return

        async def attempt() -> None:
            try:
                self._writes.feed("Node", await self._writes.send(requests.close_node(wanted)))
            except errors.NotFound:
                self._cache.drop("Node", key[1:], wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self._writes.failed(write, error)

        subject = ("close", wanted.node, wanted.uid)
        job = Job(key, (*subject, wanted.plan), attempt, failed, urgent=True, subject=subject)
        self._writes.submit(write, job)

    def evict(self, wanted: intents.EvictPod) -> None:
        """Ask the Eviction API for a pod, once; from now on the pod counts as terminating.

        If the API refuses, or gives no answer, the pod counts as before. It is not deleted in any
        other way: a budget that cannot be read, or a second budget, is a refusal like others.
        """
        key = wanted.namespace, wanted.name
        write = Write(("Pod", *key), "evict", "Pod", wanted.name)
        if not self._cache.refusals.admits(write):
            return
        decided_at = self._now()
        self._cache.assumptions.assume_leaving(key, wanted.uid, int(decided_at))

        async def attempt() -> None:
            if self._now() > decided_at + LATE_SECONDS:
                raise errors.Conflict("decided too long ago")
            try:
                await self._writes.send(requests.evict(*key, wanted.uid))
            except (errors.NotFound, errors.Conflict) as error:
                if error.reason == errors.SPENT or await self._is_there(key, wanted.uid):
                    raise errors.Conflict(
                        error.message, status=error.status, reason=error.reason
                    ) from error
                self._cache.drop("Pod", key, wanted.uid)
            except errors.Unavailable as error:
                # The pod may be going, or not: the next sight tells, and then it is decided anew.
                raise errors.Conflict(error.message, status=error.status) from error

        def failed(error: errors.ClusterError) -> None:
            self._cache.assumptions.forget_leaving(key, wanted.uid)
            if error.reason == errors.SPENT:
                self._cache.refusals.spent(write)
            else:
                self._writes.failed(write, error)

        identity = ("evict", key, wanted.uid)
        self._writes.submit(write, Job(("Pod", *key), identity, attempt, failed, urgent=True))

    def price(self, wanted: intents.PriceDeletion) -> None:
        """Write a pod's deletion cost when its turn comes; the newest of each pod wins."""
        key = wanted.namespace, wanted.name
        if key not in self._prices:
            self._line.append(key)
        self._prices[key] = wanted
        self._pump()

    def _pump(self) -> None:
        """Write some deletion costs, no faster than the pace."""
        if self._pumps:
            return
        loop = asyncio.get_running_loop()
        while self._line and self._next_at <= loop.time():
            self._next_at = loop.time() + 1 / PRICES_PER_SECOND
            self._submit_price(self._prices.pop(self._line.popleft()))
        if self._line:
            self._pumps = True
            loop.call_at(self._next_at, self._pump_again)

    def _pump_again(self) -> None:
        self._pumps = False
        self._pump()

    def _submit_price(self, wanted: intents.PriceDeletion) -> None:
        key = wanted.namespace, wanted.name
        write = Write(("Pod", *key), "price", "Pod", wanted.name)
        if not self._cache.refusals.admits(write):
            return

        async def attempt() -> None:
            pod = self._cache.state.pods.get(key)
            if pod is None or pod.uid != wanted.uid or not _is_ours(pod):
                return
            try:
                self._writes.feed("Pod", await self._writes.send(requests.price_deletion(wanted)))
            except errors.NotFound:
                self._cache.drop("Pod", key, wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self._writes.failed(write, error)

        identity = ("price", key, wanted.uid, wanted.cost)
        job = Job(("Price", *key), identity, attempt, failed, last=True)
        self._writes.submit(write, job)

    async def _is_there(self, key: _Key, uid: str) -> bool:
        """Whether this very pod is still stored."""
        try:
            answer = await self._writes.send(requests.get("Pod", *key))
        except errors.NotFound:
            return False
        seen = pods.seen(msgspec.Raw(answer))
        self._cache.upsert("Pod", seen)
        return seen.uid == uid


def _is_ours(pod: Pod) -> bool:
    """Whether nobody else has given the pod a deletion cost."""
    cost = pod.annotations.get(names.DELETION_COST)
    return cost is None or cost == pod.annotations.get(names.PRICED)
