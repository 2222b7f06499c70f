"""The right to write: one Lease, held by one process and renewed beside its other work.

A solve or a decode that blocks the main loop for seconds must not cost the lease. It is therefore
renewed elsewhere (in a process, see `runtime.lease_process`, or else in a thread) over its own
connections. Time is monotonic: another holder counts as dead when its record has not changed for
its whole duration, as seen from here, whatever the clocks say. We count as holder only until the
renew deadline after the *start* of the last successful renewal. That is before anybody else may
take over. Calling `holding()` needs no thread and no lock.

A late answer is no reason to give up a try: the next try begins beside it, on another connection.
Of tries that overlap at most one is stored, because each names the version that it replaces. The
others find that the record is our own, which proves the renewal as well as an answer does.

Identity is the pod's name: a restarted container finds its own lease and goes on at once. Two
living processes of the same identity differ by what each has written. A process that loses the
lease never takes it again: it ends.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from bayplan import logs
from bayplan.cluster import errors, requests, wire
from bayplan.cluster.events import micro_time
from bayplan.cluster.transport import Request
from bayplan.cluster.wire import Struct


class Connection(Protocol):
    """What the lease needs from a transport."""

    async def send(self, request: Request) -> bytes: ...
    async def close(self) -> None: ...


class _Spec(Struct):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class _Lease(Struct):
    metadata: wire.Metadata
    spec: _Spec = msgspec.field(default_factory=_Spec)


CONNECTIONS = 3  # tries under way at once, at most
_STEP_SECONDS = 0.1  # how soon a request to stop is noticed
_MOST_WRITTEN = 16  # renew times that we remember as our own


def boot_seconds() -> float:
    """Monotonic seconds that also count while the machine sleeps, if its system can do so."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class _LostError(Exception):
    """Another process holds the lease now."""


@dataclass(slots=True, eq=False)
class LeaseState:
    """What the renewer and the writer tell each other; across processes in shared memory."""

    held_until: float = float("-inf")  # set by the renewer
    beaten_at: float = float("-inf")  # set by the main loop, like `stopping`
    stopping: bool = False


