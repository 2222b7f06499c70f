"""A proxy between operators and the API server that records, and disturbs by script.

Every request that passes is a `Call`; writes are numbered in the order in which they arrive. Before
a call is forwarded the proxy looks for the first `Rule` that matches it and lets its act decide:
answer in the server's place, forward and lose the answer, cut, slow down, kill who asked, bend a
watch. Without rules it changes nothing.

A proxy may confine its operator to one namespace and to labelled nodes, by asking for the narrower
collection where the operator asks for the whole: so several operators, each the only one in its
world, share one API server. The caller's own credentials are passed on.

Everything random comes from the seed. All proxies of a `Host` live on one loop in one thread.
"""

import asyncio
import contextlib
import json
import random
import re
import selectors
import socket
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, urlencode

import aiohttp
import yarl
from aiohttp import web

T = TypeVar("T")

_CLOSING_SECONDS = 10.0  # until the last socket to the API server is closed
_PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")
_GIVEN_BACK = ("Content-Type", "Date", "Retry-After", "Warning", "Audit-Id")
_NARROWED = re.compile(r"/(?:api/v1|apis/[^/]+/[^/]+)/(?P<plural>[a-z]+)")
_CLUSTER_WIDE = frozenset(
    {
        "customresourcedefinitions",
        "csinodes",
        "persistentvolumes",
        "priorityclasses",
        "storageclasses",
        "volumeattachments",
    }
)
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(slots=True, eq=False)
class Call:
    """One request as the proxy saw it. `number` counts writes from 1; 0 is no write.

    `code` is what the caller was answered (0: nothing), `stored` what the API server said (0: it
    was not asked, or gave no answer).
    """

    at: float  # seconds, monotonic
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    number: int = 0
    code: int = 0
    stored: int = 0

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") in {"1", "true"}

    @property
    def is_write(self) -> bool:
        return self.method in _WRITES

    @property
    def is_lease(self) -> bool:
        return "/leases" in self.path

    @property
    def is_event(self) -> bool:
        return self.path.endswith("/events") or "/events/" in self.path

    @property
    def kind(self) -> str:
        """The plural, with the subresource if there is one: `pods`, `batchjobs/status`."""
        words = self.path.split("/")
        rest = words[words.index("namespaces") + 2 :] if "namespaces" in words[:-1] else words[-1:]
        return "/".join((rest[0], *rest[2:])) if rest else "namespaces"

    @property
    def label(self) -> str:
        """What it was, in words that do not change from run to run."""
        dry = " dry-run" if "dryRun" in self.query else ""
        return f"{self.method} {self.kind}{dry}"


