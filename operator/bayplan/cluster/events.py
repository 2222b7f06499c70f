"""Events for people: accumulated, bounded, and dropped rather than waited for.

If the same thing is said again of the same object, the stored Event is counted up, at most once a
minute. An Event explains a decision. The status records the decision, so a lost Event loses
nothing.
"""

import asyncio
import hashlib
import logging
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn

from bayplan import logs
from bayplan.api import names
from bayplan.api.pool_resource import PoolResource
from bayplan.api.resource import Resource
from bayplan.cluster import errors, requests
from bayplan.cluster.transport import Request, Transport
from bayplan.model import intents
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod

COUNT_SECONDS = 60.0  # a stored Event is counted up at most this often
FORGET_SECONDS = 600.0  # if said again after this long, it is a new Event
PER_SECOND = 10.0
BURST = 50
_MOST_KNOWN = 10_000
_MOST_WAITING = 1_000
_MOST_NORMAL = 100  # of these, while only warnings may be added
_LONGEST_NOTE = 1024  # characters (events.k8s.io/v1 validation)
_OF_THE_CLUSTER = "default"  # where Events about cluster-wide objects must be
_NUMBERS = re.compile(r"[0-9]+")

_Class = tuple[str, str, str]  # uid, reason, message without its numbers


@dataclass(slots=True, eq=False)
class _Known:
    namespace: str
    name: str
    count: int
    written_at: float


@dataclass(frozen=True, slots=True)
class Regarding:
    """The object that an Event is about; a cluster-wide object has no namespace."""

    kind: str
    name: str
    uid: str
    namespace: str = ""
    api_version: str = names.API_VERSION


def of_resource(resource: Resource) -> Regarding:
    """A BatchJob or a LongService."""
    return Regarding(resource.kind, resource.name, resource.uid, resource.namespace)


def of_pod(pod: Pod) -> Regarding:
    return Regarding("Pod", pod.name, pod.uid, pod.namespace, api_version="v1")


def of_pool(pool: PoolResource) -> Regarding:
    return Regarding(names.POOL_KIND, pool.name, pool.uid)


def of_node(node: Node) -> Regarding:
    return Regarding("Node", node.name, node.uid, api_version="v1")


@dataclass(slots=True, eq=False)
class Events:
    """`instance` names this process; `now` is epoch seconds, with fractions."""

    transport: Transport
    may_write: Callable[[], bool]
    now: Callable[[], float]
    instance: str
    counted: Callable[[str, str, str], None]  # verb, kind, code
    _known: OrderedDict[_Class, _Known] = field(default_factory=OrderedDict)
    _waiting: asyncio.Queue[Request] = field(
        default_factory=lambda: asyncio.Queue(maxsize=_MOST_WAITING)
    )
    _tokens: float = BURST
    _filled_at: float = 0.0

    @property
    def remembered(self) -> int:
        """The number of different Events that would be counted up if they were said again."""
        return len(self._known)

    @property
    def waiting(self) -> int:
        """The number of requests that are not sent yet."""
        return self._waiting.qsize()

    def emit(self, about: Regarding, event: intents.EmitEvent, subject: str = "") -> None:
        """Say the Event, or count it up; returns at once.

        Messages that differ in their numbers alone are the same Event, but for another `subject`.
        """
        now = asyncio.get_running_loop().time()
        at = (about.uid, event.reason, f"{subject}{_NUMBERS.sub('0', event.message)}")
        known = self._known.get(at)
        if known is not None and now - known.written_at < FORGET_SECONDS:
            known.count += 1
            self._known.move_to_end(at)
            if now - known.written_at >= COUNT_SECONDS:
                known.written_at = now
                again = requests.count_event(
                    known.namespace, known.name, known.count, micro_time(self.now())
                )
                self._put(again, warning=event.warning)
            return
        body = self._body(about, event, at)
        metadata = body["metadata"]
        self._known[at] = _Known(metadata["namespace"], metadata["name"], 1, now)
        self._known.move_to_end(at)
        self._forget(now)
        self._put(requests.create_event(body), warning=event.warning)

    def _forget(self, now: float) -> None:
        """Drop what would be a new Event anyway; start with the Event that was said longest ago."""
        while self._known:
            oldest = next(iter(self._known.values()))
            if len(self._known) <= _MOST_KNOWN and now - oldest.written_at < FORGET_SECONDS:
                return
            self._known.popitem(last=False)

    async def run(self) -> NoReturn:
        """Write the Events that were said, at a bounded pace."""
        while True:
            request = await self._waiting.get()
            await self._pace()
            if not self.may_write():
                continue
            try:
                await self.transport.send(request)
            except errors.ClusterError as error:
                self.counted(request.verb, request.kind, str(error.status or "none"))
                logs.say(logging.INFO, "event dropped", path=request.path, error=error)
            else:
                self.counted(request.verb, request.kind, "2xx")

    async def _pace(self) -> None:
        """Wait for a token of a bucket: it holds BURST tokens and gains PER_SECOND."""
        loop = asyncio.get_running_loop()
        filled = self._tokens + (loop.time() - self._filled_at) * PER_SECOND
        self._filled_at = loop.time()
        self._tokens = min(filled, BURST) - 1
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / PER_SECOND)

    def _put(self, request: Request, *, warning: bool) -> None:
        """Have it sent in its turn. Warnings find room where starts and successes do not."""
        if self.waiting < (_MOST_WAITING if warning else _MOST_NORMAL):
            self._waiting.put_nowait(request)
        else:
            self.counted(request.verb, request.kind, "dropped")

    def _body(self, about: Regarding, event: intents.EmitEvent, at: _Class) -> dict[str, Any]:
        said_at = micro_time(self.now())
        digest = hashlib.sha256("\0".join((*at, said_at)).encode()).hexdigest()[:16]
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "namespace": about.namespace or _OF_THE_CLUSTER,
                "name": f"{about.name[:200]}.{digest}",
            },
            "eventTime": said_at,
            "reportingController": names.GROUP,
            "reportingInstance": self.instance,
            "action": event.reason,
            "reason": event.reason,
            "regarding": {
                "apiVersion": about.api_version,
                "kind": about.kind,
                **({"namespace": about.namespace} if about.namespace else {}),
                "name": about.name,
                "uid": about.uid,
            },
            "note": event.message[:_LONGEST_NOTE],
            "type": "Warning" if event.warning else "Normal",
        }


def micro_time(epoch: float) -> str:
    """UTC text with microseconds, in the format of Kubernetes' MicroTime; `epoch` is in seconds."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
