"""The proxy does what its scripts say, and nothing without one."""

import asyncio
import contextlib
import gc
import http.client
import json
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from localcluster import pki
from tests.faults import proxy as proxies
from tests.faults.proxy import Act, Host, Proxy, Rule, Upstream

PODS = "/api/v1/namespaces/ns/pods"


@dataclass(slots=True, eq=False)
class Server:
    """An API server in small: answers every write, streams four events to a watch.

    What asks for a `held` object gets no answer, and a watch of one does not end, until `stop`.
    """

    asked: list[str] = field(default_factory=list)
    port: int = 0
    _runner: web.ServerRunner | None = None
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._runner = web.ServerRunner(web.Server(self._handle), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        assert self._runner is not None
        self._stopping.set()
        await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path_qs}")
        held = request.path.endswith("/held")
        if "watch" not in request.query:
            if held:
                await self._stopping.wait()
            return web.json_response({"stored": "x" * 100}, status=201)
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(1, 5):
            await response.write(json.dumps({"type": "ADDED", "object": number}).encode() + b"\n")
        if held:
            await self._stopping.wait()
        await response.write_eof()
        return response


@pytest.fixture(name="server", scope="module")
def _server() -> Iterator[Server]:
    server = Server()
    with Host(Upstream("http://127.0.0.1")) as host:
        host.run(server.start())
        yield server
        host.run(server.stop())


@pytest.fixture(name="door")
def _door(server: Server) -> Iterator[Proxy]:
    server.asked.clear()
    with Host(Upstream(f"http://127.0.0.1:{server.port}")) as host:
        door = host.proxy(seed=1, namespace="ns", node_label="lane=1")
        yield door
        door.close()


def ask(door: Proxy, method: str, path: str) -> tuple[int, bytes]:
    """Status and body; 0 where the connection ended before a status."""
    connection = http.client.HTTPConnection("127.0.0.1", door.port, timeout=10)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, b"{}" if method != "GET" else None)
            response = connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            return 0, b""
        try:
            return response.status, response.read()
        except http.client.IncompleteRead as cut:
            return response.status, cut.partial


def lines(door: Proxy) -> list[int]:
    _, body = ask(door, "GET", f"{PODS}?watch=1")
    return [json.loads(line)["object"] for line in body.splitlines()]


def test_without_a_script_nothing_changes(door: Proxy, server: Server) -> None:
    """Writes are numbered, renewals of the lease are not, and reads are not."""
    ask(door, "POST", PODS)
    ask(door, "PATCH", "/apis/coordination.k8s.io/v1/namespaces/ns/leases/bayplan")
    ask(door, "GET", PODS)
    status, body = ask(door, "DELETE", f"{PODS}/a")

    assert (201, {"stored": "x" * 100}) == (status, json.loads(body))
    assert [1, 0, 0, 2] == [call.number for call in door.calls]
    assert ["POST pods", "DELETE pods"] == [call.label for call in door.writes]
    assert 4 == len(server.asked)


def test_a_world_is_confined(door: Proxy, server: Server) -> None:
    """Collections over all namespaces become those of one; objects are as they were asked for."""
    for path in ("/api/v1/pods?limit=5", "/api/v1/nodes", f"{PODS}/a"):
        ask(door, "GET", path)
    ask(door, "GET", "/apis/storage.k8s.io/v1/storageclasses")
    ask(door, "GET", "/api/v1/namespaces")

    assert [
        f"GET {PODS}?limit=5",
        "GET /api/v1/nodes?labelSelector=lane%3D1",
        f"GET {PODS}/a",
        "GET /apis/storage.k8s.io/v1/storageclasses",
        "GET /api/v1/namespaces?fieldSelector=metadata.name%3Dns",
    ] == server.asked


@pytest.mark.parametrize(
    ("act", "status", "stored"),
    [
        (proxies.answer(409, "Conflict"), 409, 0),
        (proxies.answer_after_commit(504, "Timeout"), 504, 1),
        (proxies.reset_before, 0, 0),
        (proxies.reset_after, 0, 1),
    ],
)
def test_answers_and_resets(
    door: Proxy, server: Server, act: Act, status: int, stored: int
) -> None:
    """In the server's place, or after it: what the caller hears and whether the server did it."""
    door.script(Rule(proxies.write_number(2), act, times=1))

    assert [201, status, 201] == [ask(door, "POST", PODS)[0] for _ in range(3)]
    assert 2 + stored == len(server.asked)


