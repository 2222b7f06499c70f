"""How every write leaves, and what its answer means, for objects of every kind.

A write that the server refuses is reported to `Reports`, and waits in `cache.refusals` until it may
be tried again. Answers go into the cache like watch events. Queues, retries and pace are in
`sender`.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from bayplan import logs
from bayplan.api.resource import Key as ResourceKey
from bayplan.api.resource import Resource
from bayplan.cluster import decode, errors
from bayplan.cluster.cache import Cache
from bayplan.cluster.events import Events, of_resource
from bayplan.cluster.refusals import Write
from bayplan.cluster.sender import Job, Sender
from bayplan.cluster.transport import Request
from bayplan.model import intents
from bayplan.model.pods import Pod


class Reports(Protocol):
    """Hears the results of writes, on the loop. Metrics and conditions are made of them."""

    def created(self, key: ResourceKey, planned: Pod, stored: Pod) -> None:
        """A CREATE has succeeded: compare what is stored with what was planned."""
        ...

    def refused(self, write: Write, error: errors.ClusterError) -> None:
        """The server refuses this write."""
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


@dataclass(frozen=True, slots=True)
class Writes:
    """What writes of pods, statuses and other objects have in common."""

    sender: Sender
    events: Events
    cache: Cache
    reports: Reports

    async def send(self, request: Request) -> bytes:
        """Send one request now, if we still may write."""
        return await self.sender.send(request)

    def submit(self, write: Write, job: Job) -> bool:
        """Send it, unless one of its sort is refused by then; False: it is on its way already."""
        attempt, refusals = job.attempt, self.cache.refusals

        async def guarded() -> None:
            if refusals.stopped(write):
                raise errors.Held("its like was refused a moment ago", reason="Held")
            await attempt()
            refusals.accepted(write)

        job.attempt = guarded
        return self.sender.submit(job)

    def feed(self, kind: str, answer: bytes) -> None:
        """Take an answer in as news; a Status (the object went at once) brings no news."""
        seen = decode.kind_of(kind).decode(msgspec.Raw(answer))
        if seen.uid and seen.name:
            self.cache.upsert(kind, seen)

    def emit(
        self, resource: Resource, events: Iterable[intents.EmitEvent | intents.Notice]
    ) -> None:
        """Write these Events, and send these notices to their receivers."""
        for event in events:
            if isinstance(event, intents.Notice):
                self.reports.notify(resource, event)
            else:
                self.events.emit(of_resource(resource), event)

    def failed(self, write: Write, error: errors.ClusterError, name: str = "") -> None:
        """It is tried again later: if the server refused it, it is held until then, and reported.

        After a conflict the write is not held, because newer news decides anew. `name` is the
        object's name if the write stands for many objects.
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
        refusals = self.cache.refusals
        if isinstance(error, errors.Rejected | errors.NotFound):
            told = refusals.stopped(write)  # others of its sort were under way with it
            refusals.refused(write, error, name)
            if not told:
                self.reports.refused(write, error)
        else:
            refusals.later(write, error, holds=write.verb not in {"create", "status"}, name=name)
