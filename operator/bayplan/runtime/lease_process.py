"""The lease in a small process of its own, so that nothing the operator does can keep it waiting.

A thread would need the interpreter lock for each of the dozen steps of a renewal. Where a machine
is full, whoever holds that lock may be off the CPU for a third of a second, and a renewal takes
seconds. This process is forked before there are threads or a loop, shares what was imported, has a
session of its own (Linux divides the CPU among sessions first) and waits for its order.

Both ends look at one `LeaseState` in shared memory: asking whether we hold asks nobody. When the
operator is gone its pipe ends, and nothing is renewed any more; a dead operator's lease is not
released, as what it wrote last may be on its way. When it is stopped or its loop is silent for
long, the lease runs out.
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
    """The name in the lease: a restarted container's is the same."""
    return settings.identity or os.environ.get("HOSTNAME") or socket.gethostname()


def lease(
    settings: Settings,
    on_gain: Callable[[], None],
    on_loss: Callable[[], None],
    state: LeaseState | None = None,
    runs: Callable[[], bool] = lambda: True,
) -> Lease:
    """The lease that settings describe."""
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
    """A `LeaseState` in shared memory; each field is written whole, by one end."""

    _fields_ = (
        ("held_until", ctypes.c_double),
        ("beaten_at", ctypes.c_double),
        ("stopping", ctypes.c_bool),
    )


class LeaseProcess:
    """The operator's end. Construct it before there is any thread; it stands for the lease then."""

    def __init__(self, settings: Settings) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)  # shared with what is forked
        state: LeaseState = _Shared.from_buffer(self._memory)  # type: ignore[assignment]
        state.held_until = float("-inf")
        self._state = state
        self._on_gain: Callable[[], None] = lambda: None
        self._on_loss: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None
        operator = os.getpid()
        gc.freeze()  # what was imported stays where it is: the fork shares it
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
        """Who hears what becomes of it, from a thread."""
        self._on_gain, self._on_loss = on_gain, on_loss

    def holding(self) -> bool:
        return self._lease.holding()

    def pressed(self) -> bool:
        return self._lease.pressed()

    def beat(self) -> None:
        self._lease.beat()

    def start(self) -> None:
        """Begin to try."""
        self.beat()
        os.write(self._orders, b"s")
        self._thread = threading.Thread(target=self._listen, name="lease", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Release the lease, if it is held; wait for that for at most this long, and end it."""
        self._state.stopping = True
        if self._thread is not None:
            self._thread.join(timeout_seconds)
        self.close()

    def close(self) -> None:
        """The process is gone."""
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
    """Be the lease's process; never returns."""
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM):  # the operator's to obey
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
    running.add_reader(orders, os._exit, 0)  # no second order comes: the operator has gone
    await ours.run()


def _say(news: int, word: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(news, word)


def _runs(pid: int) -> bool:
    """Whether a process can do anything: it is there and nobody has stopped it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in _STOPPED
