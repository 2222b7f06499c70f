"""The seam to the API server: a request goes out, bytes come back.

Credentials, TLS and connection reuse stay behind `Transport`. `errors` decides what an answer
means, `decode` what its bytes mean, and `kubeconfig` where the server is and who we are.
"""

import asyncio
import contextlib
import email.utils
import functools
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self
from urllib.parse import quote, urlencode

import aiohttp
import yarl

from bayplan.cluster import errors, kubeconfig
from bayplan.cluster.credential_plugins import AccessError

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
APPLY = "application/apply-patch+yaml"  # JSON is also valid YAML


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as data. `verb` and `kind` name it in metrics and logs.

    `timeout_seconds` bounds the whole exchange; for a stream, only the time to its first byte.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = JSON
    accept: str = JSON
    verb: str = ""
    kind: str = ""
    timeout_seconds: float = 30.0

    @property
    def target(self) -> str:
        """Path and query, percent-encoded."""
        path = quote(self.path, safe="/:@")
        return f"{path}?{_encoded(self.query)}" if self.query else path


# Most requests have the same query.
_encoded = functools.lru_cache(maxsize=256)(urlencode)


class Transport(Protocol):
    """One request out, bytes back. Both methods raise only errors of the tree in `errors`."""

    async def send(self, request: Request) -> bytes: ...

    def stream(self, request: Request) -> AsyncIterator[bytes]:
        """The body as it arrives, in pieces of any size; ends when the server closes it."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a configuration says: the server, the TLS settings, and the authorization header.

    `authorization` is called before requests, at most every few seconds: token files change.
    `expires_at` is when an exec plugin's token ends (epoch seconds). While `tls_digest` is the
    same, open connections may go on under new credentials.
    """

    base_url: str
    tls: ssl.SSLContext | bool
    authorization: Callable[[], Awaitable[str | None]]
    expires_at: float | None = None
    tls_digest: str = ""
    proxy: str | None = None
    server_name: str | None = None


async def credentials(file: str | None = None, context: str | None = None) -> Credentials:
    """Load the given file, else that of $KUBECONFIG, else the pod's own, else ~/.kube/config."""
    try:
        found = await kubeconfig.access(file, context)
        tls = found.tls()
    except (AccessError, OSError, ValueError) as error:
        raise errors.Unavailable(f"no usable configuration: {error}") from error

    async def authorization() -> str | None:
        return found.authorization()

    return Credentials(
        base_url=found.server,
        tls=tls,
        authorization=authorization,
        expires_at=found.expires_at,
        tls_digest=found.digest,
        proxy=found.proxy or None,
        server_name=found.server_name or None,
    )


_HEADER_SECONDS = 5.0  # how long an authorization header is used before it is asked for again
_EARLY_SECONDS = 60.0  # credentials are renewed this long before they expire
_RENEW_SECONDS = 10.0  # they are loaded at most this often
_RETIRED_SECONDS = 600.0  # after this no stream of a former session is open any more
_SKEW_SECONDS = 30.0  # how often the server's clock is compared with ours


