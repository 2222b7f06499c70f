"""Composition root: builds everything, supervises it, ends it in order. Imported by starters only.

Threads: main (informers, cycle, writer), one for kopf, one for scrapes; the lease has a process of
its own and a thread that hears of it. Any of them ending by itself ends the process: a supervisor
starts it again, and everything that matters is in the API server.
"""

import asyncio
import contextlib
import functools
import gc
import logging
import random
import signal
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import kopf

from bayplan import logs, metrics
from bayplan.api.resource import Key, Resource
from bayplan.cloud import catalogue
from bayplan.cluster import decode, errors, informer, refusals
from bayplan.cluster.cache import Cache
from bayplan.cluster.lease import Lease
from bayplan.cluster.transport import HttpTransport, Request
from bayplan.cluster.writer import Writer
from bayplan.handlers import delivery, lifecycle, serve
from bayplan.model import intents, state
from bayplan.model.nodes import INSTANCE_TYPE
from bayplan.model.pods import Pod
from bayplan.notifications import notifier, receivers
from bayplan.provisioning.prices import price_of
from bayplan.runtime import (
    cost_monitor,
    http_endpoint,
    karpenter_watch,
    lease_process,
    solver_process,
)
from bayplan.runtime.clocks import WallClock
from bayplan.scheduler import admission
from bayplan.scheduler.inbox import Inbox
from bayplan.scheduler.loop import Loop
from bayplan.settings import Mode, Settings, is_ours, node_term

# What is decoded lives long; young garbage is rare. Measured: a list of pods costs half as much.
_GC_THRESHOLDS = (50_000, 20, 50)
# kopf's new listing is followed by ours after this pause, so that both see the same.
_HEAL_SECONDS = 1.0
_LAG_SECONDS = 0.1
_GAUGES_SECONDS = 5.0  # of 5,000 nodes they take tens of milliseconds
_CLOCK_SECONDS = 30.0


class Shell(Protocol):
    """Whatever runs kopf: a thread of ours, or `kopf run`."""

    def start(self, operator: "Operator") -> None: ...

    def stop(self) -> None: ...


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT (0), or until something essential ended (1)."""
    logs.set_up_logging(settings.log_format, settings.log_level)
    gc.set_threshold(*_GC_THRESHOLDS)
    beside = lease_process.LeaseProcess(settings)
    try:
        asyncio.run(_serve_until_signal(settings, beside))
    except Ended as ended:
        logs.say(logging.ERROR, "ended", why=str(ended))
        return 1
    finally:
        beside.close()
    return 0


class Ended(Exception):  # noqa: N818  what happened, not a fault of the caller
    """Something essential ended by itself."""


async def _serve_until_signal(settings: Settings, beside: lease_process.LeaseProcess) -> None:
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(name, stop.set)
    async with Operator(settings, beside) as operator:
        await operator.serve(stop, KopfThread(settings))


class KopfThread:
    """kopf beside us, in a thread and a loop of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._server: serve.Server | None = None

    def start(self, operator: "Operator") -> None:
        registry = kopf.OperatorRegistry()
        lifecycle.register(registry, operator.alive)
        delivery.register(registry, operator.sink)
        address, port = self._settings.listen_address, self._settings.liveness_port
        namespace = self._settings.namespace
        self._server = serve.Server(
            registry,
            namespaces=(namespace,) if namespace else (),
            liveness_endpoint=f"http://{address}:{port}/healthz" if port else None,
            on_death=lambda error: operator.fail_soon(f"kopf ended: {error!r}"),
        )
        self._server.start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(1.0)


@dataclass(slots=True, eq=False)
class _Doorbell:
    """What the cache rings: keys, free room, and namespaces whose rules changed."""

    inbox: Inbox
    operator: "Operator"

    def mark(self, key: Key) -> None:
        self.inbox.mark(key)

    def mark_placement(self) -> None:
        self.inbox.mark_placement()

    def mark_namespace(self, namespace: str) -> None:
        self.operator.namespace_changed(namespace)


