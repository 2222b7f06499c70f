"""List, compare, watch: one informer keeps the cache equal to the server's objects of one kind.

The informer carries news and decides nothing. It resumes a stream that ends where the stream
stopped. Anything odd (410, an ERROR of any code, silence, half a line, a line that is no JSON)
leads to a new list, and a list also shows which objects have gone unseen. Sights may be doubled or
late: the cache takes the newest.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from msgspec import Raw

from bayplan import logs
from bayplan.api import kinds
from bayplan.cluster import decode, errors, lists, requests, wire
from bayplan.cluster.decode import Kind
from bayplan.cluster.transport import Transport
from bayplan.cluster.wire import DecodeError, Seen
from bayplan.model.backoff import delay_after

CHUNK = 500  # objects in one list request
_BREATH = 50  # objects; a new custom resource takes 150 µs
WATCH_SECONDS = 290  # the server ends a watch after this; below the limits of proxies
# Bookmarks come every minute (kube-apiserver, bookmarkFrequency): longer silence is a dead stream.
SILENCE_SECONDS = 90
MOST_OLDER_LISTS = 8  # with the back-off: about a minute
_EARLY_SECONDS = 60  # a watch that ends sooner did not run its full time
_FIRST_BACKOFF_MILLISECONDS = 500
_LONGEST_BACKOFF_MILLISECONDS = 30_000


class Sink(Protocol):
    """Receives the news; see `Cache`."""

    def knows(self, kind: str, key: tuple[str, str], version: int) -> bool: ...
    def upsert(self, kind: str, seen: Seen) -> bool: ...
    def delete(self, kind: str, key: tuple[str, str], uid: str, version: int) -> bool: ...
    def retain(self, kind: str, listed: Collection[tuple[str, str]], version: int) -> int: ...
    def sync(self, kind: str) -> None: ...


class OlderError(Exception):
    """A list shows a moment older than what has been seen."""


class _Relist(Exception):  # noqa: N818  a turn of the protocol, not an error
    """The stream cannot be trusted or resumed; `cause` is a word for the metric."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(slots=True, eq=False)