class HttpTransport:
    """The transport of a running operator: one aiohttp session to one API server.

    It belongs to one event loop. Credentials that expire or are refused (401) are loaded again once
    and the request is repeated; a second refusal is `Unavailable`.
    """

    def __init__(
        self,
        load: Callable[[], Awaitable[Credentials]],
        *,
        connections: int = 64,
        user_agent: str = "bayplan",
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._connections = connections
        self._user_agent = user_agent
        self._wall = wall
        self._monotonic = monotonic
        self._credentials: Credentials | None = None
        self._session: aiohttp.ClientSession | None = None
        self._retired: list[tuple[float, aiohttp.ClientSession]] = []  # since when, session
        self._renewing = asyncio.Lock()
        self._renewed_at = float("-inf")
        self._header: tuple[float, Mapping[str, str]] = (float("-inf"), {})
        self._served_at: float | None = None  # the server's time when our monotonic clock was 0
        self._compared_at = float("-inf")

    @property
    def skew_seconds(self) -> float | None:
        """The server's clock minus ours, by its Date headers (None: not seen yet; within 1 s).

        The clocks are compared now and then. Between comparisons the monotonic clock is used, so
        that a step of our wall clock shows at once.
        """
        if self._served_at is None:
            return None
        return self._served_at + self._monotonic() - self._wall()

    @classmethod
    async def connect(
        cls,
        file: str | None = None,
        context: str | None = None,
        *,
        connections: int = 64,
        user_agent: str = "bayplan",
    ) -> Self:
        """Load the configuration; no request is sent yet."""
        transport = cls(
            lambda: credentials(file, context),
            connections=connections,
            user_agent=user_agent,
        )
        await transport._renew(None)
        return transport

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        sessions = [session for _, session in self._retired]
        if self._session is not None:
            sessions.append(self._session)
        self._session = None  # first: a sender then learns that it is closed
        self._retired.clear()
        for session in sessions:
            await session.close()

    async def send(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(request.timeout_seconds):
                response = await self._exchange(request)
                return await response.read()  # this also gives the connection back
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise _unanswered(error) from error

    async def stream(self, request: Request) -> AsyncIterator[bytes]:
        try:
            async with asyncio.timeout(request.timeout_seconds):
                response = await self._exchange(request)
            async with response:
                async for chunk in response.content.iter_any():
                    yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError) as error:
            raise _unanswered(error) from error

    async def _exchange(self, request: Request) -> aiohttp.ClientResponse:
        """Send once, and once more when the credentials were refused; raise any other failure.

        The caller reads the answer, which closes it.
        """
        used = await self._current()
        response = await self._request(used, request)
        if response.status == 401:  # noqa: PLR2004  Unauthorized
            await response.read()
            await self._renew(used)
            response = await self._request(await self._current(), request)
        self._compare_clocks(response)
        if response.status >= 400:  # noqa: PLR2004  HTTP's errors
            raise errors.of(response.status, await response.read(), _retry_after(response.headers))
        return response

    async def _request(self, used: Credentials, request: Request) -> aiohttp.ClientResponse:
        if self._session is None:
            raise errors.Unavailable("the connection is closed")
        headers = {**await self._authorization(used), "Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        try:
            return await self._session.request(
                request.method,
                yarl.URL(used.base_url + request.target, encoded=True),
                data=request.body,
                headers=headers,
                proxy=used.proxy,
                server_hostname=used.server_name,
                allow_redirects=False,
            )
        except aiohttp.ClientSSLError:
            await self._renew(used)  # authorities and certificates are rotated, too
            raise

    async def _authorization(self, used: Credentials) -> Mapping[str, str]:
        now = asyncio.get_running_loop().time()
        asked_at, header = self._header
        if now - asked_at >= _HEADER_SECONDS:
            try:
                shown = await used.authorization()
            except (AccessError, OSError) as error:
                raise errors.Unavailable(f"no credentials: {error}") from error
            header = {"Authorization": shown} if shown else {}
            self._header = (now, header)
        return header

    async def _current(self) -> Credentials:
        used = self._credentials
        expires_at = used.expires_at if used is not None else None
        if used is None or (expires_at is not None and expires_at - _EARLY_SECONDS <= self._wall()):
            await self._renew(used)
        if self._credentials is None:
            raise errors.Unavailable("no credentials")
        return self._credentials

    async def _renew(self, refused: Credentials | None) -> None:
        """Load the configuration again, unless another task did so since `refused` was in use."""
        async with self._renewing:
            now = asyncio.get_running_loop().time()
            if self._credentials is not refused or now - self._renewed_at < _RENEW_SECONDS:
                return
            if self._credentials is not None:
                self._renewed_at = now
            fresh = await self._load()
            self._header = (float("-inf"), {})
            before, self._credentials = self._credentials, fresh
            if before is not None:
                if self._session is None:
                    return  # another task has closed it meanwhile
                if (before.base_url, before.tls_digest) == (fresh.base_url, fresh.tls_digest):
                    return
                # Streams that are open go on for a while; then the old session is closed.
                self._retired.append((now, self._session))
            while self._retired and now - self._retired[0][0] > _RETIRED_SECONDS:
                await self._retired.pop(0)[1].close()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._connections, ssl=fresh.tls, ttl_dns_cache=30, keepalive_timeout=60
                ),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                # Compressing lists costs the server more than it saves on a network nearby.
                # Kubernetes' own scheduler and controller manager do not ask for compression
                # either.
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=2**20,
            )

    def _compare_clocks(self, response: aiohttp.ClientResponse) -> None:
        now = self._monotonic()
        if now - self._compared_at < _SKEW_SECONDS:
            return
        with contextlib.suppress(KeyError, ValueError, TypeError):
            served = email.utils.parsedate_to_datetime(response.headers["Date"])
            self._served_at = served.timestamp() - now
            self._compared_at = now


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return max(0.0, float(headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _unanswered(error: Exception) -> errors.Unavailable:
    return errors.Unavailable(f"{type(error).__name__}: {error}".rstrip(": "))
