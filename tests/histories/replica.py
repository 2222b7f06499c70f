"""The operator itself, in virtual time: everything of `app.Operator` but threads, sockets and kopf.

What is real: informers, cache, inbox, loop, admissions, writer, sender, events, and how they are
wired. What stands in: the transport (`Line`, the seam where faults are scripted), kopf (`_deliver`
watches as it does), the lease (`Hold`: granted by the world, as the Lease object would) and the
clock.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from bayplan import metrics, settings
from bayplan.api import names
from bayplan.cluster import decode, errors, lists, requests, wire
from bayplan.cluster.transport import Request
from bayplan.runtime import app
from bayplan.scheduler.deciders import Decide
from tests.histories.store import Refused, Store

BOOKMARK_SECONDS = 60
LONGEST_WAY_SECONDS = 0.4  # to the server; what is on its way when its sender dies still arrives

SETTINGS = settings.Settings(relist_seconds=60)  # else a history would have to last ten minutes
# Metrics are counted for nobody here, and making them anew takes longer than starting a replica.
METRICS = metrics.Metrics()


class World(Protocol):
    """What a replica needs of the world around it."""

    store: Store

    def wall(self, line: "Line") -> float: ...
    def holds(self, line: "Line") -> bool: ...
    def ask_for_lease(self, replica: "Replica") -> None: ...
    def wrote(self, line: "Line", request: Request) -> None: ...
    def died(self, line: "Line") -> None: ...


@dataclass(slots=True, eq=False)
class Line:
    """One process' way to the API server, and what is wrong with it now. The loop's times.

    `lose_before` and `lose_after` are the chances that a request or its answer is lost; until
    `cut_until` nothing passes, until `held_until` news waits; `lost_news` and `doubled_news` are
    chances of kopf's and of all events. `dies_in` counts writes: at 0 the process dies, with
    `dies_before` before that write is sent, else before its answer comes back.
    """

    world: World
    chance: random.Random
    identity: str
    skew: float = 0.0
    lose_before: float = 0.0
    lose_after: float = 0.0
    cut_until: float = 0.0
    held_until: float = 0.0
    lost_news: float = 0.0
    doubled_news: float = 0.0
    slow: float = 0.02
    dies_in: int | None = None
    dies_before: bool = False
    dead: bool = False

    @property
    def skew_seconds(self) -> float:
        return self.skew

    async def close(self) -> None:
        pass

    def heal(self) -> None:
        self.lose_before = self.lose_after = self.lost_news = self.doubled_news = 0.0
        self.cut_until = self.held_until = 0.0
        self.dies_in = None

    async def send(self, request: Request) -> bytes:
        """A request goes its way whatever becomes of its sender."""
        running = asyncio.get_running_loop()
        dying = False
        writes = request.method != "GET" and request.kind != "Event" and request.verb != "dry-run"
        if writes and self.dies_in is not None and not self.dead:
            dying = self.dead = self.dies_in == 0
            self.dies_in -= 1
            if dying and self.dies_before:
                self.world.died(self)
        if self.dead and (self.dies_before or not dying):
            await running.create_future()
        answered: asyncio.Future[bytes] = running.create_future()
        delay = min(self.chance.expovariate(1 / self.slow), LONGEST_WAY_SECONDS)
        running.call_later(delay, self._arrive, request, answered)
        return await answered

    def _arrive(self, request: Request, answered: "asyncio.Future[bytes]") -> None:
        running = asyncio.get_running_loop()
        lost = running.time() < self.cut_until or self.chance.random() < self.lose_before
        error: errors.ClusterError | None = None
        body = b""
        if lost:
            error = errors.Unavailable("no answer")
        else:
            try:
                body = self.world.store.answer(request)
                self.world.wrote(self, request)
            except errors.ClusterError as refused:
                error = refused
            if self.chance.random() < self.lose_after:
                error = errors.Unavailable("no answer")
        if self.dead:
            if not self.dies_before:
                self.world.died(self)
            return  # nobody is there to hear it
        if answered.done():
            return
        if error is None:
            answered.set_result(body)
        else:
            answered.set_exception(error)

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        """A watch: in order, late or twice; it breaks when the line is cut."""
        running = asyncio.get_running_loop()
        store, kind = self.world.store, request.kind
        version = int(dict(request.query)["resourceVersion"])
        while True:
            await self._passable()
            try:
                events = list(store.since(kind, version))
            except Refused as refused:
                raise errors.of(refused.status, refused.body) from None
            for number, raw in events:
                version = number
                yield raw
                if self.doubled_news and self.chance.random() < self.doubled_news:
                    yield self.chance.choice(events)[1]
            if events:
                continue
            began = running.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BOOKMARK_SECONDS):
                    await store.change(kind)
            if began < self.cut_until:
                raise errors.Unavailable("connection reset")
            if running.time() - began >= BOOKMARK_SECONDS:
                yield b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d"}}}\n' % (
                    version
                )

    async def _passable(self) -> None:
        running = asyncio.get_running_loop()
        if running.time() < self.cut_until:
            raise errors.Unavailable("connection refused")
        if running.time() < self.held_until:
            await asyncio.sleep(self.held_until - running.time())


@dataclass(slots=True, eq=False)
class Hold:
    """The lease as the operator sees it."""

    replica: "Replica"

    def start(self) -> None:
        self.replica.world.ask_for_lease(self.replica)

    def holding(self) -> bool:
        return self.replica.world.holds(self.replica.line)

    def pressed(self) -> bool:
        return False

    def beat(self) -> None:
        pass


@dataclass(slots=True)
class Clock:
    """The wall clock of one machine, and the loop's own time."""

    line: Line

    def now(self) -> int:
        return int(self.exact())

    def exact(self) -> float:
        return self.line.world.wall(self.line)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Replica(app.Operator):
    """One process. `bend` may replace parts of it once it is built: so bugs are planted."""

    def __init__(
        self,
        line: Line,
        bend: Callable[["Replica"], None] = lambda _: None,
        configured: settings.Settings = SETTINGS,
    ) -> None:
        super().__init__(configured)
        self.world, self.line, self._bend = line.world, line, bend
        self.metrics = METRICS
        self.clock = Clock(line)  # type: ignore[assignment]
        self._identity = line.identity

    async def live(self) -> None:
        """Until cancelled; raises `Ended` when something essential ended by itself."""
        async with self:
            self._bend(self)
            self.supervisor.start("kopf", self._deliver())
            try:
                self._start_tasks()
                await self.supervisor.wait(asyncio.Event())
            finally:
                self.line.dead = True
                self.supervisor.cancel_soon()

    def gain(self) -> None:
        """The lease is ours."""
        self._gained()

    async def _connect(self, _: int) -> Any:
        return self.line

    def _lease(self) -> Any:
        return Hold(self)

    def _start_monitors(self) -> None:
        self.supervisor.start("synced", self._watch_sync(), ends=True)

    async def _watch_sync(self) -> None:
        while not self.cache.synced:  # noqa: ASYNC110  as the operator does
            await asyncio.sleep(0.05)
        self._loop_monitor.synced.set()

    async def _lead_when_synced(self) -> None:
        await self._loop_monitor.synced.wait()
        self.lease.start()
        await self.loop.run()

    async def _deliver(self) -> None:
        await self._deliver_kind(names.BATCHJOB)

    async def _deliver_kind(self, kind: str) -> None:
        """As kopf: list, then watch; after a break list again. An event may get lost on the way."""
        known = False
        while True:
            try:
                listed = lists.chunk(
                    decode.KINDS[kind], await self.line.send(requests.list_chunk(kind, limit=500))
                )
                for seen in listed.seen:
                    self.cache.put_resource(seen.value)
                if known:
                    self._relister.ask()
                known = True
                watch = requests.watch(kind, listed.version, seconds=290)
                async for raw in self.line.stream(watch):
                    event = lists.event(raw)
                    if event.type == "BOOKMARK" or self.line.chance.random() < self.line.lost_news:
                        continue
                    self._take(kind, event.type, decode.KINDS[kind].decode(event.object))
            except errors.ClusterError:
                await asyncio.sleep(1.0)

    def _take(self, kind: str, word: str, seen: wire.Seen) -> None:
        if word == "DELETED":
            self.cache.drop_resource((kind, *seen.key), seen.uid)
        else:
            self.cache.put_resource(seen.value)


def bent(decide: Callable[[Decide], Decide]) -> Callable[[Replica], None]:
    """A replica whose BatchJobs are decided by another function, made of the real one."""

    def bend(replica: Replica) -> None:
        deciders: Mapping[str, Decide] = replica.loop.reconciler.deciders
        replica.loop.reconciler.deciders = {
            **deciders,
            names.BATCHJOB: decide(deciders[names.BATCHJOB]),
        }

    return bend
