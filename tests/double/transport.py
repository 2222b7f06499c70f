"""A scripted transport: says what it was told to say, in that order, and records what was asked.

Bytes in, bytes out: status codes become errors by the same function as in the real transport.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from bayplan.cluster import errors
from bayplan.cluster.transport import Request


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; `after` seconds late; `retry_after` as the header."""

    body: bytes = b"{}"
    status: int = 200
    after: float = 0.0
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The connection breaks (`after` seconds), or the request times out (None)."""

    after: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """A stream says nothing for this long; for ever by default."""

    seconds: float = 1e9


@dataclass(frozen=True, slots=True)
class Break:
    """A stream breaks off: the connection is reset."""


Reply = Answer | NoAnswer | Callable[[Request], "Answer | NoAnswer"]
Part = bytes | Pause | Break | Answer


@dataclass(slots=True)
class Double:
    """Replies by verb and kind, each in order; the last one is repeated."""

    seen: list[Request] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    closed: bool = False
    _replies: dict[tuple[str, str], deque[Reply]] = field(default_factory=dict)
    _streams: deque[tuple[Part, ...]] = field(default_factory=deque)

    def reply(self, verb: str, kind: str, *replies: Reply) -> None:
        self._replies[verb, kind] = deque(replies)

    def streams(self, *streams: tuple[Part, ...]) -> None:
        """What each watch shows; behind the last one there is silence."""
        self._streams.extend(streams)

    def asked(self, verb: str) -> list[Request]:
        return [request for request in self.seen if request.verb == verb]

    async def send(self, request: Request) -> bytes:
        self._note(request)
        replies = self._replies.get((request.verb, request.kind))
        if not replies:
            raise AssertionError(f"unexpected {request.verb} {request.kind} {request.path}")
        reply = replies.popleft() if len(replies) > 1 else replies[0]
        if callable(reply):
            reply = reply(request)
        return await _answered(reply, request.timeout_seconds)

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        self._note(request)
        parts = self._streams.popleft() if self._streams else (Pause(),)
        for part in parts:
            match part:
                case bytes():
                    yield part
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Break():
                    raise errors.Unavailable("connection reset")
                case _:
                    yield await _answered(part, request.timeout_seconds)

    async def close(self) -> None:
        self.closed = True

    def _note(self, request: Request) -> None:
        self.seen.append(request)
        self.times.append(asyncio.get_running_loop().time())


async def _answered(reply: Answer | NoAnswer, timeout_seconds: float) -> bytes:
    late = timeout_seconds if reply.after is None else reply.after
    await asyncio.sleep(min(late, timeout_seconds))
    if isinstance(reply, NoAnswer) or late > timeout_seconds:
        raise errors.Unavailable("no answer")
    if reply.status >= 400:
        raise errors.of(reply.status, reply.body, reply.retry_after)
    return reply.body