@dataclass(slots=True, eq=False)
class Exchange:
    """A call under way, as an act has it in hand."""

    proxy: "Proxy"
    call: Call
    request: web.BaseRequest

    async def ask(self) -> "Answer":
        """Forward it; what the API server answered, whole."""
        return await self.proxy.forward(self.call, self.request)

    async def reply(self, answer: "Answer") -> web.StreamResponse:
        self.call.code = answer.status
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    def cut(self) -> web.StreamResponse:
        """The connection is reset."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]


Certify = Callable[[], tuple[Path, Path]]  # a new certificate and its key
Act = Callable[[Exchange], Awaitable[web.StreamResponse]]
Match = Callable[[Call], bool]


@dataclass(slots=True, eq=False)
class Rule:
    """`act` on what matches, at most `times` (None: always), each time with this chance."""

    match: Match
    act: Act
    times: int | None = None
    chance: float = 1.0
    used: int = 0


# ── what matches ────────────────────────────────────────────────────────────────────────────


def writes(call: Call) -> bool:
    """Every write but Events and the lease, which have rules of their own."""
    return call.is_write and not call.is_event and not call.is_lease


def write_number(number: int) -> Match:
    return lambda call: call.number == number


def of(method: str, kind: str) -> Match:
    return lambda call: (call.method, call.kind) == (method, kind)


def watches(call: Call) -> bool:
    return call.is_watch


def watches_of(kind: str) -> Match:
    return lambda call: call.is_watch and call.kind == kind


def reads(call: Call) -> bool:
    return not call.is_write and not call.is_watch


def everything(_: Call) -> bool:
    return True


# ── what is done: whole answers ─────────────────────────────────────────────────────────────


def refusal(status: int, reason: str, *, retry_after: int | None = None, **details: Any) -> Answer:
    """A Status object as the API server writes it."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"a scripted fault: {reason}",
        "reason": reason,
        "code": status,
        **({"details": details} if details else {}),
    }
    headers = {"Content-Type": "application/json"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Answer(status, json.dumps(body).encode(), headers)


def answer(status: int, reason: str, *, retry_after: int | None = None, **details: Any) -> Act:
    """In the server's place; it never hears of the call."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await exchange.reply(refusal(status, reason, retry_after=retry_after, **details))

    return act


def answer_after_commit(status: int, reason: str) -> Act:
    """The server does it, and the caller hears something else."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        await exchange.ask()
        return await exchange.reply(refusal(status, reason))

    return act


async def reset_before(exchange: Exchange) -> web.StreamResponse:
    return exchange.cut()


async def reset_after(exchange: Exchange) -> web.StreamResponse:
    """The server does it, and the answer is lost."""
    await exchange.ask()
    return exchange.cut()


async def hang(exchange: Exchange) -> web.StreamResponse:
    """Neither forwarded nor answered, until the proxy heals or the caller gives up."""
    await exchange.proxy.healed()
    return exchange.cut()


def truncated(share: float) -> Act:
    """Only this share of the body, and then the connection ends; the length promised more."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        whole = await exchange.ask()
        exchange.call.code = whole.status
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(whole.body)
        await response.prepare(exchange.request)
        await response.write(whole.body[: int(len(whole.body) * share)])
        return exchange.cut()

    return act


def slow(seconds: float) -> Act:
    """The body comes in ten pieces over so many seconds."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        whole = await exchange.ask()
        exchange.call.code = whole.status
        response = web.StreamResponse(status=whole.status, headers=whole.headers)
        response.content_length = len(whole.body)
        await response.prepare(exchange.request)
        step = len(whole.body) // 10 + 1
        for start in range(0, len(whole.body), step):
            await exchange.proxy.pause(seconds / 10)
            await response.write(whole.body[start : start + step])
        return response

    return act


def late(seconds: float) -> Act:
    """Forwarded after a while."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        await exchange.proxy.pause(seconds)
        return await exchange.proxy.plain(exchange)

    return act


def expired(token: str) -> Act:
    """401 to whoever still shows this token; others pass."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        if exchange.request.headers.get("Authorization") == f"Bearer {token}":
            return await exchange.reply(refusal(401, "Unauthorized"))
        return await exchange.proxy.plain(exchange)

    return act


def kill_before(kill: Callable[[], None]) -> Act:
    """Who asked dies, and the server never hears of the call."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        exchange.proxy.freeze()
        kill()
        return exchange.cut()

    return act


def kill_unanswered(kill: Callable[[], None]) -> Act:
    """The server does it; who asked dies before the answer comes."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        await exchange.ask()
        exchange.proxy.freeze()
        kill()
        return exchange.cut()

    return act


def kill_answered(kill: Callable[[], None], *, within: float = 0.1) -> Act:
    """Who asked has the answer and dies before another write leaves, `within` s at the latest."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        whole = await exchange.ask()
        exchange.proxy.dying(kill, within)
        return await exchange.reply(whole)

    return act


# ── what is done: watches ───────────────────────────────────────────────────────────────────

Bend = Callable[[AsyncIterator[bytes], "Proxy"], AsyncIterator[bytes]]


def bent(bend: Bend) -> Act:
    """A watch whose lines go through `bend`."""

    async def act(exchange: Exchange) -> web.StreamResponse:
        return await exchange.proxy.plain(exchange, bend)

    return act


async def stalled(lines: AsyncIterator[bytes], proxy: "Proxy") -> AsyncIterator[bytes]:
    """Open, and nothing comes until the proxy heals; then all that was held."""
    async for line in lines:
        await proxy.healed()
        yield line


def dropping(share: float) -> Bend:
    """This share of the events never comes. A real server does not; a controller must survive."""

    async def bend(lines: AsyncIterator[bytes], proxy: "Proxy") -> AsyncIterator[bytes]:
        async for line in lines:
            if proxy.dice.random() >= share:
                yield line

    return bend


async def doubling(lines: AsyncIterator[bytes], _: "Proxy") -> AsyncIterator[bytes]:
    async for line in lines:
        yield line
        yield line


async def swapping(lines: AsyncIterator[bytes], proxy: "Proxy") -> AsyncIterator[bytes]:
    """Neighbours change places, and the last one waits for the next."""
    held: bytes | None = None
    async for line in lines:
        if held is None and proxy.dice.random() < 0.5:
            held = line
            continue
        yield line
        if held is not None:
            yield held
            held = None


def compacted_after(count: int) -> Bend:
    """After so many events an ERROR 410 in the stream, as after a compaction."""

    async def bend(lines: AsyncIterator[bytes], _: "Proxy") -> AsyncIterator[bytes]:
        seen = 0
        async for line in lines:
            yield line
            seen += 1
            if seen >= count:
                gone = json.loads(refusal(410, "Expired").body)
                yield json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n"
                return

    return bend


def ending_after(count: int, rest: bytes = b"") -> Bend:
    """The stream ends after so many events, perhaps in the middle of a line."""

    async def bend(lines: AsyncIterator[bytes], _: "Proxy") -> AsyncIterator[bytes]:
        seen = 0
        async for line in lines:
            yield line
            seen += 1
            if seen >= count:
                if rest:
                    yield rest
                return

    return bend


# ── the proxy ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Upstream:
    """Where the API server is and whom its certificate must come from, if it shows one."""

    server: str
    authority: Path | None = None


class Proxy:
    """One door to the API server. Made by `Host.proxy`; all but the inside is for any thread."""

    def __init__(
        self,
        host: "Host",
        *,
        seed: int,
        namespace: str,
        node_label: str,
        certify: Certify | None,
    ) -> None:
        self.calls: list[Call] = []
        self.rules: Sequence[Rule] = ()
        self.port = 0
        self._host = host
        self.dice = random.Random(seed)  # noqa: S311  dice, not keys
        self._namespace = namespace
        self._node_label = node_label
        self._certify = certify
        self._tls: ssl.SSLContext | None = None
        if certify is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certify())
        self._runner: web.ServerRunner | None = None
        self._frozen = False
        self._doomed: Callable[[], None] | None = None
        self._numbered = 0
        self._healing = asyncio.Event()
        self._open: set[asyncio.Transport] = set()
        self._arrived = asyncio.Condition()
        self._under_way = 0  # writes

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def writes(self) -> list[Call]:
        """Those that count, in order."""
        return [call for call in self.calls if call.number]

    def script(self, *rules: Rule) -> None:
        """From now on these, and no others."""
        self.rules = rules
        self._host.soon(self._healing.clear)

    def heal(self, *, cut: bool = False) -> None:
        """No rules any more; what hangs is let go. `cut` ends every open connection too."""
        self.rules = ()

        def in_loop() -> None:
            self._healing.set()
            for transport in tuple(self._open) if cut else ():
                transport.abort()

        self._host.soon(in_loop)

    def cut_all(self) -> None:
        """Every open connection is reset."""

        def in_loop() -> None:
            for transport in tuple(self._open):
                transport.abort()

        self._host.soon(in_loop)

    def struck(self, seconds: float, least: int, *, within: float) -> None:
        """Wait `seconds`, and until the rules have struck `least` times, `within` s at most."""

        async def wait() -> None:
            loop = asyncio.get_running_loop()
            ends = loop.time() + seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within), self._arrived:
                    while loop.time() < ends or sum(rule.used for rule in self.rules) < least:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(max(ends - loop.time(), 0.2)):
                                await self._arrived.wait()

        self._host.run(wait(), within + 10)

    def until_wrote(self, count: int, *, within: float = 30) -> None:
        """Wait until so many writes have arrived."""

        async def wait() -> None:
            async with asyncio.timeout(within), self._arrived:
                await self._arrived.wait_for(lambda: self._numbered >= count)

        self._host.run(wait(), within + 10)

    def until_asked(self, match: Match, *, times: int = 1, within: float = 30) -> None:
        """Wait until so many calls that match have arrived."""

        async def wait() -> None:
            async with asyncio.timeout(within), self._arrived:
                await self._arrived.wait_for(lambda: sum(map(match, self.calls)) >= times)

        self._host.run(wait(), within + 10)

    def settled(self, *, within: float = 30) -> None:
        """Wait until every write that has arrived has been answered by the API server."""

        async def wait() -> None:
            async with asyncio.timeout(within), self._arrived:
                await self._arrived.wait_for(lambda: not self._under_way)

        self._host.run(wait(), within + 10)

    def rotate(self) -> None:
        """Show another certificate to new connections; `cut_all` makes them new."""
        assert self._tls is not None
        assert self._certify is not None
        self._tls.load_cert_chain(*self._certify())

    def thaw(self) -> None:
        """A new process may ask again."""
        self._frozen = False
        self._doomed = None

    def close(self) -> None:
        self._host.run(self._close())
        self._host.doors.discard(self)

    # ---- for acts, on the loop --------------------------------------------------------------

    def freeze(self) -> None:
        """Nothing more is forwarded until `thaw`: who asked is dead."""
        self._frozen = True

    def dying(self, kill: Callable[[], None], within: float) -> None:
        self._doomed = kill
        asyncio.get_running_loop().call_later(within, self._die)

    def _die(self) -> None:
        kill, self._doomed = self._doomed, None
        if kill is not None:
            self.freeze()
            kill()

    async def healed(self) -> None:
        await self._healing.wait()

    async def pause(self, seconds: float) -> None:
        """So long, or until healed."""
        try:
            async with asyncio.timeout(seconds):
                await self._healing.wait()
        except TimeoutError:
            return

    async def forward(self, call: Call, request: web.BaseRequest) -> Answer:
        async with await self._send(call, request) as response:
            body = await response.read()
            call.stored = response.status
            return Answer(response.status, body, _headers(response))

    async def plain(self, exchange: Exchange, bend: Bend | None = None) -> web.StreamResponse:
        """Forward it as it is; a watch piece by piece, its lines through `bend`."""
        call, request = exchange.call, exchange.request
        if not call.is_watch:
            return await exchange.reply(await self.forward(call, request))
        async with await self._send(call, request) as upstream:
            call.stored = call.code = upstream.status
            response = web.StreamResponse(status=upstream.status, headers=_headers(upstream))
            await response.prepare(request)
            chunks: AsyncIterator[bytes] = upstream.content.iter_any()
            if bend is not None and upstream.status < 400:
                chunks = bend(_lines(chunks), self)
            async for chunk in chunks:
                await response.write(chunk)
            await response.write_eof()
            return response

    # ---- inside -----------------------------------------------------------------------------

    async def start(self) -> Self:
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(
            server, handle_signals=False, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def _close(self) -> None:
        self._healing.set()
        for transport in tuple(self._open):
            transport.abort()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        call = Call(
            time.monotonic(),
            request.method,
            request.path,
            dict(request.query),
            await request.read(),
        )
        exchange = Exchange(self, call, request)
        if self._doomed is not None and call.is_write:
            self._die()
        if self._frozen:
            return exchange.cut()
        self._number(call)
        self.calls.append(call)
        transport = request.transport
        if transport is not None:
            self._open.add(transport)
        await self._count(call, 1)
        try:
            return await self._act_of(call)(exchange)
        except (aiohttp.ClientError, ConnectionError):
            return exchange.cut()  # the API server went away: so does this connection
        finally:
            if transport is not None:
                self._open.discard(transport)
            await asyncio.shield(self._count(call, -1))

    async def _count(self, call: Call, more: int) -> None:
        self._under_way += more * call.is_write
        async with self._arrived:
            self._arrived.notify_all()

    def _number(self, call: Call) -> None:
        """Every write counts but renewals of the lease, whose number is a matter of time."""
        renewal = call.is_lease and call.method == "PATCH"
        if call.is_write and not renewal:
            self._numbered += 1
            call.number = self._numbered

    def _act_of(self, call: Call) -> Act:
        for rule in self.rules:
            spent = rule.times is not None and rule.used >= rule.times
            if spent or not rule.match(call):
                continue
            if rule.chance < 1 and self.dice.random() >= rule.chance:
                continue
            rule.used += 1
            return rule.act
        return self.plain

    async def _send(self, call: Call, request: web.BaseRequest) -> aiohttp.ClientResponse:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        headers["Accept-Encoding"] = "identity"
        target = self._narrowed(request.raw_path)
        return await self._host.send(call.method, target, call.body or None, headers)

    def _narrowed(self, target: str) -> str:
        """The same collection, of this proxy's world only."""
        path, _, query = target.partition("?")
        found = _NARROWED.fullmatch(path)
        if not self._namespace or found is None or found["plural"] in _CLUSTER_WIDE:
            return target
        if found["plural"] == "nodes":
            return f"{path}?{_with(query, labelSelector=self._node_label)}"
        if found["plural"] == "namespaces":
            return f"{path}?{_with(query, fieldSelector=f'metadata.name={self._namespace}')}"
        head, plural = path.rsplit("/", 1)
        return f"{head}/namespaces/{self._namespace}/{plural}?{query}"


class Host:
    """A thread with a loop, for all proxies of a test session; one pool to the API server."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._session: aiohttp.ClientSession | None = None
        self.doors: set[Proxy] = set()  # those that are open
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        for door in tuple(self.doors):
            door.close()
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def proxy(
        self,
        *,
        seed: int = 0,
        namespace: str = "",
        node_label: str = "",
        certify: Certify | None = None,
    ) -> Proxy:
        """A new door on a free port of loopback."""

        async def make() -> Proxy:
            proxy = Proxy(
                self, seed=seed, namespace=namespace, node_label=node_label, certify=certify
            )
            return await proxy.start()

        door = self.run(make())
        self.doors.add(door)
        return door

    def run(self, work: Coroutine[Any, Any, T], within: float = 30) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within)

    def soon(self, call: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(call)

    async def send(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        """A caller that goes away does not cut a connection that is being made: it would leak."""
        assert self._session is not None
        url = yarl.URL(self._upstream.server + target, encoded=True)
        asked = asyncio.ensure_future(
            self._session.request(method, url, data=body, headers=headers)
        )
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(_unwanted)
            raise

    async def _open(self) -> None:
        authority = self._upstream.authority
        tls = authority is None or ssl.create_default_context(cafile=str(authority))
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, ssl=tls, keepalive_timeout=60, socket_factory=self._socket
            ),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            read_bufsize=2**20,
        )

    def _socket(self, where: aiohttp.AddrInfoType) -> socket.socket:
        made = socket.socket(*where[:3])
        self._sockets.add(made)
        return made

    async def _close(self) -> None:
        """Nothing is under way afterwards; every socket is closed, a client's or a server's."""
        assert self._session is not None
        # First: a request that is cancelled leaves the pool, and nobody waits for its socket.
        await self._session.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        # TLS takes leave in further turns of the loop, and a loop that stops takes none.
        async with asyncio.timeout(_CLOSING_SECONDS):
            # A socket tells nobody that it is closed.
            while self._is_watching() or any(made.fileno() >= 0 for made in self._sockets):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # the loop closes a socket in the turn after it stops watching it

    def _is_watching(self) -> bool:
        """The loop waits for a socket besides the one that wakes the loop itself."""
        return len(self._selector.get_map()) > 1


def _unwanted(asked: asyncio.Future[aiohttp.ClientResponse]) -> None:
    """Nobody waits for this answer any more."""
    if not asked.cancelled() and asked.exception() is None:
        asked.result().close()


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: response.headers[name] for name in _GIVEN_BACK if name in response.headers}


def _with(query: str, **more: str) -> str:
    return urlencode([*parse_qsl(query), *more.items()])


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole lines with their ends."""
    held = b""
    async for chunk in chunks:
        *whole, held = (held + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if held:
        yield held