class Lease:
    """`start` begins to try, `stop` releases; `on_gain` and `on_loss` are called from its thread.

    The main loop calls `beat`. If no beat comes for `stuck_after_seconds`, the lease is not
    renewed, so that a stuck process gives way. It is also not renewed while `runs` says that the
    process is stopped. `monotonic` and `wall` return seconds; `wait` sleeps, and tests replace it
    to control time.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        *,
        namespace: str,
        name: str,
        identity: str,
        on_gain: Callable[[], None],
        on_loss: Callable[[], None],
        duration_seconds: float = 15,
        renew_deadline_seconds: float = 10,
        retry_seconds: float = 2,
        stuck_after_seconds: float = 60,
        monotonic: Callable[[], float] = boot_seconds,
        wall: Callable[[], float] = time.time,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
        state: LeaseState | None = None,
        runs: Callable[[], bool] = lambda: True,
    ) -> None:
        self._connect = connect
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._on_gain = on_gain
        self._on_loss = on_loss
        self._duration = duration_seconds
        self._deadline = renew_deadline_seconds
        self._retry = retry_seconds
        self._stuck_after = stuck_after_seconds
        self._monotonic = monotonic
        self._wall = wall
        self._wait = wait
        self._state = state or LeaseState()
        self._runs = runs
        self.beat()
        self._failed = False  # whether the last finished try failed
        self._renewed_from = self._renewed_at = float("-inf")  # newest renewal: start, end
        self._thread: threading.Thread | None = None
        # The stored record: its version, what it says, and since when we have seen it say so.
        self._version = ""
        self._record = _Spec()
        self._exists = False
        self._observed_at = float("-inf")
        # Our renew times that may be stored, and when each try began. A record with any other renew
        # time belongs to somebody else.
        self._written: dict[str, float] = {}

    # ---- any thread -----------------------------------------------------------------------

    def holding(self) -> bool:
        """Whether we may write now."""
        return self._monotonic() < self._state.held_until

    def pressed(self) -> bool:
        """Whether more than half of a renewal's time has passed: other writes should wait."""
        return self.holding() and (self._state.held_until - self._monotonic() < self._deadline / 2)

    def beat(self) -> None:
        """The main loop is alive."""
        self._state.beaten_at = self._monotonic()

    def start(self) -> None:
        """Begin to try, in a separate thread."""
        self.beat()
        self._thread = threading.Thread(target=self._in_thread, name="lease", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Release the lease if it is held; wait at most this long for the release."""
        self._state.stopping = True
        if self._thread is not None:
            self._thread.join(timeout_seconds)

    def _in_thread(self) -> None:
        asyncio.run(self.run())

    # ---- its own thread -------------------------------------------------------------------

    async def run(self) -> None:
        """Take the lease when it is free, keep it, release it when asked to stop."""
        try:
            connection = await self._connected()
            if connection is None:
                return
            try:
                await self._take(connection)
                await self._keep(connection)
                if self.holding():
                    await self._release(connection)
            finally:
                await connection.close()
        except _LostError as lost:
            logs.say(logging.ERROR, "lease lost", why=lost)
            self._lose()
        except Exception:  # noqa: BLE001  see below
            # A defect here must end the process like a loss, not leave it running without a lease.
            logs.logger().exception("lease thread failed")
            self._lose()

    def _lose(self) -> None:
        self._state.held_until = float("-inf")
        self._on_loss()

    async def _connected(self) -> Connection | None:
        while not self._state.stopping:
            try:
                return await self._connect()
            except errors.ClusterError as error:
                logs.say(logging.WARNING, "lease without a connection", error=error)
                await self._pause(self._retry)
        return None

    async def _take(self, connection: Connection) -> None:
        """Wait until the lease is free or already ours, then write ourselves into it."""
        while not self._state.stopping:
            try:
                await self._read(connection)
                if self._free() and self._alive():
                    await self._write(connection, self._answer_seconds())
                    logs.say(logging.INFO, "lease gained", identity=self._identity)
                    self._on_gain()
                    return
            except errors.ClusterError as error:
                # Includes a 409: another process was faster, or the record has changed; read it
                # again.
                logs.say(logging.INFO, "lease not taken", error=error)
            await self._pause(self._retry)

    async def _keep(self, connection: Connection) -> None:
        """Renew until asked to stop; raises _LostError when the lease can no longer be held."""
        tries: set[asyncio.Task[None]] = set()
        try:
            while True:
                await self._rest(tries)
                if self._state.stopping:
                    return
                if not self.holding():
                    raise _LostError("not renewed in time")
                if not self._alive():
                    logs.say(logging.WARNING, "lease not renewed", why="the main loop is silent")
                elif len(tries) < CONNECTIONS:
                    tries.add(asyncio.ensure_future(self._try(connection)))
        finally:
            for one in tries:
                one.cancel()
            await asyncio.gather(*tries, return_exceptions=True)

    async def _rest(self, tries: set[asyncio.Task[None]]) -> None:
        """Wait until the next try is due; results of tries under way are handled at once."""
        began = ended = self._monotonic()
        while not self._state.stopping:
            now = self._monotonic()
            if heard := [one for one in tries if one.done()]:
                ended = now
                tries.difference_update(heard)
                for one in heard:
                    one.result()
            if self._renewed_at >= began:
                for one in tries:  # they would replace a version that is replaced already
                    one.cancel()
                tries.clear()
            soon = ended + self._retry / 3  # after a slow answer, or none: little time is left
            if tries:
                due = began + self._answer_seconds()
            else:
                due = soon if self._failed else max(self._renewed_from + self._retry, soon)
            if now >= due:
                return
            await self._wait(min(due - now, _STEP_SECONDS))

    async def _try(self, connection: Connection) -> None:
        """Renew the lease once, however long the answer takes."""
        try:
            await self._renew(connection)
        except errors.Conflict:
            await self._inspect(connection)
        except errors.ClusterError as error:
            self._failed = True
            logs.say(logging.WARNING, "lease not renewed", error=error)

    async def _renew(self, connection: Connection) -> None:
        seconds = max(self._state.held_until - self._monotonic(), 0.5)
        try:
            await self._write(connection, seconds)
        except errors.NotFound:
            # Somebody deleted the lease: make it again at once, or lose to the process that has
            # done so.
            self._exists = False
            await self._write(connection, seconds)

    async def _inspect(self, connection: Connection) -> None:
        """The record has changed: go on if we wrote it ourselves, otherwise the lease is lost."""
        try:
            await self._read(connection)
        except errors.ClusterError as error:
            logs.say(logging.WARNING, "lease not read", error=error)
            return
        if self._exists and not self._is_ours():
            raise _LostError(f"held by {self._record.holder_identity!r}")
        began = self._written.get(self._record.renew_time or "")
        if self._exists and began is not None:
            self._hold(began)

    def _is_ours(self) -> bool:
        return (
            self._record.holder_identity == self._identity
            and self._record.renew_time in self._written
        )

    def _free(self) -> bool:
        """Whether nobody holds it, we hold it, or its holder has been silent for its duration."""
        holder = self._record.holder_identity
        if not self._exists or not holder or holder == self._identity:
            return True
        duration = self._record.lease_duration_seconds or self._duration
        return self._monotonic() - self._observed_at >= duration

    def _alive(self) -> bool:
        silent = self._monotonic() - self._state.beaten_at
        return silent < self._stuck_after and self._runs()

    async def _read(self, connection: Connection) -> None:
        request = requests.get_lease(self._namespace, self._name, self._answer_seconds())
        try:
            self._observe(await connection.send(request))
        except errors.NotFound:
            self._exists = False
            self._record = _Spec()

    def _observe(self, answer: bytes) -> None:
        """Note what the record says; its age counts from its last change."""
        try:
            stored = wire.read(answer, _Lease)
        except wire.DecodeError as error:
            raise errors.Unavailable(f"unreadable lease: {error}") from error
        version = stored.metadata.resource_version or ""
        if self._exists and wire.version_of(version) < wire.version_of(self._version):
            return  # a newer answer has overtaken this answer
        if not self._exists or stored.spec != self._record:
            self._observed_at = self._monotonic()
        self._exists = True
        self._record = stored.spec
        self._version = version

    async def _write(self, connection: Connection, seconds: float) -> None:
        """Write ourselves into the record as last read; 409 when it has changed since."""
        began = self._monotonic()
        renew_time = micro_time(self._wall())
        changes = self._record.holder_identity != self._identity
        transitions = self._record.lease_transitions or 0
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": math.ceil(self._duration),
            "acquireTime": renew_time if changes else self._record.acquire_time or renew_time,
            "renewTime": renew_time,
            "leaseTransitions": transitions + (changes and self._exists),
        }
        self._written[renew_time] = began
        while len(self._written) > _MOST_WRITTEN:
            del self._written[next(iter(self._written))]
        self._observe(await connection.send(self._request(spec, seconds)))
        self._hold(began)

    def _hold(self, began: float) -> None:
        """Our record is stored. Count from before its request: nobody can have seen it earlier."""
        self._failed = False
        self._renewed_from, self._renewed_at = began, self._monotonic()
        held_until = began + self._deadline
        self._state.held_until = max(self._state.held_until, held_until)

    async def _release(self, connection: Connection) -> None:
        """Let another process have the lease at once."""
        self._state.held_until = float("-inf")
        spec = {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": micro_time(self._wall()),
        }
        seconds = self._answer_seconds()
        try:
            try:
                await connection.send(self._request(spec, seconds))
            except errors.Conflict:
                await self._read(connection)  # a try that we gave up has been stored
                if self._exists and self._is_ours():
                    await connection.send(self._request(spec, seconds))
        except errors.ClusterError as error:
            logs.say(logging.INFO, "lease not released", error=error)
        else:
            logs.say(logging.INFO, "lease released")

    def _request(self, spec: Mapping[str, Any], seconds: float) -> Request:
        if self._exists:
            return requests.write_lease(self._namespace, self._name, self._version, spec, seconds)
        metadata = {"namespace": self._namespace, "name": self._name}
        return requests.create_lease(
            {
                "apiVersion": requests.api_version("Lease"),
                "kind": "Lease",
                "metadata": metadata,
                "spec": spec,
            },
            seconds,
        )

    def _answer_seconds(self) -> float:
        """How long to wait for one answer alone: two tries must fit into the deadline."""
        return max(self._deadline / 2 - self._retry / 2, 0.5)

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past a request to stop: in steps, as the request comes from outside."""
        until = self._monotonic() + seconds
        while not self._state.stopping and (remaining := until - self._monotonic()) > 0:
            await self._wait(min(remaining, _STEP_SECONDS))