@dataclass(slots=True, eq=False)
class _Sink:
    """From kopf's thread into the main loop, where the cache lives."""

    running: asyncio.AbstractEventLoop
    operator: "Operator"

    def put(self, body: Mapping[str, Any]) -> None:
        self.running.call_soon_threadsafe(self.operator.cache.put_resource, body)

    def drop(self, key: Key, uid: str) -> None:
        self.running.call_soon_threadsafe(self.operator.cache.drop_resource, key, uid)

    def relisted(self) -> None:
        self.running.call_soon_threadsafe(self.operator.heal_soon)


@dataclass(slots=True, eq=False)
class _Reports:
    """What the writer tells: the plan is compared with what the API server made of it."""

    operator: "Operator"

    def created(self, key: Key, planned: Pod, stored: Pod) -> None:
        self.operator.loop.created(key, planned, stored)

    def refused(self, write: refusals.Write, error: errors.ClusterError) -> None:
        self.operator.loop.refused(write, error)

    def missing(self, key: Key) -> None:
        """A status write met no object: kopf missed its end, or the server errs. List again."""
        logs.say(logging.WARNING, "status met no object", resource="/".join(key))
        self.operator.heal_soon()

    def notify(self, resource: Resource, notice: intents.Notice) -> None:
        self.operator.notifier.notify(resource, notice)

    def defect(self, what: str, error: Exception) -> None:
        self.operator.loop.defect("write", what, error)

    def counted(self, verb: str, kind: str, code: str) -> None:
        self.operator.metrics.writes.labels(verb, kind, code).inc()


