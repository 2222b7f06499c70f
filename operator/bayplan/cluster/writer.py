"""What reconcile and the loop want written, and what each answer means.

Every write may be repeated: names are deterministic, deletes and patches carry a uid, statuses the
version they were computed from. Answers go into the cache like watch events, so that the next look
already sees them. What failed for good is forgotten there and waits in `refusals` until it may be
tried again; what the server refuses is told to `Reports`. Queues, retries and pace are in `sender`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol

import msgspec

from bayplan import logs
from bayplan.api import names
from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource
from bayplan.cluster import decode, errors, pods, requests
from bayplan.cluster.cache import Cache
from bayplan.cluster.events import Events
from bayplan.cluster.marks import Marks
from bayplan.cluster.objects import Objects
from bayplan.cluster.refusals import Write, binding
from bayplan.cluster.sender import Job, Sender
from bayplan.cluster.statuses import Statuses
from bayplan.cluster.transport import Request, Transport
from bayplan.model import intents
from bayplan.model.pods import Pod

_SPENT = "DisruptionBudget"  # the reason when no disruption is allowed now
_TWO_BUDGETS = "more than one PodDisruptionBudget"  # of a 500; it would be for ever


class Reports(Protocol):
    """Who hears what became of writes, on the loop. Metrics and conditions are made of it."""

    def created(self, key: ResourceKey, planned: Pod, stored: Pod) -> None:
        """A CREATE has succeeded: compare what is stored with what was planned."""
        ...

    def refused(self, write: Write, error: errors.ClusterError) -> None:
        """The server will not have this."""
        ...

    def missing(self, key: ResourceKey) -> None:
        """The resource's status answered 404: it has been dropped; list before you create."""
        ...

    def notify(self, resource: Resource, notice: intents.Notice) -> None:
        """The status that accounts for this notice is stored: send it."""
        ...

    def defect(self, what: str, error: Exception) -> None:
        """A write to that object met a defect of ours; it counts as refused."""
        ...

    def counted(self, verb: str, kind: str, code: str) -> None:
        """A write was answered; `code` is 2xx, an HTTP code, or `none` for no answer."""
        ...


