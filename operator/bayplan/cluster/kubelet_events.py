"""Asks for Events of kubelets on pods that do not become ready and whose status says nothing.

Events are not watched: a large cluster has more of them than pods. They are asked for one pod at a
time, at a bounded pace, and less and less often for a pod that stays as it is. To find the Events
of one pod the API server reads all of its namespace, so a namespace rests after each answer for a
multiple of the time that the answer took.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NoReturn

import msgspec

from bayplan import logs
from bayplan.cluster import errors, requests
from bayplan.cluster.cache import Cache
from bayplan.cluster.silent_pods import HARMLESS, Silent, Words
from bayplan.cluster.transport import Transport
from bayplan.cluster.wire import Struct
from bayplan.model import kubelet_words

LOOK_SECONDS = 1.0
MOST_AT_ONCE = 4
REFUSED_SECONDS = 300.0  # no question for this long after the API server has refused to list
REST_FACTOR = 50  # so questions take at most a fiftieth of the API server's time for a namespace
_MOST_EVENTS = 50
# What a kubelet does only when the pod has its volumes and its sandbox.
_LATER = frozenset({"Created", "Pulled", "Pulling", "Started"})
_VAGUE = "Unable to attach or mount volumes"  # said beside what hinders one volume


class _Regarding(Struct):
    field_path: str | None = None


class _Series(Struct):
    last_observed_time: str | None = None


class _Event(Struct):
    reason: str | None = None
    note: str | None = None
    type: str | None = None
    event_time: str | None = None
    deprecated_last_timestamp: str | None = None
    series: _Series | None = None
    regarding: _Regarding | None = None


class _Events(Struct):
    items: list[_Event] | None = None


@dataclass(slots=True, eq=False)
class KubeletEvents:
    """`leads` says whether this process decides: a standby asks nothing."""

    transport: Transport
    cache: Cache
    leads: Callable[[], bool]
    _not_before: float = 0.0
    _rests: dict[str, float] = field(default_factory=dict)  # namespace -> until when

    async def run(self) -> NoReturn:
        """Ask for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self.leads():
                await self.look()

    async def look(self) -> None:
        """Ask about some of the pods that are due."""
        now = asyncio.get_running_loop().time()
        if now < self._not_before:
            return
        self._rests = {namespace: until for namespace, until in self._rests.items() if until > now}
        for one in tuple(self.cache.silent_pods.due(now, MOST_AT_ONCE, self._rests)):
            if one.pod.namespace in self._rests:
                continue  # an answer of this round took long
            try:
                words = await self._timed(one)
            except errors.ClusterError as error:
                logs.say(logging.INFO, "events not read", pod="/".join(one.pod.key), error=error)
                if isinstance(error, errors.Rejected):
                    self._not_before = now + REFUSED_SECONDS
                return
            self.cache.hear(one, words)

    async def _timed(self, one: Silent) -> Words | None:
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            return await self._ask(one)
        finally:
            rest = min(REST_FACTOR * (clock() - began), REFUSED_SECONDS)
            if rest > LOOK_SECONDS:
                self._rests[one.pod.namespace] = clock() + rest

    async def _ask(self, one: Silent) -> Words | None:
        request = requests.list_chunk(
            "Event",
            one.pod.namespace,
            limit=_MOST_EVENTS,
            fields=f"regarding.uid={one.pod.uid}",
        )
        return newest(await self.transport.send(request), ended=one.pod.terminal)


def newest(body: bytes, *, ended: bool = False) -> Words | None:
    """What was said last in a list of Events, if it is a reason why the pod is not ready.

    `ended`: or why its kubelet has ended a container, for which no readiness probe is a reason.

    Many a volume fails once and is there a moment later: it does not count once an image is pulled.
    """
    try:
        found = msgspec.json.decode(body, type=_Events).items or ()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        logs.say(logging.INFO, "events not read", error=error)
        return None
    later_at = max((_time(one) for one in found if one.reason in _LATER), default="")
    running = [
        one
        for one in found
        if one.reason in kubelet_words.OF_RUNNING
        and not (ended and (one.note or "").startswith(HARMLESS))
    ]
    starting = [one for one in found if one.reason in kubelet_words.OF_STARTING]
    return _last([*running, *(one for one in starting if _time(one) > later_at)])


def _last(found: Iterable[_Event]) -> Words | None:
    last = max(
        found, key=lambda one: (not (one.note or "").startswith(_VAGUE), _time(one)), default=None
    )
    if last is None:
        return None
    note = " ".join((last.note or "").split())
    path = last.regarding.field_path or "" if last.regarding is not None else ""
    _, brace, name = path.partition("{")
    where = f"container {name.rstrip('}')}: " if brace else ""
    return Words(last.reason or "", f"{where}{note}")


def _time(event: _Event) -> str:
    """When it was said last; texts of the same format, so that their order is that of the times."""
    last = event.series.last_observed_time if event.series is not None else None
    return last or event.deprecated_last_timestamp or event.event_time or ""