def test_a_body_is_cut_short(door: Proxy) -> None:
    """Half of the body arrives, and the connection ends."""
    door.script(Rule(proxies.everything, proxies.truncated(0.5)))
    whole = len(json.dumps({"stored": "x" * 100}))

    status, body = ask(door, "POST", PODS)

    assert (201, whole // 2) == (status, len(body))


@pytest.mark.parametrize(
    ("bend", "expected"),
    [
        (proxies.doubling, [1, 1, 2, 2, 3, 3, 4, 4]),
        (proxies.dropping(1.0), []),
        (proxies.ending_after(2), [1, 2]),
    ],
)
def test_watches_are_bent(door: Proxy, bend: proxies.Bend, expected: list[int]) -> None:
    door.script(Rule(proxies.watches, proxies.bent(bend)))

    assert expected == lines(door)


def test_reordering_is_by_the_seed(door: Proxy) -> None:
    """Neighbours change places, none is lost but one that waits for a next one."""
    door.script(Rule(proxies.watches, proxies.bent(proxies.swapping)))
    seen = lines(door)

    assert seen != sorted(seen)
    assert {1, 2, 3} <= set(seen)


def test_a_stalled_watch_flows_on_when_it_heals(door: Proxy) -> None:
    door.script(Rule(proxies.watches, proxies.bent(proxies.stalled)))
    door.heal()

    assert [1, 2, 3, 4] == lines(door)


@pytest.mark.parametrize("act", [proxies.kill_unanswered, proxies.kill_answered])
def test_after_a_kill_nothing_passes_until_the_thaw(door: Proxy, server: Server, act: type) -> None:
    """The k-th write is done; whoever asked is killed once; what comes later is not forwarded."""
    killed: list[int] = []
    door.script(Rule(proxies.write_number(1), act(lambda: killed.append(1)), times=1))
    first, _ = ask(door, "POST", PODS)
    second, _ = ask(door, "POST", PODS)
    door.thaw()
    third, _ = ask(door, "POST", PODS)

    assert [1] == killed
    assert (0, 201, 2) == (second, third, len(server.asked))
    assert first in {0, 201}


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[tuple[Server, Upstream]]:
    """The server behind TLS, as a real one is."""
    authority = pki.Authority(folder / "pki")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.server("server", ["127.0.0.1"]))
    server = Server()
    with Host(Upstream("http://127.0.0.1")) as home:
        home.run(server.start(tls))
        yield server, Upstream(f"https://127.0.0.1:{server.port}", authority.certificate_path)
        home.run(server.stop())


@pytest.mark.parametrize("closed", [True, False])
def test_a_host_that_ends_leaves_no_connection_open(tmp_path: Path, *, closed: bool) -> None:
    """Requests without an answer and watches under way, with their door closed before or not.

    The server behind them lives on a host too, and leaves none open at its own end.
    """
    asking = []
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with guarded(tmp_path) as (server, upstream):
            with Host(upstream) as host:
                door = host.proxy()
                for target in ("/held", "/held?watch=1") * 12:
                    asking.append(threading.Thread(target=ask, args=(door, "GET", PODS + target)))
                    asking[-1].start()
                door.until_asked(lambda call: call.path.endswith("/held"), times=len(asking))
                if closed:
                    door.close()
            for thread in asking:
                thread.join(10)
            del host, door
        gc.collect()

    assert [] == [str(one.message) for one in told]
    assert server.asked


def test_a_host_waits_for_a_client_that_takes_leave_late(tmp_path: Path) -> None:
    """A connection of a server on the host stays until TLS has ended on both sides."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with guarded(tmp_path) as (server, upstream):
            trust = ssl.create_default_context(cafile=str(upstream.authority))
            plain = socket.create_connection(("127.0.0.1", server.port))
            client = trust.wrap_socket(plain, server_hostname="127.0.0.1")
            client.sendall(f"GET {PODS} HTTP/1.1\r\nHost: server\r\n\r\n".encode())
            client.recv(1)
            leaving = threading.Timer(0.3, client.close)
            leaving.start()
        leaving.join()
        gc.collect()

    assert [] == [str(one.message) for one in told]
