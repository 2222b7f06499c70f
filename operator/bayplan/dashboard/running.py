"""Starts the dashboard, keeps it running until it is interrupted, and ends it in order."""

import asyncio
import contextlib
import random
import secrets
import signal
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from bayplan.cluster.transport import HttpTransport
from bayplan.dashboard.feed import Feed
from bayplan.dashboard.guard import Guard
from bayplan.dashboard.history import History
from bayplan.dashboard.looking import Looking
from bayplan.dashboard.recording import Recorder, Recording, Replay
from bayplan.dashboard.server import Server, Shown, Untold
from bayplan.dashboard.store import Store
from bayplan.dashboard.watching import Watching
from bayplan.inputs import InputError

_HOST = "127.0.0.1"
_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster is shown, and with whose rights. `namespace` empty: all."""

    kubeconfig: Path | None
    context: str | None
    namespace: str
    fallback: str
    name: str  # as the page shows it


Explain = Callable[[str, str, str], Mapping[str, Any]]  # in a thread: kind, namespace, name


async def show_cluster(
    cluster: Cluster,
    explain: Explain,
    port: int,
    ready: Callable[[str], None],
    record: Path | None = None,
) -> None:
    """Serve until interrupted; `ready` gets each link, once the page can be opened."""
    store = Store(time.time, time.monotonic)
    history = History()
    feed = Feed(store, history, secrets.token_hex(4), time.time)
    store.changed = feed.note
    path = str(cluster.kubeconfig) if cluster.kubeconfig is not None else None
    transport = await HttpTransport.connect(path, cluster.context, connections=_CONNECTIONS)
    watching = Watching(transport, store, random.random, cluster.namespace, cluster.fallback)
    one_at_a_time = asyncio.Lock()

    async def explained(kind: str, namespace: str, name: str) -> Mapping[str, Any]:
        async with one_at_a_time:  # it reads the whole cluster
            return await asyncio.to_thread(explain, kind, namespace, name)

    about = {"live": True, "context": cluster.name, "namespace": cluster.namespace}
    with _recording(record, feed):
        try:
            async with asyncio.TaskGroup() as tasks:
                started = [tasks.create_task(watching.run()), tasks.create_task(feed.run())]
                looking = Looking(transport)
                shown = Shown(feed, history, about, looking.look, explained)
                await _serve(port, shown, ready)
                for one in started:
                    one.cancel()
        finally:
            await transport.close()


async def show_recording(
    recording: Recording, name: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve what a file holds until interrupted."""
    replay = Replay(recording)
    times = recording.times
    about = {"live": False, "context": name, "namespace": "", "first": times[0], "last": times[-1]}
    await _serve(port, Shown(replay, replay.history(), about, _untold, _untold), ready)


async def _untold(kind: str, namespace: str, name: str) -> Mapping[str, Any]:
    del kind, namespace, name
    raise Untold("A file is shown; only a live cluster can be asked.")


async def _serve(port: int, shown: Shown, ready: Callable[[str], None]) -> None:
    async with _listening(port) as (taken, attach):
        guard = Guard(taken)

        def link() -> None:
            ready(f"http://{_HOST}:{taken}/#token={guard.new_token()}")

        await attach(Server(shown, guard, link).app())
        link()
        await _interrupted()


@asynccontextmanager
async def _listening(port: int) -> AsyncGenerator[Any, None]:
    """The port, and a function that serves an application on it."""
    try:
        listener = socket.create_server((_HOST, port))
    except OSError as error:
        raise InputError("--port", f"{port}: {error.strerror or error}") from error
    runners: list[web.AppRunner] = []

    async def attach(app: web.Application) -> None:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handle_signals=False)
        runners.append(runner)
        await runner.setup()
        await web.SockSite(runner, listener).start()

    try:
        yield listener.getsockname()[1], attach
    finally:
        for runner in runners:
            await runner.cleanup()
        listener.close()


async def _interrupted() -> None:
    """Returns at Ctrl-C or a SIGTERM."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(one, ended.set)
    try:
        await ended.wait()
    finally:
        for one in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(one)


@contextlib.contextmanager
def _recording(path: Path | None, feed: Feed) -> Any:
    if path is None:
        yield
        return
    try:
        file = path.open("x", encoding="utf-8")
    except FileExistsError:
        raise InputError(str(path), "exists already; give another --record") from None
    except OSError as error:
        raise InputError(str(path), error.strerror or str(error)) from error
    with file:
        path.chmod(0o600)
        recorder = Recorder(file, time.time)
        recorder.begin(feed.snapshot())
        feed.recorder = recorder.change
        yield
