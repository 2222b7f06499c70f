"""What reconcile and the loop want written, and what each answer means.

Every write may be repeated: names are deterministic, deletes and patches carry a uid, statuses the
version they were computed from. Answers go into the cache like watch events, so that the next look
already sees them. What failed for good is forgotten there and its resource rings; what the server
refuses is told to `Reports`. Queues, retries and pace are in `sender`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn, Protocol

import msgspec

from bayplan.api import names
from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource
from bayplan.cluster import decode, errors, pods, requests
from bayplan.cluster.cache import Cache
from bayplan.cluster.events import Events
from bayplan.cluster.evictions import Refused
from bayplan.cluster.sender import Job, Sender
from bayplan.cluster.statuses import Statuses
from bayplan.cluster.transport import Request, Transport
from bayplan.model import pod as pods_
from bayplan.reconcile import action

_log = logging.getLogger(__name__)

# A resource whose write met a conflict is looked at again after this: the news that explains the
# conflict is on its way, and a hot loop of conflicts would help nobody.
CONFLICT_SECONDS = 1.0
_SPENT = "DisruptionBudget"  # the reason when no disruption is allowed now
_TWO_BUDGETS = "more than one PodDisruptionBudget"  # of a 500; it would be for ever


class Reports(Protocol):
    """Who hears what became of writes, on the loop. Metrics and conditions are made of it."""

    def created(self, key: ResourceKey, planned: pods_.Pod, stored: pods_.Pod) -> None:
        """A CREATE has succeeded: compare what is stored with what was planned."""
        ...

    def refused(self, key: ResourceKey | None, error: errors.ClusterError, what: str) -> None:
        """The server will not have this; `what` is the verb (create, bind, apply, delete …)."""
        ...

    def missing(self, key: ResourceKey) -> None:
        """The resource's status answered 404: it has been dropped; list before you create."""
        ...

    def notify(self, resource: Resource, notice: action.Notice) -> None:
        """The status that accounts for this notice is stored: send it."""
        ...

    def counted(self, verb: str, kind: str, code: str) -> None:
        """A write was answered; `code` is 2xx, an HTTP code, or `none` for no answer."""
        ...


