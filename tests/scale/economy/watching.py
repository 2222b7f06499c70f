"""When each pod was created, bound and running, and which claims were written, by watches."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from localcluster import Cluster
from tests.scale.e2e import client

_NAME, _VERSION = b'"metadata":{"name":"', b'"resourceVersion":"'
_BOUND, _RUNS, _OVER = b'"nodeName":"', b'"phase":"Running"', b'"phase":"Succeeded"'


@dataclass
class Moments:
    """`time.monotonic()` by name of a pod or claim; `there` are those that exist and are not over.

    A pod that succeeded is over. `gone` are pods that ran and were deleted before they were over.
    `node` is where a pod is or was.
    """

    created: dict[str, float] = field(default_factory=dict)
    bound: dict[str, float] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    node: dict[str, str] = field(default_factory=dict)
    there: set[str] = field(default_factory=set)

    def waits(self) -> list[float]:
        """Seconds from a pod's creation to its binding."""
        return [at - self.created[name] for name, at in self.bound.items()]

    def moves(
        self, since: float, grown: Mapping[str, int], shrunk: Mapping[str, int]
    ) -> list[float]:
        """When running pods moved since then (`time.monotonic()`), one entry for each move.

        `grown` and `shrunk` say by kind how many pods were asked for and given up in that time. Of
        each kind, pods that went beyond the latter have moved, and so have those whose successors
        came beyond the former: whichever are more. So a move counts once, whether the successor
        comes before the pod goes or after. Runs do not count.
        """
        came = [(at, kind_of(name), 1) for name, at in self.created.items() if not is_run(name)]
        went = [(at, kind_of(name), -1) for name, at in self.gone.items() if not is_run(name)]
        beyond = {1: Counter[str](), -1: Counter[str]()}
        beyond[1].subtract(grown)
        beyond[-1].subtract(shrunk)
        moments: list[float] = []
        moved: Counter[str] = Counter()
        for at, kind, way in sorted(one for one in (*came, *went) if one[0] >= since):
            beyond[way][kind] += 1
            if beyond[way][kind] > moved[kind]:
                moved[kind] += 1
                moments.append(at)
        return moments


def kind_of(pod: str) -> str:
    """The kind of a pod by its name."""
    return pod.partition("-")[0]


def is_run(pod: str) -> bool:
    """Whether a pod of this name is a run."""
    return "-run-" in pod


class Watch:
    """Follows a collection from now on. Lines are searched, not decoded: it must cost little."""

    def __init__(self, local: Cluster, server: client.Server, path: str) -> None:
        self._local, self._server, self._path = local, server, path
        self.moments = Moments()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        listed = await asyncio.to_thread(self._local.request, "GET", self._path)
        assert not listed["items"], f"{self._path} is not empty"
        self._task = asyncio.create_task(self._follow(listed["metadata"]["resourceVersion"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def until(self, met: Callable[[Moments], bool], within: float) -> bool:
        """Wait until something is true of what was seen; False when the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not met(self.moments):
                    if self._task is not None and self._task.done():
                        self._task.result()
                    self._changed.clear()
                    await self._changed.wait()
        return met(self.moments)

    async def _follow(self, version: str) -> None:
        """A server under load closes watches that do not keep up: go on where it stopped."""
        try:
            while True:
                async for line in self._server.events(self._path, version):
                    version = self._take(line) or version
        finally:
            self._changed.set()

    def _take(self, line: bytes) -> str:
        """Note an event; its version, "" if it has none."""
        if line.startswith(b'{"type":"ERROR"'):
            raise client.RefusedError(line[:300].decode())
        name, seen = _text(line, _NAME), self.moments
        if not name:  # custom resources have other fields before it
            name = json.loads(line)["object"]["metadata"].get("name", "")
        if not name:
            return ""
        now = time.monotonic()
        if line.startswith(b'{"type":"DELETED"') or _OVER in line:
            if name in seen.there and name in seen.running and _OVER not in line:
                seen.gone.setdefault(name, now)
            seen.there.discard(name)
        else:
            seen.there.add(name)
            seen.created.setdefault(name, now)
            if _BOUND in line and name not in seen.bound:
                seen.bound[name] = now
                seen.node[name] = _text(line, _BOUND)
            if _RUNS in line:
                seen.running.setdefault(name, now)
        self._changed.set()
        return _text(line, _VERSION)


def _text(line: bytes, key: bytes) -> str:
    start = line.find(key)
    if start < 0:
        return ""
    start += len(key)
    return line[start : line.index(b'"', start)].decode()