class Informer:
    """`jitter` gives 0 … 1; `restarted` counts by kind and cause, `unreadable` objects by kind."""

    kind: Kind
    transport: Transport
    sink: Sink
    jitter: Callable[[], float]
    restarted: Callable[[str, str], None]
    unreadable: Callable[[str, int], None] = lambda _kind, _count: None
    silence_seconds: float = SILENCE_SECONDS
    namespace: str = ""  # empty: all
    _version: str = field(default="", init=False)
    _newest: int = field(default=0, init=False)
    _older: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)

    async def run(self) -> NoReturn:
        """Keep the sink equal to the server until cancelled."""
        while True:
            try:
                if not self._version:
                    self._version = await self._relist()
                await self._watch()
            except _Relist as turn:
                self._version = ""
                await self._pause(turn.cause)
            except errors.Gone:
                self._version = ""
                await self._pause("gone")
            except errors.ClusterError as error:
                # A resumed watch shows what was missed; a list that failed starts again.
                await self._pause(_cause(error), error)

    async def _relist(self) -> str:
        """List anew. A list older than what was seen is no news: the cache would refuse it.

        Lists are consistent. A list that stays older therefore means that the store itself has gone
        back (a restored backup). Then nothing known here is valid and the process has to end.
        """
        try:
            version = await relist(
                self.kind,
                self.transport,
                self.sink,
                self.unreadable,
                self._newest,
                namespace=self.namespace,
            )
        except OlderError:
            self._older += 1
            if self._older >= MOST_OLDER_LISTS:
                raise
            raise _Relist("older") from None
        self._older = 0
        self._newest = max(self._newest, wire.version_of(version))
        return version

    async def _pause(self, cause: str, error: errors.ClusterError | None = None) -> None:
        """Wait; each wait is a little longer if nothing has come since the last failure."""
        self.restarted(self.kind.name, cause)
        # For a quiet kind the server may say nothing for longer than we listen: that is no fault.
        level = logging.DEBUG if cause == "silence" else logging.INFO
        if not isinstance(error, errors.Unavailable | None):
            level = logging.WARNING
        logs.say(level, "watch restarts", kind=self.kind.name, cause=cause, error=error)
        self._failures += 1
        longest = delay_after(
            self._failures, _FIRST_BACKOFF_MILLISECONDS, _LONGEST_BACKOFF_MILLISECONDS
        )
        await asyncio.sleep(longest / 1000 * (0.5 + 0.5 * self.jitter()))

    async def _watch(self) -> None:
        """Follow one stream to its end; a stream that ends cleanly is resumed at once."""
        seconds = int(WATCH_SECONDS * (0.8 + 0.2 * self.jitter()))
        request = requests.watch(
            self.kind.name,
            self._version,
            self.namespace,
            seconds=seconds,
            partial=self.kind.partial,
            fields=self.kind.fields,
        )
        started, heard = asyncio.get_running_loop().time(), False
        async for line in lines(self.transport.stream(request), self.silence_seconds):
            self._take(line)
            heard = True
            self._failures = 0
        if asyncio.get_running_loop().time() - started < _EARLY_SECONDS:
            # A server under load closes watches that are too slow, and expects them to come again.
            self.restarted(self.kind.name, "closed")
            if not heard:
                raise errors.Unavailable("the watch ended at once")

    def _take(self, line: bytes) -> None:
        """Take in one event."""
        try:
            event = lists.event(line)
            if event.type == "ERROR":
                error = errors.of_event(bytes(event.object))
                raise _Relist("gone" if isinstance(error, errors.Gone) else "error")
            if event.type == "BOOKMARK":
                self._advance(lists.version(event.object))
                return
        except DecodeError as error:
            raise _Relist("unreadable") from error
        if event.type != "DELETED" and self._known(event.object):
            return
        try:
            seen = self.kind.decode(event.object)
            if event.type == "DELETED":
                self.sink.delete(self.kind.name, seen.key, seen.uid, seen.version)
            else:
                self.sink.upsert(self.kind.name, seen)
        except Exception as error:  # noqa: BLE001  whoever may create an object may find a defect
            # The object is odd: leave it out, and go on with the stream.
            self.unreadable(self.kind.name, 1)
            logs.say(logging.WARNING, "unreadable", kind=self.kind.name, error=repr(error))
            return
        self._advance(str(seen.version))

    def _known(self, raw: Raw) -> bool:
        """Whether the sink would refuse it as old: echoes of our own writes are not decoded."""
        found = lists.named(self.kind, raw)
        if found is None or not self.sink.knows(self.kind.name, *found):
            return False
        self._advance(str(found[1]))
        return True

    def _advance(self, version: str) -> None:
        """Move forward only: a doubled or reordered line must not move the next watch back."""
        number = wire.version_of(version)
        if number > wire.version_of(self._version):
            self._version = version
            self._newest = max(self._newest, number)


async def relist(
    kind: Kind,
    transport: Transport,
    sink: Sink,
    unreadable: Callable[[str, int], None] = lambda _kind, _count: None,
    newest: int = 0,
    *,
    namespace: str = "",
) -> str:
    """Make the sink equal to the server's list; return the resourceVersion to watch from.

    `newest` is a version seen before the list was asked for.

    Chunks are taken in as they come. Objects that are in no chunk leave at the end. An expired
    continue token is a `Gone`: the caller then begins the list again.
    """
    listed: set[tuple[str, str]] = set()
    whole = True
    async for chunk in _taken_in(kind, transport, sink, unreadable, namespace=namespace):
        listed.update(seen.key for seen in chunk.seen)
        listed.update(chunk.unreadable)
        if chunk.unreadable or not chunk.whole:
            unreadable(kind.name, len(chunk.unreadable) + (not chunk.whole))
        whole = whole and chunk.whole
    version = wire.version_of(chunk.version)
    if version < newest:
        raise OlderError(f"list of {kind.name} at {chunk.version}, seen {newest}")
    if whole:  # otherwise an object without a readable name may be any known object
        sink.retain(kind.name, listed, version)
    sink.sync(kind.name)
    return chunk.version


