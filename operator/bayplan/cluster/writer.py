"""Writes what reconcile and the loop want, and decides what each answer means.

Every write may be repeated: names are deterministic, deletes and patches carry a uid, statuses
carry the version they were computed from. Answers go into the cache like watch events, so that the
next look already sees them. A write that failed for good is forgotten there and waits in `refusals`
until it may be tried again. `writes` holds how a write leaves and what every answer means.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from bayplan.api import names
from bayplan.api.pool_resource import PoolResource
from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource
from bayplan.cluster import errors, pods, requests
from bayplan.cluster.cache import Cache
from bayplan.cluster.events import Events, of_node, of_pool
from bayplan.cluster.marks import Marks
from bayplan.cluster.move_writes import MoveWrites
from bayplan.cluster.node_writes import Done, NodeWrites
from bayplan.cluster.objects import Objects
from bayplan.cluster.pool_statuses import PoolStatuses
from bayplan.cluster.refusals import Write, binding
from bayplan.cluster.run_events import run_started
from bayplan.cluster.sender import Job, Sender
from bayplan.cluster.statuses import Statuses
from bayplan.cluster.transport import Request, Transport
from bayplan.cluster.writes import Reports, Writes
from bayplan.model import intents
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod

_TWO_BUDGETS = "more than one PodDisruptionBudget"  # in a 500 that repeats for ever


class Writer:
    """Every method except `dry_run`, `pods_on`, `run` and `drain` returns at once.

    `may_write` is asked before every request. `pressed` says whether other requests should go
    first. `now` returns epoch seconds, `jitter` returns 0 … 1, and `instance` names this process in
    Events.
    """

    def __init__(
        self,
        transport: Transport,
        cache: Cache,
        *,
        may_write: Callable[[], bool],
        reports: Reports,
        jitter: Callable[[], float],
        now: Callable[[], float] = time.time,
        in_flight: int = 96,
        status_interval_seconds: float = 1.0,
        instance: str = "bayplan",
        pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._transport = transport
        self._cache = cache
        self._reports = reports
        self._now = now
        self.sender = Sender(
            transport, may_write, reports.counted, reports.defect, jitter, in_flight, pressed
        )
        self.events = Events(transport, may_write, now, instance, reports.counted)
        self._writes = Writes(self.sender, self.events, cache, reports)
        self.statuses = Statuses(self._writes, status_interval_seconds)
        self.objects = Objects(self._writes)
        self.nodes = NodeWrites(self._writes, transport, now)
        self.moves = MoveWrites(self._writes, now)
        self.pool_statuses = PoolStatuses(self._writes, status_interval_seconds)
        self.marks = Marks(self.sender, cache, now, self._writes.feed)

    async def run(self) -> NoReturn:
        """Write Events for ever."""
        await asyncio.gather(self.sender.run(), self.events.run())
        raise AssertionError("unreachable")

    @property
    def backlog(self) -> Mapping[str, int]:
        """Writes that are not done yet, by kind."""
        return {**self.sender.backlog, "event": self.events.waiting}

    async def drain(self, seconds: float) -> None:
        """Let writes in flight finish, for at most this long; start no more."""
        await self.sender.drain(seconds)

    # ---- what is wanted -------------------------------------------------------------------

    def carry_out(self, resource: Resource, outcome: intents.Outcome) -> None:
        """Carry out everything that reconcile said of a resource except its tasks and its probe.

        Events belong to the status that accounts for them: they are emitted when it is accepted,
        because reconcile repeats them until then.
        """
        self.statuses.settle(resource)
        if outcome.status is not None:
            self.write_status(resource, outcome.status, outcome.events)
        else:
            self._writes.emit(resource, outcome.events)
        for release in outcome.releases:
            self.release(release, resource.key)
        for adoption in outcome.adoptions:
            self.adopt(adoption, resource.key)
        for delete in outcome.deletes:
            self.delete(delete, resource.key)
        for wanted in outcome.objects:
            self.objects.apply(resource, wanted)
        for drop in outcome.drops:
            self.objects.drop(drop, resource.key)
        for claim in outcome.claims:
            self.objects.claim(claim, resource.key)

    def create(self, resource: Resource, planned: Pod, body: Mapping[str, Any]) -> None:
        """Create a pod that the cache already counts on; it is taken back when the CREATE fails.

        The cache is asked again before each attempt. After a lost answer the pod may have been
        seen; it may even have come and gone, and must not come a second time.
        """
        request = requests.create_pod(body)
        write = Write(resource.key, "create", "Pod", planned.labels.get(names.TEMPLATE_HASH, ""))
        if not self._cache.refusals.admits(write, counted=True):  # by the loop, this cycle
            self._cache.assumptions.forget(planned)
            return

        async def attempt() -> None:
            seen = self._cache.state.pods.get(planned.key)
            if seen is planned or (seen is not None and not _is_of(seen, resource.uid)):
                stored = await self._created(request, planned, resource.uid)
            elif seen is not None and seen.uid and not seen.terminating:
                stored = seen
            else:
                raise errors.Conflict("decided otherwise meanwhile")
            self._reports.created(resource.key, planned, stored)
            self._tell_started(stored)

        def failed(error: errors.ClusterError) -> None:
            self._cache.assumptions.forget(planned)
            self._writes.failed(write, error, planned.name)

        # Each CREATE is a job of its own: an earlier job of this name may be of a pod that has
        # gone.
        identity = ("create", planned.key, id(planned))
        self._writes.submit(write, Job(_pod(planned.key), identity, attempt, failed))

    def bind(self, wanted: intents.Bind) -> None:
        """Bind a pod that the cache already counts on there; it is taken back when the write fails.

        The cache is asked again before each attempt: the binding may have waited behind other
        writes, or for a server that did not answer, and its pod may be about to leave by now.
        """
        key = wanted.namespace, wanted.name
        write = binding(self._cache.state.pods.get(key), key)
        if not self._cache.refusals.admits(write):
            self._cache.assumptions.unbind(key, wanted.uid, wanted.node)
            return

        async def attempt() -> None:
            if not self._cache.assumptions.holds(key, wanted.uid, wanted.node):
                raise errors.Conflict("decided otherwise meanwhile")
            try:
                await self._writes.send(requests.bind(wanted))
            except errors.Conflict:
                stored = await self._look(key)
                if stored is None or stored.uid != wanted.uid or stored.node != wanted.node:
                    raise
            except errors.NotFound:
                self._cache.drop("Pod", key, wanted.uid)
                raise
            bound = self._cache.state.pods.get(key)
            if bound is not None and bound.uid == wanted.uid:
                self._tell_started(dataclasses.replace(bound, node=wanted.node))

        def failed(error: errors.ClusterError) -> None:
            self._writes.failed(write, error)
            self._cache.assumptions.unbind(key, wanted.uid, wanted.node)

        identity = ("bind", key, wanted.uid, wanted.node)
        self._writes.submit(write, Job(_pod(key), identity, attempt, failed, once=True))

    def select(self, wanted: intents.SelectNode) -> None:
        """Choose a claim's node; the choice counts at once and is taken back if the write fails."""
        self.objects.select(wanted)

    def mark(self, wanted: intents.MarkUnschedulable) -> None:
        """Say on an unplaced pod why it waits, and which node is held for it; the newest wins."""
        self.marks.want(wanted)

    def delete(self, wanted: intents.DeletePod, resource: ResourceKey | None = None) -> None:
        """Delete a pod; from now on it counts as terminating.

        If a budget refuses the eviction, it is asked for again after a while, not before.
        """
        key = wanted.namespace, wanted.name
        write = Write(resource or _pod(key), "delete", "Pod", wanted.name)
        if not self._cache.refusals.admits(write):
            return
        self._cache.assumptions.assume_leaving(key, wanted.uid, int(self._now()))

        async def attempt() -> None:
            if not (wanted.evict and await self._evicted(wanted)):
                await self._patched(requests.delete_pod(wanted), key, wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self._cache.assumptions.forget_leaving(key, wanted.uid)
            if error.reason == errors.SPENT:
                self._cache.refusals.spent(write)
            else:
                self._writes.failed(write, error)

        self._submit_pod(write, (wanted.uid,), attempt, failed)

    def release(self, wanted: intents.ReleasePod, resource: ResourceKey | None = None) -> None:
        """Remove our finalizer from a pod that a written status accounts for."""
        key = wanted.namespace, wanted.name
        write = Write(resource or _pod(key), "release", "Pod", wanted.name)

        async def attempt() -> None:
            await self._patched(requests.release_pod(wanted), key, wanted.uid)

        if self._cache.refusals.admits(write):
            self._submit_pod(write, (wanted.uid,), attempt)

    def adopt(self, wanted: intents.AdoptPod, resource: ResourceKey) -> None:
        """Make a pod that was left behind belong to the service."""
        key = wanted.namespace, wanted.name
        write = Write(resource, "adopt", "Pod", wanted.name)

        async def attempt() -> None:
            await self._patched(requests.adopt_pod(wanted), key, wanted.uid)

        if self._cache.refusals.admits(write):
            self._submit_pod(write, (wanted.uid,), attempt)

    async def dry_run(self, body: Mapping[str, Any], *, strict: bool) -> Pod:
        """What the server would store of this pod. It stores nothing, so any replica may ask.

        A strict request is `Rejected` if a field of the pod is unknown, instead of leaving the
        field out.
        """
        return pods.pod(await self._transport.send(requests.dry_run(body, strict=strict)))

    def write_status(
        self,
        resource: Resource,
        status: Mapping[str, Any],
        events: tuple[intents.EmitEvent | intents.Notice, ...] = (),
    ) -> None:
        """Make this the stored status: the first at once, then one an interval, the newest wins."""
        self.statuses.write(resource, status, events)

    # ---- nodes that are bought and given back -----------------------------------------------

    def launch(self, wanted: intents.LaunchNode, done: Done) -> None:
        """Create a claim, which counts at once; `done` is called once, with the reason if any."""
        self.nodes.launch(wanted, done)

    def retire(self, wanted: intents.RetireNode) -> None:
        """Delete a claim; from now on it counts as being deleted."""
        self.nodes.retire(wanted)

    def taint(self, wanted: intents.TaintNode) -> None:
        """Give a node a taint, or take it away."""
        self.nodes.taint(wanted)

    def close(self, wanted: intents.CloseNode) -> None:
        """Say on a node that it is to be given back, or that it no longer is."""
        self.moves.close(wanted)

    def evict_pod(self, wanted: intents.EvictPod) -> None:
        """Ask the Eviction API once; from now on the pod counts as terminating."""
        self.moves.evict(wanted)

    def price_deletion(self, wanted: intents.PriceDeletion) -> None:
        """Write a pod's deletion cost in its turn; the newest wins."""
        self.moves.price(wanted)

    async def pods_on(self, node: str) -> list[Pod]:
        """All pods on this node as they are stored now; an error without a complete answer."""
        return await self.nodes.pods_on(node)

    def tell(self, pool: PoolResource, node: Node | None, event: intents.EmitEvent) -> None:
        """Say an Event of a Pool, and of its node that it is about, if that exists."""
        if node is not None:
            self.events.emit(of_node(node), event)
        self.events.emit(of_pool(pool), event, subject=event.message)

    def write_pool_status(self, pool: PoolResource, status: Mapping[str, Any]) -> None:
        """Make this the Pool's stored status: at most one write an interval, the newest wins."""
        self.pool_statuses.write(pool, status)

    def _tell_started(self, pod: Pod) -> None:
        """Say on a BatchJob that a run of it has got its node."""
        owner = self._cache.by_uid(pod.owner.uid) if pod.owner is not None else None
        event = run_started(pod) if owner is not None and owner.kind == names.BATCHJOB else None
        if owner is not None and event is not None:
            self._writes.emit(owner, (event,))

    # ---- what answers mean ----------------------------------------------------------------

    def _submit_pod(
        self,
        write: Write,
        about: tuple[object, ...],
        attempt: Callable[[], Awaitable[None]],
        failed: Callable[[errors.ClusterError], None] | None = None,
    ) -> None:
        def told(error: errors.ClusterError) -> None:
            self._writes.failed(write, error)

        key = write.about[1], write.name
        identity = (write.verb, key, *about)
        job = Job(_pod(key), identity, attempt, failed or told, urgent=True, once=True)
        self._writes.submit(write, job)

    async def _created(self, request: Request, planned: Pod, uid: str) -> Pod:
        """The stored pod; a CREATE without an answer is repeated, same name, until one comes."""
        try:
            return self._fed(await self._writes.send(request))
        except errors.AlreadyExists as taken:
            stored = await self._look(planned.key)
            if stored is None:
                raise errors.Unavailable("the name was taken a moment ago") from taken
            if not _is_of(stored, uid):
                raise errors.Rejected(
                    f"a pod of this name exists and is not ours: {planned.name}",
                    status=taken.status,
                    reason="NameTaken",
                ) from taken
            if stored.terminating:
                raise errors.Conflict(
                    "the pod of this name is being deleted", status=taken.status
                ) from taken
            return stored
        except errors.Conflict as error:
            # Two requests counted against the same quota at once: nothing was stored.
            raise errors.Unavailable(error.message, status=error.status) from error

    async def _patched(self, request: Request, key: tuple[str, str], uid: str) -> None:
        """Write to a pod that must have this uid. If it has gone, there is nothing to do."""
        try:
            answer = await self._writes.send(request)
        except errors.NotFound:
            self._cache.drop("Pod", key, uid)
        except errors.Conflict:
            stored = await self._look(key)
            if stored is not None and stored.uid == uid:
                raise
            self._cache.drop("Pod", key, uid)
        else:
            self._writes.feed("Pod", answer)

    async def _evicted(self, wanted: intents.DeletePod) -> bool:
        """Whether the Eviction API handled the pod; a spent budget is a `Conflict`.

        The API handles no pod that has a second budget. Its 404 may be about the budget, if that is
        being deleted now (as at a scale to one); the pod then lives on.
        """
        key = wanted.namespace, wanted.name
        try:
            await self._writes.send(requests.evict(*key, wanted.uid))
        except (errors.NotFound, errors.Conflict) as error:
            if error.reason == errors.SPENT:
                raise
            stored = await self._look(key)
            if stored is not None and stored.uid == wanted.uid:
                raise errors.Conflict(error.message, status=error.status) from error
            self._cache.drop("Pod", key, wanted.uid)
        except errors.Unavailable as error:
            if _TWO_BUDGETS not in error.message:
                raise
            return False
        return True

    async def _look(self, key: tuple[str, str]) -> Pod | None:
        """The pod as stored now; None when it does not exist."""
        try:
            return self._fed(await self._writes.send(requests.get("Pod", *key)))
        except errors.NotFound:
            return None

    def _fed(self, answer: bytes) -> Pod:
        seen = pods.seen(answer)
        self._cache.upsert("Pod", seen)
        pod: Pod = seen.value
        return pod


def _is_of(pod: Pod, uid: str) -> bool:
    """Whether a pod belongs to this owner."""
    return pod.owner is not None and pod.owner.uid == uid


def _pod(key: tuple[str, str]) -> ResourceKey:
    return "Pod", *key