class Writer:
    """Everything but `dry_run`, `run` and `drain` returns at once.

    `may_write` is asked before every request, `pressed` is whether others should go first; `now`
    is epoch seconds, `jitter` gives 0 … 1 and `instance` names this process in Events.
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
        self.statuses = Statuses(self.sender, cache, self, status_interval_seconds)
        self.objects = Objects(self.sender, cache, self)
        self.marks = Marks(self.sender, cache, now, self.feed)
        self.events = Events(transport, may_write, now, instance, reports.counted)

    async def run(self) -> NoReturn:
        """Write Events for ever."""
        await asyncio.gather(self.sender.run(), self.events.run())
        raise AssertionError("unreachable")

    @property
    def backlog(self) -> Mapping[str, int]:
        """Writes that are not done yet, by kind."""
        return {**self.sender.backlog, "event": self.events.waiting}

    async def drain(self, seconds: float) -> None:
        """Let what is in flight finish, for at most this long; start nothing more."""
        await self.sender.drain(seconds)

    # ---- what is wanted -------------------------------------------------------------------

    def carry_out(self, resource: Resource, outcome: intents.Outcome) -> None:
        """Everything that reconcile said of a resource but its tasks and its probe.

        Events belong to the status that accounts for them: they are emitted when it is accepted,
        since reconcile says them again until then.
        """
        self.statuses.settle(resource)
        if outcome.status is not None:
            self.write_status(resource, outcome.status, outcome.events)
        else:
            self.emit(resource, outcome.events)
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

    def emit(
        self, resource: Resource, events: Iterable[intents.EmitEvent | intents.Notice]
    ) -> None:
        for event in events:
            if isinstance(event, intents.Notice):
                self._reports.notify(resource, event)
            else:
                self.events.emit(resource, event)

    def create(self, resource: Resource, planned: Pod, body: Mapping[str, Any]) -> None:
        """Create a pod that the cache already counts on; taken back when it fails.

        The cache is asked again before each attempt. Where an answer was lost, the pod may have
        been seen since; it may even have come and gone, and must not come a second time.
        """
        request = requests.create_pod(body)
        write = Write(resource.key, "create", "Pod", planned.labels.get(names.TEMPLATE_HASH, ""))
        if not self._cache.refusals.admits(write, counted=True):  # by the loop, in this cycle
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

        def failed(error: errors.ClusterError) -> None:
            self._cache.assumptions.forget(planned)
            self.failed(write, error, planned.name)

        # Each is a job of its own: the one before may be of a pod that has gone already.
        identity = ("create", planned.key, id(planned))
        self.submit(write, Job(_pod(planned.key), identity, attempt, failed))

    def bind(self, wanted: intents.Bind) -> None:
        """Bind a pod that the cache already counts on there; taken back when it fails.

        The cache is asked again before each attempt: a binding that waited behind other writes, or
        for a server that did not answer, may be of a pod that is to go by now.
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
                await self.sender.send(requests.bind(wanted))
            except errors.Conflict:
                stored = await self._look(key)
                if stored is None or stored.uid != wanted.uid or stored.node != wanted.node:
                    raise
            except errors.NotFound:
                self._cache.drop("Pod", key, wanted.uid)
                raise

        def failed(error: errors.ClusterError) -> None:
            self.failed(write, error)
            self._cache.assumptions.unbind(key, wanted.uid, wanted.node)

        identity = ("bind", key, wanted.uid, wanted.node)
        self.submit(write, Job(_pod(key), identity, attempt, failed, once=True))

    def select(self, wanted: intents.SelectNode) -> None:
        """Choose the node for a claim's volume; counted on at once, taken back when it fails."""
        self.objects.select(wanted)

    def mark(self, wanted: intents.MarkUnschedulable) -> None:
        """Say on an unplaced pod why it waits, and which node is held for it; newest wins."""
        self.marks.want(wanted)

    def delete(self, wanted: intents.DeletePod, resource: ResourceKey | None = None) -> None:
        """Delete a pod; from now on it counts as terminating.

        One whose eviction a budget refuses is asked for again after a while, not before.
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
            if error.reason == _SPENT:
                self._cache.refusals.spent(write)
            else:
                self.failed(write, error)

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
        """Make a pod that was left behind the service's own."""
        key = wanted.namespace, wanted.name
        write = Write(resource, "adopt", "Pod", wanted.name)

        async def attempt() -> None:
            await self._patched(requests.adopt_pod(wanted), key, wanted.uid)

        if self._cache.refusals.admits(write):
            self._submit_pod(write, (wanted.uid,), attempt)

    async def dry_run(self, body: Mapping[str, Any], *, strict: bool) -> Pod:
        """What the server would store of this pod. Stores nothing, hence any replica may ask.

        A strict one is `Rejected` where a field of the pod is unknown, instead of leaving it out.
        """
        return pods.pod(await self._transport.send(requests.dry_run(body, strict=strict)))

    def write_status(
        self,
        resource: Resource,
        status: Mapping[str, Any],
        events: tuple[intents.EmitEvent | intents.Notice, ...] = (),
    ) -> None:
        """Make the stored status this one: the first at once, then one an interval, newest wins."""
        self.statuses.write(resource, status, events)

    # ---- what answers mean ----------------------------------------------------------------

    def submit(self, write: Write, job: Job) -> bool:
        """Send it, unless its like has been refused by then; False: it is on its way already."""
        attempt, refusals = job.attempt, self._cache.refusals

        async def guarded() -> None:
            if refusals.stopped(write):
                raise errors.Held("its like was refused a moment ago", reason="Held")
            await attempt()
            refusals.accepted(write)

        job.attempt = guarded
        return self.sender.submit(job)

    def _submit_pod(
        self,
        write: Write,
        about: tuple[object, ...],
        attempt: Callable[[], Awaitable[None]],
        failed: Callable[[errors.ClusterError], None] | None = None,
    ) -> None:
        def told(error: errors.ClusterError) -> None:
            self.failed(write, error)

        key = write.about[1], write.name
        identity = (write.verb, key, *about)
        job = Job(_pod(key), identity, attempt, failed or told, urgent=True, once=True)
        self.submit(write, job)

    async def _created(self, request: Request, planned: Pod, uid: str) -> Pod:
        """The stored pod; a lost answer is repeated with the same name until one says so."""
        try:
            return self._fed(await self.sender.send(request))
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
            # Two requests counted the same quota at once: nothing was stored.
            raise errors.Unavailable(error.message, status=error.status) from error

    async def _patched(self, request: Request, key: tuple[str, str], uid: str) -> None:
        """A write to a pod that must have this uid. If it has gone, there is nothing to do."""
        try:
            answer = await self.sender.send(request)
        except errors.NotFound:
            self._cache.drop("Pod", key, uid)
        except errors.Conflict:
            stored = await self._look(key)
            if stored is not None and stored.uid == uid:
                raise
            self._cache.drop("Pod", key, uid)
        else:
            self.feed("Pod", answer)

    async def _evicted(self, wanted: intents.DeletePod) -> bool:
        """Whether the Eviction API took care of it; a spent budget is a `Conflict`.

        It takes care of no pod that somebody gave a second budget. Its 404 may be of the budget,
        when that is deleted just now (as at a scale to one), and of a pod that lives on.
        """
        key = wanted.namespace, wanted.name
        try:
            await self.sender.send(requests.evict(*key, wanted.uid))
        except (errors.NotFound, errors.Conflict) as error:
            if error.reason == _SPENT:
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

    def missing(self, key: ResourceKey) -> None:
        """A status met no object."""
        self._reports.missing(key)

    async def _look(self, key: tuple[str, str]) -> Pod | None:
        """The pod as stored now; None when there is none."""
        try:
            return self._fed(await self.sender.send(requests.get("Pod", *key)))
        except errors.NotFound:
            return None

    def _fed(self, answer: bytes) -> Pod:
        seen = pods.seen(answer)
        self._cache.upsert("Pod", seen)
        pod: Pod = seen.value
        return pod

    def feed(self, kind: str, answer: bytes) -> None:
        """Take an answer in as news; a Status (the object went at once) tells nothing of it."""
        seen = decode.KINDS[kind].decode(msgspec.Raw(answer))
        if seen.uid and seen.name:
            self._cache.upsert(kind, seen)

    def failed(self, write: Write, error: errors.ClusterError, name: str = "") -> None:
        """It is tried again later: what the server refuses is held till then, and told.

        After a conflict what was decided anew from newer news is not held. `name` is the object's
        where the write is of many.
        """
        if isinstance(error, errors.Held):
            return
        logs.say(
            logging.INFO,
            "write failed",
            verb=write.verb,
            kind=write.kind,
            name=name or write.name,
            resource="/".join(write.about),
            status=error.status,
            error=error,
        )
        if isinstance(error, errors.LeaseLost):
            return
        refusals = self._cache.refusals
        if isinstance(error, errors.Rejected | errors.NotFound):
            told = refusals.stopped(write)  # others of its like were under way with it
            refusals.refused(write, error, name)
            if not told:
                self._reports.refused(write, error)
        else:
            refusals.later(write, error, holds=write.verb not in {"create", "status"}, name=name)


def _is_of(pod: Pod, uid: str) -> bool:
    """Whether a pod is this owner's."""
    return pod.owner is not None and pod.owner.uid == uid


def _pod(key: tuple[str, str]) -> ResourceKey:
    return "Pod", *key