class Operator:
    """Everything that runs, wired. `async with` connects and closes."""

    transport: HttpTransport
    cache: Cache
    writer: Writer
    loop: Loop
    lease: Lease | lease_process.LeaseProcess

    def __init__(
        self, settings: Settings, beside: lease_process.LeaseProcess | None = None
    ) -> None:
        self.settings = settings
        self._renewer = beside  # None: the lease gets a thread
        self.metrics = metrics.Metrics()
        self.clock = WallClock()
        self._fatal: asyncio.Future[str] | None = None
        self._heal = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beaten_at = time.monotonic()
        self._skewed = False
        self._fresh = False  # what is known of the custom resources is no older than our lease
        self._worker = solver_process.SolverProcess()
        file = settings.notifications_file
        self.notifier = notifier.Notifier(
            receivers.read(file) if file is not None else {},
            lambda receiver, outcome: self.metrics.notices.labels(receiver, outcome).inc(),
            self.clock.now,
        )
        self._identity = lease_process.identity(settings)

    async def __aenter__(self) -> Self:
        self.transport = await self._connect(self.settings.writes_in_flight + 32)
        self._fatal = asyncio.get_running_loop().create_future()
        self._build()
        return self

    async def _connect(self, connections: int) -> HttpTransport:
        kubeconfig = self.settings.kubeconfig
        return await HttpTransport.connect(
            str(kubeconfig) if kubeconfig else None, connections=connections
        )

    async def __aexit__(self, *_: object) -> None:
        await self.transport.close()

    def _build(self) -> None:
        settings = self.settings
        running = asyncio.get_running_loop()
        self._running = running
        self._synced = asyncio.Event()
        self.sink = _Sink(running, self)
        ours = node_term(settings.node_selector)
        self.inbox = Inbox(clock=running.time)
        self.cache = Cache(
            state.State(eligible=lambda node: is_ours(node, ours)),
            _Doorbell(self.inbox, self),
            settings.namespace,
        )
        self.lease = self._lease()
        self.writer = Writer(
            self.transport,
            self.cache,
            may_write=self.lease.holding,
            pressed=self.lease.pressed,
            reports=_Reports(self),
            in_flight=settings.writes_in_flight,
            status_interval_seconds=settings.status_interval_seconds,
            now=self.clock.exact,
            jitter=random.random,
            instance=self._identity,
        )
        self.admissions = admission.Admissions(
            dry_run=self.writer.dry_run,
            read=decode.pod_from_dict,
            now=self.clock.now,
            answered=self.inbox.mark,
            per_second=settings.dry_runs_per_second,
            limits=self.cache.defaults.limits,
            priority=self.cache.defaults.priority,
            asks=settings.mode is Mode.ACT,
            owned=lambda uid: self.cache.state.owned(uid).values(),
        )
        self.loop = Loop(
            clock=self.clock,
            inbox=self.inbox,
            cache=self.cache,
            writer=self.writer,
            admissions=self.admissions,
            metrics=self.metrics,
            leads=self._leads,
            beat=self._beat,
            acts=settings.mode is Mode.ACT,
            price=price_of,
            receivers=self.notifier.names,
            catalogue={INSTANCE_TYPE: frozenset(catalogue.load())},
        )

    def _lease(self) -> Lease | lease_process.LeaseProcess:
        told = self._gain_soon, lambda: self.fail_soon("the lease was lost")
        if self._renewer is None:
            return lease_process.lease(self.settings, *told)
        self._renewer.tell(*told)
        return self._renewer

    async def serve(self, stop: asyncio.Event, shell: "Shell") -> None:
        """Run until `stop`; raises Ended when something essential ends by itself."""
        settings = self.settings
        scrapes = http_endpoint.HttpEndpoint(
            settings.listen_address,
            settings.metrics_port,
            page=self.metrics.page,
            ready=self._lacks,
        )
        scrapes.start()
        logs.say(logging.INFO, "start", mode=settings.mode.value, metrics_port=scrapes.port)
        shell.start(self)
        try:
            await self._supervise(stop)
        finally:
            await self._wind_down()
            shell.stop()
            scrapes.stop()
            logs.say(logging.INFO, "stopped")

    async def _supervise(self, stop: asyncio.Event) -> None:
        self._start("heal", self._keep_resources_equal())
        for kind in informer.KINDS:
            watch = informer.Informer(
                kind,
                self.transport,
                self.cache,
                jitter=random.random,
                restarted=lambda kind, cause: self.metrics.watch_restarts.labels(kind, cause).inc(),
                unreadable=lambda kind, count: self.metrics.undecodable.labels(kind).inc(count),
                namespace=informer.scope(kind, self.settings.namespace),
            )
            self._start(f"informer {kind}", watch.run())
        self._start("writer", self.writer.run())
        self._start("loop", self._lead_when_synced())
        self._start("lag", self._watch_lag())
        self._start("clock", self._watch_clock())
        appraiser = cost_monitor.CostMonitor(
            self.cache, self._worker, self.metrics, self.lease.holding, self._unappraised
        )
        self._start("appraisal", appraiser.run())
        self._start("notices", self.notifier.run())
        self._start("karpenter", karpenter_watch.watch(self.transport, self.loop))
        ended = asyncio.create_task(stop.wait())
        fatal = self._fatal
        assert fatal is not None  # noqa: S101  set when entered
        try:
            awaited: set[asyncio.Future[Any]] = {ended, fatal}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if fatal.done():
            raise Ended(fatal.result())

    async def _lead_when_synced(self) -> None:
        """Nobody leads before it has seen everything: a half-seen cluster gives wrong decisions."""
        await self._synced.wait()
        gc.collect()
        gc.freeze()  # what was listed stays; later collections need not look at it
        logs.say(
            logging.INFO,
            "synced",
            nodes=len(self.cache.state.nodes),
            pods=len(self.cache.state.pods),
            resources=len(self.cache.resources),
        )
        self.lease.start()
        await self.loop.run()

    async def _keep_resources_equal(self) -> None:
        """List both kinds at the start, every few minutes, and soon after kopf listed again."""
        while True:
            try:
                await informer.relist_resources(self.transport, self.cache, self.settings.namespace)
            except errors.ClusterError as error:
                logs.say(logging.WARNING, "list failed", error=str(error))
                await asyncio.sleep(_HEAL_SECONDS)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.settings.relist_seconds):
                    await self._heal.wait()
                await asyncio.sleep(_HEAL_SECONDS)
            self._heal.clear()

    async def _watch_lag(self) -> None:
        """Measure how late this loop runs; see when all is synced; refresh the gauges at times.

        Looks are due at fixed moments: one stall makes all those late that fall into it.
        """
        running = asyncio.get_running_loop()
        due = measured_at = running.time()
        while True:
            due += _LAG_SECONDS
            await asyncio.sleep(due - running.time())
            now = running.time()
            self.metrics.loop_lag.observe(max(now - due, 0.0))
            if not self.cache.synced:
                continue
            self._synced.set()
            if now - measured_at >= _GAUGES_SECONDS:
                measured_at = now
                self.loop.measure(self.writer.backlog)

    def _unappraised(self, error: Exception) -> None:
        self.loop.defect("appraisal", "all", error)

    async def _watch_clock(self) -> None:
        """See the API server's clock now and then, also when there is nothing else to ask."""
        while True:
            with contextlib.suppress(errors.ClusterError):
                await self.transport.send(Request("GET", "/version"))
            await asyncio.sleep(_CLOCK_SECONDS)

    async def _wind_down(self) -> None:
        """Stop deciding, finish writes under way, release the lease: in that order."""
        ending = [task for task in self._tasks if task.get_name() != "writer"]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await self.admissions.close()
        self._worker.close()
        await self.writer.drain(self.settings.shutdown_seconds / 2)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self.lease.stop, self.settings.shutdown_seconds / 2)

    def _start(self, name: str, work: Coroutine[Any, Any, None], *, ends: bool = False) -> None:
        """Do it beside the rest. When it ends by itself, so does the process, unless it `ends`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._ended, expected=ends))

    def _ended(self, task: asyncio.Task[None], *, expected: bool) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            logs.logger().error("task ended", exc_info=error)
        if error is not None or not expected:
            self._fail(f"{task.get_name()} ended: {error!r}")

    def fail_soon(self, why: str) -> None:
        """End the process; may be called from any thread."""
        self._running.call_soon_threadsafe(self._fail, why)

    def _fail(self, why: str) -> None:
        if self._fatal is not None and not self._fatal.done():
            self._fatal.set_result(why)

    def _leads(self) -> bool:
        """Whether decisions may be made here: the lease is ours and our clock can be trusted.

        Slots are due by this machine's clock; one that is far from the API server's decides
        nothing. Whoever holds the lease keeps it: another replica's clock may be no better.
        """
        if not (self._fresh and self.lease.holding()):
            return False
        skew = self.transport.skew_seconds or 0.0
        self.metrics.clock_skew.set(skew)
        limit = self.settings.most_skew_seconds
        if (abs(skew) > limit) is not self._skewed:
            self._skewed = not self._skewed
            level = logging.ERROR if self._skewed else logging.INFO
            words = "clock is off, deciding nothing" if self._skewed else "clock is right again"
            logs.say(level, words, skew_seconds=round(skew, 1), limit_seconds=limit)
        return not self._skewed

    def _gain_soon(self) -> None:
        """The lease is ours; told from its thread."""
        self._running.call_soon_threadsafe(self._gained)

    def _gained(self) -> None:
        self._start("look anew", self._lead_by_fresh_news(), ends=True)

    async def _lead_by_fresh_news(self) -> None:
        """List both custom kinds and their pods once more before anything is decided.

        A standby may have heard nothing for a while without knowing it, and what its predecessor
        wrote last it cannot have heard. The statuses are the record: by an old one a run that has
        ended and gone would be made again; without its pod one that has begun would be called
        missed.
        """
        while True:
            try:
                await informer.look_anew(self.transport, self.cache, self.settings.namespace)
                break
            except errors.ClusterError as error:
                logs.say(logging.WARNING, "list failed", error=str(error))
                await asyncio.sleep(_HEAL_SECONDS)
        self._fresh = True
        logs.say(logging.INFO, "leading")
        self.metrics.leader.set(1)
        self.inbox.mark_placement()

    def _beat(self) -> None:
        self._beaten_at = time.monotonic()
        self.lease.beat()

    def alive(self) -> Mapping[str, Any]:
        """What liveness shows; raises when the main loop is stuck. Called from kopf's thread."""
        silent = time.monotonic() - self._beaten_at
        if silent > self.settings.stuck_after_seconds and self.lease.holding():
            raise RuntimeError(f"the main loop has been silent for {silent:.0f} s")
        return {"leader": self.lease.holding(), "synced": self.cache.synced}

    def _lacks(self) -> str:
        """Why this replica is not ready; empty when it is. A warm standby is ready."""
        return "" if self.cache.synced else "not synced yet"

    def heal_soon(self) -> None:
        """Have both custom kinds listed again in a moment."""
        self._heal.set()

    def namespace_changed(self, namespace: str) -> None:
        held = {one.uid: one for one in self.cache.resources.values()}
        self.admissions.retry_namespace(namespace, held)
