"""The real transport against a scripted HTTP server on loopback: what it sends, what it bears."""

import asyncio
import contextlib
import json
import ssl
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bayplan.cluster import errors, requests, transport
from bayplan.cluster.transport import Credentials, HttpTransport, Request
from tests.certificates import authority

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PODS = Request("GET", "/api/v1/pods", verb="list", kind="Pod", timeout_seconds=5)


@contextlib.asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server on loopback; its address."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def loads(url: str, *tokens: str, **more: Any) -> Callable[[], Awaitable[Credentials]]:
    """A configuration that has another token each time it is loaded; the last one stays."""
    left = list(tokens)

    async def load() -> Credentials:
        token = left.pop(0) if len(left) > 1 else left[0]

        async def authorization() -> str:
            return f"Bearer {token}"

        return Credentials(base_url=url, authorization=authorization, **{"tls": False, **more})

    return load


def asked(
    handler: Handler, request: Request = PODS, *tokens: str, times: int = 1, **more: Any
) -> list[bytes | errors.ClusterError]:
    """Send it `times` at once; what came back."""

    async def body() -> list[bytes | errors.ClusterError]:
        async with (
            served(handler) as url,
            HttpTransport(loads(url, *(tokens or ("t",)), **more)) as used,
        ):
            answers = await asyncio.gather(
                *(used.send(request) for _ in range(times)), return_exceptions=True
            )
            for answer in answers:
                assert isinstance(answer, bytes | errors.ClusterError), answer
            return answers  # type: ignore[return-value]

    return asyncio.run(body())


def test_sends() -> None:
    """Method, path, query, body and headers arrive as the request says."""
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(
            (
                request.method,
                request.raw_path,
                request.headers["Authorization"],
                request.headers["Content-Type"],
                request.headers["User-Agent"],
                await request.read(),
            )
        )
        return web.Response(body=b"answer")

    request = requests.dry_run({"metadata": {"namespace": "a b", "name": "p"}}, strict=True)

    assert [b"answer"] == asked(handler, request)
    assert [
        (
            "POST",
            "/api/v1/namespaces/a%20b/pods?fieldManager=bayplan&dryRun=All&fieldValidation=Strict",
            "Bearer t",
            "application/json",
            "bayplan",
            b'{"metadata":{"namespace":"a b","name":"p"}}',
        )
    ] == seen


def test_errors() -> None:
    """A status becomes an error of the tree; Retry-After comes with it."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"}, body=b"busy")

    (error,) = asked(handler)

    assert isinstance(error, errors.Unavailable)
    assert (7.0, "busy") == (error.retry_after_seconds, error.message)


def test_refused_credentials() -> None:
    """After a 401 the configuration is loaded again, once for all, and the request repeated."""
    tokens: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        tokens.append(request.headers["Authorization"])
        return web.Response(status=200 if "new" in tokens[-1] else 401, body=b"ok")

    assert [b"ok"] * 5 == asked(handler, PODS, "old", "new", "newer", times=5)
    assert {"Bearer old", "Bearer new"} == set(tokens)


def test_refused_for_good() -> None:
    """Credentials that stay refused are `Unavailable`, after two tries."""
    count = 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal count
        count += 1
        return web.Response(status=401)

    (error,) = asked(handler, PODS, "old", "also old")

    assert isinstance(error, errors.Unavailable)
    assert 2 == count


def test_expiring_credentials() -> None:
    """Credentials are renewed before they expire, and not with every request."""
    tokens: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        tokens.append(request.headers["Authorization"])
        return web.Response(body=b"ok")

    async def body() -> None:
        async with served(handler) as url:
            load = loads(url, "first", "second", "third", expires_at=1000.0)
            async with HttpTransport(load, wall=lambda: 950.0) as used:
                for _ in range(3):
                    await used.send(PODS)

    asyncio.run(body())

    assert ["Bearer first", "Bearer second", "Bearer second"] == tokens


def test_nobody_there() -> None:
    """A refused connection and a server that says nothing are `Unavailable`."""

    async def handler(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    (error,) = asked(handler, Request("GET", "/", timeout_seconds=0.05))

    assert isinstance(error, errors.Unavailable)

    async def body() -> None:
        async with served(handler) as url:
            pass
        async with HttpTransport(loads(url, "t")) as used:
            await used.send(PODS)

    with pytest.raises(errors.Unavailable):
        asyncio.run(body())


def test_broken_answer() -> None:
    """A connection that breaks within an answer is `Unavailable`, in a stream too."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    (error,) = asked(handler)

    assert isinstance(error, errors.Unavailable)

    async def body() -> list[bytes]:
        chunks: list[bytes] = []
        async with served(handler) as url, HttpTransport(loads(url, "t")) as used:
            try:
                _ = [chunk async for chunk in _kept(used.stream(PODS), chunks)]
            except errors.Unavailable:
                return chunks
        return []

    assert [b"half"] == asyncio.run(body())


async def _kept(source: AsyncIterator[bytes], kept: list[bytes]) -> AsyncIterator[bytes]:
    async for chunk in source:
        kept.append(chunk)
        yield chunk


