"""A client that costs little: many creates at once, and when each pod got its node.

The benches share two cores with what they measure. Requests are rendered before the clock starts,
answers are looked at for their status alone, and events are searched for names, never decoded.
"""

import asyncio
import json
import re
import ssl
import time
import urllib.parse
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, Self

from localcluster import Cluster

CONNECTIONS = 96  # twice Bayplan's writes in flight
_SERVED = re.compile(rb"^HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
_NAMED = b'"metadata":{"name":"'
_VERSION = b'"resourceVersion":"'
_PLACED = b'"nodeName":"'


class RefusedError(RuntimeError):
    """The API server answered with an error; a bench cannot go on."""


class Server:
    """The API server of a local cluster, as its administrator."""

    def __init__(self, cluster: Cluster) -> None:
        split = urllib.parse.urlsplit(cluster.server)
        self._host, self._port = split.hostname or "", split.port or 443
        self._tls = ssl.create_default_context(cafile=cluster.ca)
        pki = cluster.directory / "pki"
        self._tls.load_cert_chain(pki / "admin.crt", pki / "admin.key")

    def rendered(self, method: str, path: str, body: Any = None, kind: str = "json") -> bytes:
        """One request as the bytes that go out."""
        data = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: application/json\r\n"
            f"Content-Type: application/{kind}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        return head.encode() + data

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=2**24)

    async def send(
        self,
        requests: Iterable[bytes],
        connections: int = CONNECTIONS,
        *,
        fine: frozenset[int] = frozenset(),
    ) -> int:
        """Send all of them, so many at once; returns how many. A refusal not `fine` is raised."""
        source, sent = iter(requests), 0

        async def work() -> None:
            nonlocal sent
            reader, writer = await self.connect()
            for request in source:
                writer.write(request)
                status, body = await _answer(reader)
                if status >= 400 and status not in fine:
                    raise RefusedError(f"{status}: {body[:500]!r}")
                sent += 1
            writer.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(work())
        return sent

    async def clear(self, collection: str, names: Iterable[bytes]) -> None:
        """Delete objects at once; some may be gone already."""
        body = {"gracePeriodSeconds": 0}
        deletes = [self.rendered("DELETE", f"{collection}/{one.decode()}", body) for one in names]
        await self.send(deletes, fine=frozenset({404}))

    async def events(self, path: str, version: str) -> AsyncIterator[bytes]:
        """The lines of a watch from this version on."""
        reader, writer = await self.connect()
        query = f"{path}?watch=1&resourceVersion={version}&timeoutSeconds=3600"
        writer.write(self.rendered("GET", query))
        await reader.readuntil(b"\r\n\r\n")
        held = b""
        try:
            while size := int(await reader.readline() or b"0", 16):
                held += await reader.readexactly(size)
                await reader.readexactly(2)
                *lines, held = held.split(b"\n")
                for line in lines:
                    yield line
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    found = _SERVED.match(head)
    status = int(found.group(1)) if found else 599
    length = _LENGTH.search(head)
    if length is not None:
        return status, await reader.readexactly(int(length.group(1)))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return status, body


class Watcher:
    """When each pod of a namespace was first seen with a node, and which are there."""

    def __init__(self, server: Server, path: str) -> None:
        self._server, self._path = server, path
        self.there: set[bytes] = set()
        self.seen: dict[bytes, float] = {}  # name -> time.time()
        self.placed: dict[bytes, float] = {}  # name -> time.monotonic()
        self.resumed = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self, version: str) -> Self:
        """Watch from a version at which the namespace had no pods."""
        self._task = asyncio.create_task(self._follow(version))
        return self

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, met: Callable[["Watcher"], bool], within: float) -> None:
        """Wait until something is true of what was seen; raises TimeoutError."""
        async with asyncio.timeout(within):
            while not met(self):
                if self._task is not None and self._task.done():
                    self._task.result()
                self._changed.clear()
                await self._changed.wait()

    async def _follow(self, version: str) -> None:
        """A server under load closes watches that do not keep up: go on where it stopped."""
        try:
            while True:
                async for line in self._server.events(self._path, version):
                    self._take(line)
                    start = line.find(_VERSION) + len(_VERSION)
                    version = line[start : line.index(b'"', start)].decode()
                self.resumed += 1
        finally:
            self._changed.set()

    def _take(self, line: bytes) -> None:
        start = line.find(_NAMED)
        if start < 0:
            if b'"type":"ERROR"' in line[:40]:
                raise RefusedError(line[:300].decode())
            return
        start += len(_NAMED)
        name = line[start : line.index(b'"', start)]
        if line.startswith(b'{"type":"DELETED"'):
            self.there.discard(name)
        else:
            self.there.add(name)
            self.seen.setdefault(name, time.time())
            if name not in self.placed and _PLACED in line:
                self.placed[name] = time.monotonic()
        self._changed.set()


def rate(moments: Sequence[float], began: float) -> float:
    """Pods a second from the first request to the last placement."""
    return len(moments) / (max(moments) - began)


def percentile(values: Iterable[float], part: float) -> float:
    """The value that `part` (0 … 1) of them do not exceed; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def bucketed(before: str, after: str, name: str, part: float) -> float:
    """A percentile of what a histogram gained, between bucket bounds by straight lines."""
    gained: list[tuple[float, float]] = []  # bound, how many up to it
    for line in after.splitlines():
        if line.startswith(f'{name}_bucket{{le="'):
            text = line.split('"')[1]
            more = float(line.rpartition(" ")[2]) - metric(before, f"{name}_bucket", le=text)
            gained.append((float(text), more))
    wanted, lower, below = part * gained[-1][1], 0.0, 0.0
    for bound, count in gained:
        if count >= wanted:
            return lower + (bound - lower) * (wanted - below) / max(count - below, 1.0)
        lower, below = bound, count
    return lower


def metric(page: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    total = 0.0
    for line in page.splitlines():
        if line.startswith((f"{name} ", f"{name}{{")) and all(
            f'{key}="{value}"' in line for key, value in labels.items()
        ):
            total += float(line.rpartition(" ")[2])
    return total
