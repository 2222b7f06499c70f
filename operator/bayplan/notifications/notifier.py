"""Sends notices about runs to receivers: signed JSON over HTTP, with retries and limits.

Nothing waits for it: a notice is put into its receiver's queue, or dropped and counted. Each
receiver has its own queue and worker, so that a slow receiver does not delay the others. Notices
that are queued when the process ends are lost; the lasting record is the status of the job.
"""

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Any

import aiohttp

from bayplan import __version__, logs
from bayplan.api.resource import Resource
from bayplan.model import intents
from bayplan.model.backoff import delay_after
from bayplan.notifications import receivers

SIGNATURE = "Bayplan-Signature"
TIMESTAMP = "Bayplan-Timestamp"

MOST_WAITING = 100  # notices for one receiver
MOST_ATTEMPTS = 8  # the last attempt is two minutes after the first
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1, 64
ANSWER_SECONDS = 10.0
_LONGEST_ANSWER = 64 * 1024  # bytes of an answer that are read

_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})

Counted = Callable[[str, str], None]  # receiver, outcome: delivered, refused, failed, dropped


def body_of(resource: Resource, notice: intents.Notice) -> bytes:
    """The body to send. Its `id` is the same for the same fact, whichever replica sends it."""
    about = {
        "on": notice.on,
        "kind": resource.kind,
        "namespace": resource.namespace,
        "name": resource.name,
        "uid": resource.uid,
    }
    told = {"version": 1, **about, **notice.facts}
    same = {name: value for name, value in told.items() if name != "time"}
    digest = hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:32]
    return json.dumps({"id": digest, **told}, ensure_ascii=False).encode()


def signature(key: bytes, timestamp: int, body: bytes) -> str:
    """HMAC-SHA256 of `TIMESTAMP.BODY`, so that a receiver can detect a repeated old notice."""
    signed = f"{timestamp}.".encode() + body
    return f"v1={hmac.new(key, signed, hashlib.sha256).hexdigest()}"


class Notifier:
    """Sends notices. `now` returns epoch seconds; `pause` waits, so that tests need not wait."""

    def __init__(
        self,
        known: Mapping[str, receivers.Receiver],
        counted: Counted,
        now: Callable[[], int],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._known = known
        self._counted = counted
        self._now = now
        self._pause = pause
        self._answer_seconds = answer_seconds
        self._queues: dict[str, asyncio.Queue[bytes]] = {
            name: asyncio.Queue(MOST_WAITING) for name in known
        }

    @property
    def names(self) -> frozenset[str]:
        """The names of the known receivers."""
        return frozenset(self._known)

    def notify(self, resource: Resource, notice: intents.Notice) -> None:
        """Queue a notice; returns at once. If the queue is full, the notice is dropped."""
        queue = self._queues.get(notice.receiver)
        if queue is None:
            return
        try:
            queue.put_nowait(body_of(resource, notice))
        except asyncio.QueueFull:
            self._counted(notice.receiver, "dropped")

    async def run(self) -> None:
        """Send notices for ever; without receivers no session is opened."""
        if not self._known:
            await asyncio.Event().wait()
        async with AsyncExitStack() as stack:
            limits = aiohttp.ClientTimeout(total=self._answer_seconds)
            session = await stack.enter_async_context(aiohttp.ClientSession(timeout=limits))
            workers = await stack.enter_async_context(asyncio.TaskGroup())
            for name in self._known:
                workers.create_task(self._serve(name, session))

    async def _serve(self, name: str, session: aiohttp.ClientSession) -> None:
        while True:
            body = await self._queues[name].get()
            outcome = await self._delivered(self._known[name], body, session)
            self._counted(name, outcome)

    async def _delivered(
        self, receiver: receivers.Receiver, body: bytes, session: aiohttp.ClientSession
    ) -> str:
        """The outcome of a notice after all its attempts."""
        for attempt in range(MOST_ATTEMPTS):
            if attempt:
                await self._pause(
                    delay_after(attempt, _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
                )
            try:
                status = await self._sent(receiver, body, session)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                why: Any = repr(error)
            else:
                if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
                    return "delivered"
                why = status
                if status not in _AGAIN and status < HTTPStatus.INTERNAL_SERVER_ERROR:
                    self._say(receiver, why, "refused")
                    return "refused"
            self._say(receiver, why, "again")
        self._say(receiver, "tried too often", "failed")
        return "failed"

    async def _sent(
        self, receiver: receivers.Receiver, body: bytes, session: aiohttp.ClientSession
    ) -> int:
        """The status of the answer; a redirection is an answer and is not followed."""
        key = await asyncio.to_thread(receiver.key)
        timestamp = self._now()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"bayplan/{__version__}",
            TIMESTAMP: str(timestamp),
            SIGNATURE: signature(key, timestamp, body),
        }
        async with session.post(
            receiver.url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            await answer.content.read(_LONGEST_ANSWER)
            return answer.status

    @staticmethod
    def _say(receiver: receivers.Receiver, why: object, then: str) -> None:
        logs.say(logging.WARNING, "notice", receiver=receiver.name, why=why, then=then)