def test_stream() -> None:
    """A stream gives what arrives as it arrives, of any length, and its errors at the start."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if "gone" in request.path:
            return web.Response(status=410)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * 3_000_000)
        await response.write(b"end")
        return response

    async def body() -> tuple[int, bytes]:
        held = bytearray()
        async with served(handler) as url, HttpTransport(loads(url, "t")) as used:
            async for chunk in used.stream(PODS):
                held += chunk
            with pytest.raises(errors.Gone):
                async for _ in used.stream(Request("GET", "/gone")):
                    pass
        return len(held), bytes(held[-3:])

    assert (3_000_003, b"end") == asyncio.run(body())


def test_clock_skew() -> None:
    """The server's clock minus ours is known from its Date header; a step of ours shows at once."""
    wall = [90.0]

    async def handler(_: web.Request) -> web.Response:
        return web.Response(headers={"Date": "Thu, 01 Jan 1970 00:01:40 GMT"})

    async def body() -> list[float | None]:
        async with (
            served(handler) as url,
            HttpTransport(loads(url, "t"), wall=lambda: wall[0], monotonic=lambda: 5.0) as used,
        ):
            seen = [used.skew_seconds]
            await used.send(PODS)
            seen.append(used.skew_seconds)
            wall[0] += 3600.0
            return [*seen, used.skew_seconds]

    assert [None, 10.0, -3590.0] == asyncio.run(body())


def test_closed() -> None:
    """Whoever still asks after the end learns that it is closed."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response()

    async def body() -> None:
        async with served(handler) as url:
            used = HttpTransport(loads(url, "t"))
            await used.send(PODS)
            await used.close()
            await used.send(PODS)

    with pytest.raises(errors.Unavailable):
        asyncio.run(body())


class TestCredentials:
    """Where a configuration comes from: we say which file, and keep what the package reads."""

    def kubeconfig(self, folder: Path, user: dict[str, Any], **cluster: Any) -> str:
        path = folder / "config"
        body = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://kube:1/", **cluster}}],
            "users": [{"name": "u", "user": user}],
        }
        path.write_text(json.dumps(body))
        return str(path)

    def load(self, path: str | None = None) -> tuple[Credentials, str | None]:
        async def body() -> tuple[Credentials, str | None]:
            loaded = await transport.credentials(path)
            return loaded, await loaded.authorization()

        return asyncio.run(body())

    def test_token(self, tmp_path: Path) -> None:
        """A kubeconfig with a token, and the settings of its cluster."""
        path = self.kubeconfig(tmp_path, {"token": "abc"}, **{"tls-server-name": "kube"})
        loaded, shown = self.load(path)

        assert "Bearer abc" == shown
        assert ("https://kube:1", "kube") == (loaded.base_url, loaded.server_name)

    def test_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """$KUBECONFIG counts where no file is given."""
        monkeypatch.setenv("KUBECONFIG", self.kubeconfig(tmp_path, {"token": "env"}))

        assert "Bearer env" == self.load()[1]

    def test_exec_plugin(self, tmp_path: Path) -> None:
        """An exec plugin's token and its end."""
        plugin = tmp_path / "plugin"
        plugin.write_text(
            textwrap.dedent("""\
                #!/bin/sh
                echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
                "status": {"token": "fresh", "expirationTimestamp": "1970-01-01T00:16:40Z"}}'
            """)
        )
        plugin.chmod(0o755)
        user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
        loaded, shown = self.load(self.kubeconfig(tmp_path, user))

        assert ("Bearer fresh", 1000.0) == (shown, loaded.expires_at)

    def test_none(self, tmp_path: Path) -> None:
        """No configuration, or a broken one, is said in words."""
        with pytest.raises(errors.Unavailable, match="no usable configuration"):
            self.load(str(tmp_path / "absent"))

    def test_proxy(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The environment's proxy counts, unless it excepts the host."""
        path = self.kubeconfig(tmp_path, {"token": "abc"})
        monkeypatch.setenv("https_proxy", "http://proxy:3128")
        monkeypatch.setenv("no_proxy", "example.com")

        assert "http://proxy:3128" == self.load(path)[0].proxy

        monkeypatch.setenv("no_proxy", "kube")

        assert self.load(path)[0].proxy is None


def test_rotated_authority(tmp_path: Path) -> None:
    """When TLS fails the configuration is loaded again; the next request may succeed."""
    (tmp_path / "cert").write_text("".join(pem := authority("127.0.0.1")))
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(tmp_path / "cert")
    trusts = [ssl.create_default_context(cadata=one) for one in (authority("old")[0], pem[0])]

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b"ok")

    async def body() -> bytes:
        async with served(handler, serving) as url:
            left = list(enumerate(trusts))

            async def load() -> Credentials:
                number, tls = left.pop(0)
                return await loads(url, "t", tls_digest=str(number), tls=tls)()

            async with HttpTransport(load) as used:
                with pytest.raises(errors.Unavailable):
                    await used.send(PODS)
                return await used.send(PODS)

    assert b"ok" == asyncio.run(body())