async def _taken_in(
    kind: Kind,
    transport: Transport,
    sink: Sink,
    unreadable: Callable[[str, int], None] = lambda _kind, _count: None,
    *,
    namespace: str = "",
    selector: str = "",
) -> AsyncIterator[lists.Chunk]:
    """The chunks of a list, each after the sink has taken it in."""
    token = ""
    while True:
        request = requests.list_chunk(
            kind.name,
            namespace,
            limit=CHUNK,
            token=token,
            partial=kind.partial,
            selector=selector,
            fields=kind.fields,
        )
        body = await transport.send(request)
        try:
            chunk = lists.chunk(kind, body)
        except DecodeError as error:
            raise errors.Unavailable(str(error)) from error
        for number, seen in enumerate(chunk.seen, start=1):
            try:
                sink.upsert(kind.name, seen)
            except Exception as error:  # noqa: BLE001  as in a watch
                unreadable(kind.name, 1)
                logs.say(logging.WARNING, "unreadable", kind=kind.name, error=repr(error))
            if number % _BREATH == 0:
                await asyncio.sleep(0)  # give other tasks their turn
        yield chunk
        token = chunk.token
        if not token:
            return


async def look_anew(transport: Transport, sink: Sink, namespace: str = "") -> None:
    """See the custom kinds and their pods as they are stored now, whatever the watches said.

    Pods that have gone meanwhile are not noticed; their own watch will show that.
    """
    for label in (kind.label for kind in kinds.KINDS):
        async for _ in _taken_in(
            decode.KINDS["Pod"], transport, sink, namespace=namespace, selector=label
        ):
            pass
    await relist_resources(transport, sink, namespace)


async def look_anew_at_pools(transport: Transport, sink: Sink, namespace: str = "") -> None:
    """See Pools and NodeClaims as they are stored now: what a predecessor bought is among them.

    A kind that is not served, or may not be listed, is left out: without it nothing is bought.
    """
    del namespace  # they belong to the cluster
    for name in ("Pool", "NodeClaim"):
        with contextlib.suppress(errors.NotFound, errors.Rejected):
            await relist(decode.kind_of(name), transport, sink)


async def relist_resources(transport: Transport, sink: Sink, namespace: str = "") -> None:
    """Make the custom kinds equal to the server's lists."""
    for name in kinds.NAMES:
        await relist(decode.KINDS[name], transport, sink, namespace=namespace)


def scope(kind: Kind, served: str) -> str:
    """The namespace in which to look for a kind if `served` is served; empty: everywhere.

    Kinds that take room on a node are looked for everywhere, because anybody may have put them
    there.
    """
    return served if kind.namespaced and kind.name not in _TAKE_ROOM else ""


_TAKE_ROOM = {"Pod", "DaemonSet", "PersistentVolumeClaim"}  # claims: a node's attach limit


# What an informer watches. The custom kinds are delivered by kopf and listed from time to time.
KINDS = tuple(kind for name, kind in decode.KINDS.items() if name not in kinds.BY_NAME)


async def lines(chunks: AsyncIterator[bytes], silence_seconds: float) -> AsyncIterator[bytes]:
    """Whole lines of any length; silence and half a line at the end lead to a new list."""
    held: list[bytes] = []  # parts of a line that has not ended yet
    source = chunks.__aiter__()
    try:
        while True:
            try:
                async with asyncio.timeout(silence_seconds):
                    chunk = await anext(source)
            except StopAsyncIteration:
                break
            except TimeoutError:
                raise _Relist("silence") from None
            *whole, rest = chunk.split(b"\n")
            if whole:
                held.append(whole[0])
                whole[0] = b"".join(held)
                held.clear()
            for line in whole:
                if line:
                    yield line
            if rest:
                held.append(rest)
    finally:
        await _close(source)
    if held:
        raise _Relist("truncated")


async def _close(source: AsyncIterator[bytes]) -> None:
    """Give the connection back now, not when the garbage collector runs."""
    close = getattr(source, "aclose", None)
    if close is not None:
        await close()


def _cause(error: errors.ClusterError) -> str:
    return f"http-{error.status}" if error.status else "no-answer"
