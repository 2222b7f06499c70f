"""Composition root: builds everything, starts it, ends it in order. Imported by starters only.

Threads: main (informers, cycle, writer), a thread for kopf, a thread for scrapes; the lease has its
own process and a thread that hears from it. If any of them ends by itself, the process ends
(`supervisor`).
"""

import asyncio
import contextlib
import functools
import gc
import logging
import random
import signal
from collections.abc import Iterable, Mapping
from typing import Any, Self

from bayplan import logs, metrics
from bayplan.cloud import catalogue
from bayplan.cluster import decode, errors, informer, pods
from bayplan.cluster.cache import Cache
from bayplan.cluster.kubelet_events import KubeletEvents
from bayplan.cluster.lease import Lease
from bayplan.cluster.pending_events import PendingEvents
from bayplan.cluster.transport import HttpTransport, Request
from bayplan.cluster.writer import Writer
from bayplan.model import state
from bayplan.model.nodes import INSTANCE_TYPE
from bayplan.model.pods import Pod
from bayplan.model.workloads import PodClass, TaskKey, Waiting
from bayplan.notifications import notifier, receivers
from bayplan.optimizer import existing_nodes
from bayplan.provisioning import backlog
from bayplan.provisioning.prices import price_of
from bayplan.runtime import (
    aws,
    cost_monitor,
    http_endpoint,
    karpenter_watch,
    lease_process,
    pool_watch,
    solver_process,
)
from bayplan.runtime.clocks import WallClock
from bayplan.runtime.doorbell import InboxDoorbell
from bayplan.runtime.kopf_thread import Deliveries, KopfThread, Shell
from bayplan.runtime.leadership import Leadership
from bayplan.runtime.loop_monitor import LoopMonitor
from bayplan.runtime.relist import Relister
from bayplan.runtime.supervisor import Ended, Supervisor
from bayplan.runtime.write_reports import WriteReports
from bayplan.scheduler import admission
from bayplan.scheduler.backlogs import SEARCH_SECONDS
from bayplan.scheduler.inbox import Inbox
from bayplan.scheduler.loop import Loop
from bayplan.scheduler.pools.pool_buying import PoolBuying
from bayplan.settings import Mode, Settings, is_ours, node_term

