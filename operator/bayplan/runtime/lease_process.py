"""The lease in a small separate process, so that nothing the operator does can delay it.

A thread would need the interpreter lock for each of the dozen steps of a renewal. On a full machine
the thread that holds the lock may be off the CPU for a third of a second, and a renewal would take
seconds. This process is forked before there are threads or a loop, shares the imported modules, has
a session of its own (Linux divides the CPU among sessions first) and waits for its order.

Both ends look at one `LeaseState` in shared memory: checking whether we hold the lease needs no
message. When the operator is gone its pipe ends, and nothing is renewed any more. A dead operator's
lease is not released, because its last writes may be on their way. When the operator is stopped or
its loop is silent for long, the lease runs out.
"""

import asyncio
import contextlib
import ctypes
import gc
import logging
import mmap
import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from bayplan import logs
from bayplan.cluster.lease import CONNECTIONS, Lease, LeaseState
from bayplan.cluster.transport import HttpTransport
from bayplan.settings import Settings

_GAINED, _LOST = b"g", b"l"
_STOPPED = frozenset("TtZX")  # states of a process that writes nothing: stopped, traced, dead


def identity(settings: Settings) -> str:
    """The holder's name in the lease: a restarted container has the same name."""
    return settings.identity or os.environ.get("HOSTNAME") or socket.gethostname()


def lease(
    settings: Settings,
    on_gain: Callable[[], None],
    on_loss: Callable[[], None],
    state: LeaseState | None = None,
    runs: Callable[[], bool] = lambda: True,
) -> Lease:
    """The lease that `settings` describe."""
    kubeconfig = str(settings.kubeconfig) if settings.kubeconfig else None
    return Lease(
        lambda: HttpTransport.connect(kubeconfig, connections=CONNECTIONS),
        namespace=settings.lease_namespace,
        name=settings.lease_name,
        identity=identity(settings),
        duration_seconds=settings.lease_duration_seconds,
        renew_deadline_seconds=settings.lease_renew_deadline_seconds,
        retry_seconds=settings.lease_retry_seconds,
        stuck_after_seconds=settings.stuck_after_seconds,
        on_gain=on_gain,
        on_loss=on_loss,
        state=state,
        runs=runs,
    )


class _Shared(ctypes.Structure):
    """A `LeaseState` in shared memory; each field is written whole, by only one of the two ends."""

    _fields_ = (
        ("held_until", ctypes.c_double),
        ("beaten_at", ctypes.c_double),
        ("stopping", ctypes.c_bool),
    )


class LeaseProcess:
    """The operator's end. Construct it before there is any thread: it forks the process then."""

    def __init__(self, settings: Settings) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)  # shared with the forked process
        state: LeaseState = _Shared.from_buffer(self._memory)  # type: ignore[assignment]
        state.held_until = float("-inf")
        self._state = state
        self._on_gain: Callable[[], None] = lambda: None
        self._on_loss: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None
        operator = os.getpid()
        gc.freeze()  # imported modules stay in place: the fork shares them
        orders, self._orders = os.pipe()
        self._news, news = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._orders)
            os.close(self._news)
            _live(settings, state, operator, orders, news)
        os.close(orders)
        os.close(news)
        self._lease = lease(settings, self._on_gain, self._on_loss, state)

    def tell(self, on_gain: Callable[[], None], on_loss: Callable[[], None]) -> None:
        """Set the functions that are called on gain and on loss, from a thread."""
        self._on_gain, self._on_loss = on_gain, on_loss

    def holding(self) -> bool:
        return self._lease.holding()

    def pressed(self) -> bool:
        return self._lease.pressed()

    def beat(self) -> None:
        self._lease.beat()

    def start(self) -> None:
        """Begin to try to take the lease."""
        self.beat()
        os.write(self._orders, b"s")
        self._thread = threading.Thread(target=self._listen, name="lease", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Release the lease if it is held; wait at most this long, then end the process."""
        self._state.stopping = True
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        self.close()

    def close(self) -> None:
        """End the process and free what belongs to it."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
            self._pid = 0
            os.close(self._orders)

    def _listen(self) -> None:
        while True:
            word = os.read(self._news, 1)
            if word == _GAINED:
                self._on_gain()
            else:
                break
        if not self._state.stopping:
            if word != _LOST:
                logs.say(logging.ERROR, "the process of the lease has ended")
            self._on_loss()


def _live(settings: Settings, state: LeaseState, operator: int, orders: int, news: int) -> None:
    """Run as the lease's process; never returns."""
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):  # the operator handles these signals
            signal.signal(number, signal.SIG_IGN)
        if os.read(orders, 1):
            ours = lease(
                settings,
                lambda: _say(news, _GAINED),
                lambda: _say(news, _LOST),
                state,
                lambda: _runs(operator),
            )
            asyncio.run(_renew(ours, orders))
        code = 0
    finally:
        os._exit(code)


async def _renew(ours: Lease, orders: int) -> None:
    running = asyncio.get_running_loop()
    running.add_reader(orders, os._exit, 0)  # no second order comes: the operator is gone
    await ours.run()


def _say(news: int, word: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(news, word)


def _runs(pid: int) -> bool:
    """Whether a process can run: it exists and is not stopped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in _STOPPED