class Writer:
    """Everything but `dry_run`, `run` and `drain` returns at once.

    `may_write` is asked before every request; `now` is epoch seconds, `jitter` gives 0 … 1 and
    `instance` names this process in Events.
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
    ) -> None:
        self._transport = transport
        self._cache = cache
        self._reports = reports
        self._now = now
        self._refused_evictions = Refused()
        self.sender = Sender(transport, may_write, reports.counted, jitter, in_flight)
        self.statuses = Statuses(self.sender, cache, self, status_interval_seconds)
        self.events = Events(transport, may_write, now, instance, reports.counted)

    async def run(self) -> NoReturn:
        """Write Events for ever; raise when a write met a defect of ours."""
        await asyncio.gather(self.sender.run(), self.events.run())
        raise AssertionError("unreachable")

    async def drain(self, seconds: float) -> None:
        """Let what is in flight finish, for at most this long; start nothing more."""
        await self.sender.drain(seconds)

    # ---- what is wanted -------------------------------------------------------------------

    def carry_out(self, resource: Resource, outcome: action.Outcome) -> None:
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
        for delete in outcome.deletes:
            self.delete(delete, resource.key)
        for wanted in outcome.objects:
            self.apply(resource, wanted)
        for drop in outcome.drops:
            self.drop(drop, resource.key)
        for claim in outcome.claims:
            self.claim(claim, resource.key)

    def emit(self, resource: Resource, events: Iterable[action.EmitEvent | action.Notice]) -> None:
        for event in events:
            if isinstance(event, action.Notice):
                self._reports.notify(resource, event)
            else:
                self.events.emit(resource, event)

    def create(self, resource: Resource, planned: pods_.Pod, body: Mapping[str, Any]) -> None:
        """Create a pod that the cache already counts on; taken back when it fails.

        The cache is asked again before each attempt. Where an answer was lost, the pod may have
        been seen since; it may even have come and gone, and must not come a second time.
        """
        request = requests.create_pod(body)

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
            self._cache.forget(planned)
            self.failed(resource.key, error, "create")

        # Each is a job of its own: the one before may be of a pod that has gone already.
        self.sender.submit(
            Job(_pod(planned.key), ("create", planned.key, id(planned)), attempt, failed)
        )

    def bind(self, wanted: action.Bind) -> None:
        """Bind a pod that the cache already counts on there; taken back when it fails.

        The cache is asked again before each attempt: a binding that waited behind other writes, or
        for a server that did not answer, may be of a pod that is to go by now.
        """
        key = wanted.namespace, wanted.name

        async def attempt() -> None:
            if not self._cache.counts_on(key, wanted.uid, wanted.node):
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
            _log.info("bind failed pod=%s/%s error=%s", *key, error)
            self._cache.unbind(key, wanted.uid, wanted.node)

        self.sender.submit(
            Job(_pod(key), ("bind", key, wanted.uid, wanted.node), attempt, failed, once=True)
        )

    def select(self, wanted: action.SelectNode) -> None:
        """Choose the node for a claim's volume; counted on at once, taken back when it fails."""
        kind, key = "PersistentVolumeClaim", (wanted.namespace, wanted.claim)
        self._cache.storage.assume_selected(key, wanted.node)

        async def attempt() -> None:
            self.feed(kind, await self.sender.send(requests.select_node(wanted)))

        def failed(error: errors.ClusterError) -> None:
            _log.info("write failed verb=select claim=%s/%s error=%s", *key, error)
            self._cache.storage.forget(key)
            loop = asyncio.get_running_loop()
            loop.call_later(CONFLICT_SECONDS, self._cache.doorbell.mark_placement)

        identity = ("select", key, wanted.uid, wanted.node)
        self.sender.submit(Job((kind, *key), identity, attempt, failed, once=True))

    def claim(self, wanted: action.ClaimAct, resource: ResourceKey) -> None:
        """Make, hand over or delete a claim of an instance. What its answer shows is news.

        A deleted one is still there until nothing mounts it.
        """
        kind = "PersistentVolumeClaim"
        match wanted:
            case action.CreateClaim():
                metadata = wanted.body["metadata"]
                key, about = (metadata["namespace"], metadata["name"]), ""
                verb, request = "create", requests.create_claim(wanted)
            case action.OwnClaim():
                key, about = (wanted.namespace, wanted.name), str(wanted.owner)
                verb, request = "own", requests.own_claim(wanted)
            case action.DropClaim():
                key, about = (wanted.namespace, wanted.name), wanted.uid
                drop = action.DeleteObject(kind, *key, wanted.uid)
                verb, request = "delete", requests.delete_object(drop)
                self._cache.storage.assume_leaving(key)

        async def attempt() -> None:
            with contextlib.suppress(errors.AlreadyExists, errors.NotFound):
                self.feed(kind, await self.sender.send(request))

        def failed(error: errors.ClusterError) -> None:
            self._cache.storage.forget(key)
            self.failed(resource, error, verb)

        identity = (verb, kind, key, about)
        self.sender.submit(Job((kind, *key), identity, attempt, failed, urgent=True))

    def mark(self, wanted: action.MarkUnschedulable) -> None:
        """Say on an unplaced pod why it waits, and which node is held for it."""
        key = wanted.namespace, wanted.name

        async def attempt() -> None:
            request = requests.mark_unschedulable(wanted, int(self._now()))
            await self._patched(request, key, wanted.uid)

        self._submit_pod(key, ("mark", key, wanted.uid, wanted.message, wanted.held), attempt, None)

    def delete(self, wanted: action.DeletePod, resource: ResourceKey | None = None) -> None:
        """Delete a pod; from now on it counts as terminating.

        One whose eviction a budget refuses is asked for again after a while, not before.
        """
        key = wanted.namespace, wanted.name
        if wanted.evict and self._refused_evictions.waits(wanted.uid):
            return
        self._cache.assume_leaving(key, wanted.uid, int(self._now()))

        async def attempt() -> None:
            if not (wanted.evict and await self._evicted(wanted)):
                await self._patched(requests.delete_pod(wanted), key, wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self._cache.forget_leaving(key, wanted.uid)
            if error.reason != _SPENT:
                self.failed(resource, error, "delete")
            elif resource is not None:
                pause = self._refused_evictions.pause(wanted.uid)
                loop = asyncio.get_running_loop()
                loop.call_later(pause, self._cache.doorbell.mark, resource)

        self._submit_pod(key, ("delete", key, wanted.uid), attempt, failed)

    def release(self, wanted: action.ReleasePod, resource: ResourceKey | None = None) -> None:
        """Remove our finalizer from a pod that a written status accounts for."""
        key = wanted.namespace, wanted.name

        async def attempt() -> None:
            await self._patched(requests.release_pod(wanted), key, wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self.failed(resource, error, "release")

        self._submit_pod(key, ("release", key, wanted.uid), attempt, failed)

    def apply(self, resource: Resource, wanted: action.ApplyObject) -> None:
        """Make a child equal to this, unless somebody else has its name."""
        kind, metadata = wanted.body["kind"], wanted.body["metadata"]
        key = metadata["namespace"], metadata["name"]

        async def attempt() -> None:
            uid = await self._owned_uid(kind, key, resource.uid)
            answer = await self.sender.send(requests.apply_object(wanted, uid))
            self.feed(kind, answer)

        def failed(error: errors.ClusterError) -> None:
            self.failed(resource.key, error, "apply")

        digest = (metadata.get("annotations") or {}).get(names.DIGEST, "")
        identity = ("apply", kind, key, resource.uid, digest)
        self.sender.submit(Job((kind, *key), identity, attempt, failed, urgent=True))

    def drop(self, wanted: action.DeleteObject, resource: ResourceKey) -> None:
        """Delete a child."""
        kind, key = wanted.kind, (wanted.namespace, wanted.name)

        async def attempt() -> None:
            # A 409 to a delete: that name is another object's by now.
            with contextlib.suppress(errors.NotFound, errors.Conflict):
                await self.sender.send(requests.delete_object(wanted))
            self._cache.drop(kind, key, wanted.uid)

        def failed(error: errors.ClusterError) -> None:
            self.failed(resource, error, "delete")

        identity = ("delete", kind, key, wanted.uid)
        self.sender.submit(Job((kind, *key), identity, attempt, failed, urgent=True, once=True))

    async def dry_run(self, body: Mapping[str, Any], *, strict: bool) -> pods_.Pod:
        """What the server would store of this pod. Stores nothing, hence any replica may ask.

        A strict one is `Rejected` where a field of the pod is unknown, instead of leaving it out.
        """
        return pods.pod(await self._transport.send(requests.dry_run(body, strict=strict)))

    def write_status(
        self,
        resource: Resource,
        status: Mapping[str, Any],
        events: tuple[action.EmitEvent | action.Notice, ...] = (),
    ) -> None:
        """Make the stored status this one: the first at once, then one an interval, newest wins."""
        self.statuses.write(resource, status, events)

    # ---- what answers mean ----------------------------------------------------------------

    def _submit_pod(
        self,
        key: tuple[str, str],
        identity: tuple[object, ...],
        attempt: Callable[[], Awaitable[None]],
        failed: Callable[[errors.ClusterError], None] | None,
    ) -> None:
        def told(error: errors.ClusterError) -> None:
            _log.info("write failed verb=%s pod=%s/%s error=%s", identity[0], *key, error)

        self.sender.submit(
            Job(_pod(key), identity, attempt, failed or told, urgent=True, once=True)
        )

    async def _created(self, request: Request, planned: pods_.Pod, uid: str) -> pods_.Pod:
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

    async def _evicted(self, wanted: action.DeletePod) -> bool:
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

    async def _look(self, key: tuple[str, str]) -> pods_.Pod | None:
        """The pod as stored now; None when there is none."""
        try:
            return self._fed(await self.sender.send(requests.get("Pod", *key)))
        except errors.NotFound:
            return None

    async def _owned_uid(self, kind: str, key: tuple[str, str], owner_uid: str) -> str:
        """The uid of our child of this name, empty when there is none yet."""
        try:
            answer = await self.sender.send(requests.get(kind, *key))
        except errors.NotFound:
            return ""
        seen = decode.KINDS[kind].decode(msgspec.Raw(answer))
        owned: decode.Owned | None = seen.value
        if owned is None or owned.owner.uid != owner_uid:
            raise errors.Rejected(
                f"a {kind} of this name exists and is not ours: {key[1]}",
                status=409,
                reason="NameTaken",
            )
        if owned.deleting:
            raise errors.Conflict(f"the {kind} is being deleted", status=409)
        return seen.uid

    def _fed(self, answer: bytes) -> pods_.Pod:
        seen = pods.seen(answer)
        self._cache.upsert("Pod", seen)
        pod: pods_.Pod = seen.value
        return pod

    def feed(self, kind: str, answer: bytes) -> None:
        """Take an answer in as news; a Status (the object went at once) tells nothing of it."""
        seen = decode.KINDS[kind].decode(msgspec.Raw(answer))
        if seen.uid and seen.name:
            self._cache.upsert(kind, seen)

    def failed(self, resource: ResourceKey | None, error: errors.ClusterError, what: str) -> None:
        _log.info(
            "write failed verb=%s resource=%s status=%s error=%s",
            what,
            "/".join(resource or ()),
            error.status,
            error,
        )
        if isinstance(error, errors.LeaseLost):
            return
        if isinstance(error, errors.Rejected | errors.NotFound):
            self._reports.refused(resource, error, what)
        elif resource is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(CONFLICT_SECONDS, self._cache.doorbell.mark, resource)


def _is_of(pod: pods_.Pod, uid: str) -> bool:
    """Whether a pod is this owner's."""
    return pod.owner is not None and pod.owner.uid == uid


def _pod(key: tuple[str, str]) -> ResourceKey:
    return "Pod", *key