# Decoded objects live long; young garbage is rare. Measured: a list of pods costs half as much.
_GC_THRESHOLDS = (50_000, 20, 50)
_CLOCK_SECONDS = 30.0


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT (0), or until an essential part has ended (1)."""
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


async def _serve_until_signal(settings: Settings, beside: lease_process.LeaseProcess) -> None:
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(name, stop.set)
    async with Operator(settings, beside) as operator:
        await operator.serve(stop, KopfThread(settings))


class Operator:
    """All running parts, wired together. `async with` connects and closes."""

    transport: HttpTransport
    supervisor: Supervisor
    cache: Cache
    deliveries: Deliveries
    lease: Lease | lease_process.LeaseProcess
    writer: Writer
    loop: Loop

    def __init__(
        self, settings: Settings, beside: lease_process.LeaseProcess | None = None
    ) -> None:
        """`beside` renews the lease; without it a thread does so."""
        self.settings = settings
        self._lease_process = beside
        self.metrics = metrics.Metrics()
        self.clock = WallClock()
        self._solver = solver_process.SolverProcess()
        self._consolidator = solver_process.SolverProcess()  # its answers take longer
        file = settings.notifications_file
        self.notifier = notifier.Notifier(
            receivers.read(file) if file is not None else {},
            lambda receiver, outcome: self.metrics.notices.labels(receiver, outcome).inc(),
            self.clock.now,
        )
        self._identity = lease_process.identity(settings)

    async def __aenter__(self) -> Self:
        self.transport = await self._connect(self.settings.writes_in_flight + 32)
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
        self._running = asyncio.get_running_loop()
        self.supervisor = Supervisor()
        self._build_cache()
        self.lease = self._lease()
        self.leadership = Leadership(
            self.lease,
            look_anew=self._relister.look_anew,
            skew=lambda: self.transport.skew_seconds,
            inbox=self._inbox,
            metrics=self.metrics,
            most_skew_seconds=settings.most_skew_seconds,
            stuck_after_seconds=settings.stuck_after_seconds,
        )
        reports = WriteReports(self.metrics, self.notifier, self._relister.ask)
        self.writer = Writer(
            self.transport,
            self.cache,
            may_write=self.lease.holding,
            pressed=self.lease.pressed,
            reports=reports,
            in_flight=settings.writes_in_flight,
            status_interval_seconds=settings.status_interval_seconds,
            now=self.clock.exact,
            jitter=random.random,
            instance=self._identity,
        )
        self._admissions = admission.Admissions(
            dry_run=self.writer.dry_run,
            read=pods.pod_from_dict,
            now=self.clock.now,
            answered=self._inbox.mark,
            per_second=settings.dry_runs_per_second,
            limits=self.cache.defaults.limits,
            priority=self.cache.defaults.priority,
            default_pool=lambda: self.cache.pools.default,
            asks=settings.mode is Mode.ACT,
            owned=lambda uid: self.cache.state.owned(uid).values(),
        )
        self._pool_buying = self._buying() if settings.pools else None
        self.loop = reports.loop = Loop(
            clock=self.clock,
            inbox=self._inbox,
            cache=self.cache,
            writer=self.writer,
            admissions=self._admissions,
            metrics=self.metrics,
            leads=self.leadership.leads,
            beat=self.leadership.beat,
            acts=settings.mode is Mode.ACT,
            price=price_of,
            receivers=self.notifier.names,
            buying=self._pool_buying,
            ask=self._least_use,
            catalogue={INSTANCE_TYPE: frozenset(catalogue.load())},
        )
        self._loop_monitor = LoopMonitor(
            self.cache, self.metrics, lambda: self.loop.measure(self.writer.backlog)
        )

    def _buying(self) -> PoolBuying:
        return PoolBuying(
            cache=self.cache,
            writer=self.writer,
            clock=self.clock,
            ask=self._solver.ask,
            waiting=self._unplaced,
            consolidate=self._consolidator.consolidate,
            successors=self._successors,
            ring=self._inbox.mark,
            leads=self.leadership.leads,
            failed=lambda error: self.loop.defect("pools", "all", error),
            acts=self.settings.mode is Mode.ACT,
            metrics=self.metrics,
            cloud=aws.AwsGroups(),
        )

    def _unplaced(self, now: int) -> list[Waiting]:
        return self.loop.unplaced(now)

    def _successors(self, pods: Iterable[Pod]) -> Mapping[TaskKey, PodClass]:
        return self.loop.successors(pods)

    def _build_cache(self) -> None:
        """Build the cache and the parts that feed it or hear from it."""
        settings = self.settings
        ours = node_term(settings.node_selector)
        self._inbox = Inbox(clock=self._running.time)
        self.cache = Cache(
            state.State(eligible=lambda node: is_ours(node, ours)),
            InboxDoorbell(self._inbox, self._retry_namespace),
            settings.namespace,
        )
        self._relister = Relister(
            self.transport,
            self.cache,
            settings.namespace,
            settings.relist_seconds,
            pools=settings.pools,
        )
        self.deliveries = Deliveries(self.cache, self._relister.ask)

    def _lease(self) -> Lease | lease_process.LeaseProcess:
        """The lease; its gain and its loss are reported from a thread."""
        lost = functools.partial(self.fail_soon, "the lease was lost")
        if self._lease_process is None:
            return lease_process.lease(self.settings, self._gain_soon, lost)
        self._lease_process.tell(self._gain_soon, lost)
        return self._lease_process

    def _gain_soon(self) -> None:
        """We have the lease; called from the lease's thread."""
        self._running.call_soon_threadsafe(self._gained)

    def _gained(self) -> None:
        self.supervisor.start("look anew", self.leadership.begin(), ends=True)

    def _retry_namespace(self, namespace: str) -> None:
        held = {resource.uid: resource for resource in self.cache.resources.values()}
        self._admissions.retry_namespace(namespace, held)

    async def serve(self, stop: asyncio.Event, shell: Shell) -> None:
        """Run until `stop`; raises Ended when an essential part ends by itself."""
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
            self._start_tasks()
            await self.supervisor.wait(stop)
        finally:
            await self._wind_down()
            shell.stop()
            scrapes.stop()
            logs.say(logging.INFO, "stopped")

    def _start_tasks(self) -> None:
        start = self.supervisor.start
        start("heal", self._relister.run())
        for kind in informer.KINDS:
            start(f"informer {kind}", self._informer(kind).run())
        start("writer", self.writer.run())
        start("loop", self._lead_when_synced())
        self._start_monitors()
        start("appraisal", self._cost_monitor().run())
        start("notices", self.notifier.run())
        start("karpenter", karpenter_watch.watch(self.transport, self.loop))
        if self.settings.pools:
            start("pools", self._pool_watch().run())
        if self._pool_buying is not None:
            start("buying", self._pool_buying.run())

    def _informer(self, kind: decode.Kind) -> informer.Informer:
        return informer.Informer(
            kind,
            self.transport,
            self.cache,
            jitter=random.random,
            restarted=lambda kind, cause: self.metrics.watch_restarts.labels(kind, cause).inc(),
            unreadable=lambda kind, count: self.metrics.undecodable.labels(kind).inc(count),
            namespace=informer.scope(kind, self.settings.namespace),
        )

    def _pool_watch(self) -> pool_watch.PoolWatch:
        return pool_watch.PoolWatch(
            self.transport,
            self.cache,
            self._informer,
            self.clock.exact,
            metrics_url=self.settings.karpenter_metrics,
            prices_file=self.settings.prices_file,
        )

    async def _least_use(self, question: backlog.Question) -> existing_nodes.Use | None:
        """What the optimiser finds for a backlog before its time ends."""
        asked = question.pool, question.demand, question.request
        return await self._solver.use(*asked, SEARCH_SECONDS)

    def _start_monitors(self) -> None:
        """Start the tasks that depend on clocks alone."""
        self.supervisor.start("lag", self._loop_monitor.run())
        self.supervisor.start("clock", self._watch_clock())
        if self.settings.mode is Mode.ACT:
            told = PendingEvents(self.cache, self.writer.events)
            heard = KubeletEvents(self.transport, self.cache, self.leadership.leads)
            self.supervisor.start("waiting pods", told.run())
            self.supervisor.start("silent pods", heard.run())

    def _cost_monitor(self) -> cost_monitor.CostMonitor:
        return cost_monitor.CostMonitor(
            self.cache,
            self._solver,
            self.metrics,
            self.lease.holding,
            lambda error: self.loop.defect("appraisal", "all", error),
        )

    async def _lead_when_synced(self) -> None:
        """No replica leads before it has seen everything: a partial view decides wrongly."""
        await self._loop_monitor.synced.wait()
        gc.collect()
        gc.freeze()  # listed objects stay; later collections skip them
        logs.say(
            logging.INFO,
            "synced",
            nodes=len(self.cache.state.nodes),
            pods=len(self.cache.state.pods),
            resources=len(self.cache.resources),
        )
        self.lease.start()
        await self.loop.run()

    async def _watch_clock(self) -> None:
        """Read the API server's clock now and then, even when there is nothing else to ask."""
        while True:
            with contextlib.suppress(errors.ClusterError):
                await self.transport.send(Request("GET", "/version"))
            await asyncio.sleep(_CLOCK_SECONDS)

    async def _wind_down(self) -> None:
        """Stop deciding, finish writes under way, release the lease, in this order."""
        await self.supervisor.cancel(spare="writer")
        await self._admissions.close()
        self._solver.close()
        self._consolidator.close()
        await self.writer.drain(self.settings.shutdown_seconds / 2)
        await self.supervisor.cancel()
        await asyncio.to_thread(self.lease.stop, self.settings.shutdown_seconds / 2)

    def fail_soon(self, why: str) -> None:
        """End the process; may be called from any thread."""
        self.supervisor.fail_soon(why)

    def alive(self) -> Mapping[str, Any]:
        """Data for liveness; raises when the main loop is stuck. Called from kopf's thread."""
        return {"leader": self.leadership.check(), "synced": self.cache.synced}

    def _lacks(self) -> str:
        """Why this replica is not ready; empty when it is. A warm standby is ready."""
        return "" if self.cache.synced else "not synced yet"
