"""Law D1: only the page that the user opened, in the browser that opened it, may ask."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bayplan.dashboard.guard import Guard
from bayplan.dashboard.history import History
from bayplan.dashboard.server import Server, Shown, Untold

ROUTES = (
    "/", "/static/main.js", "/api/about", "/api/snapshot", "/api/events?since=x-0", "/api/history",
    "/api/object/Pod/default/web", "/api/explain/Pod/default/web",
)  # fmt: skip
DATA = [one for one in ROUTES if one.startswith("/api/")]


class Source:
    """Has one empty state, and sends a page that listens away at once."""

    def snapshot(self, at: int | None = None) -> bytes:
        del at
        return b'{"tables":{}}'

    async def since(self, version: str) -> AsyncGenerator[tuple[str, bytes], None]:
        del version
        yield "x-1", b""


@dataclass
class Browser:
    """Sends requests as a browser would, to a server of its own."""

    session: aiohttp.ClientSession
    port: int
    guard: Guard
    opened: list[str]

    async def asks(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, **more: Any
    ) -> aiohttp.ClientResponse:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, headers=headers, **more) as answer:
            await answer.read()
            return answer

    async def signs_in(self) -> None:
        answer = await self.asks("/api/session", "POST", data=self.guard.new_token())
        assert 204 == answer.status


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser, None]:
    async def asked(kind: str, namespace: str, name: str) -> Mapping[str, Any]:
        if name == "gone":
            raise Untold("There is no such pod.")
        return {"kind": kind, "namespace": namespace, "name": name}

    opened: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    guard = Guard(port)
    shown = Shown(Source(), History(), {"live": True}, asked, asked)
    runner = web.AppRunner(Server(shown, guard, lambda: opened.append("yes")).app())
    await runner.setup()
    await web.SockSite(runner, listener).start()
    jar = aiohttp.CookieJar(unsafe=True)  # it keeps cookies of an address too, as browsers do
    try:
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            yield Browser(session, port, guard, opened)
    finally:
        await runner.cleanup()
        listener.close()


async def statuses(
    paths: list[str], *, signed_in: bool = True, method: str = "GET", **headers: str
) -> set[int]:
    async with browser() as one:
        if signed_in:
            await one.signs_in()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {(await one.asks(path, method, named)).status for path in paths}


def test_every_route_is_tried() -> None:
    async def routes() -> set[str]:
        async def untold(kind: str, namespace: str, name: str) -> Mapping[str, Any]:
            raise Untold(kind + namespace + name)

        shown = Shown(Source(), History(), {}, untold, untold)
        app = Server(shown, Guard(1), lambda: None).app()
        return {route.resource.canonical for route in app.router.routes() if route.resource}

    told = {"/", "/static", "/api/session"}
    told |= {f"/api/{one}" for one in ("about", "snapshot", "events", "history")}
    told |= {f"/api/{one}/{{kind}}/{{namespace}}/{{name}}" for one in ("object", "explain")}
    assert told == asyncio.run(routes())


def test_the_page_itself_gets_everything() -> None:
    assert {200} == asyncio.run(statuses(list(ROUTES), Sec_Fetch_Site="same-origin"))


def test_without_a_session_there_is_no_data() -> None:
    assert {403} == asyncio.run(statuses(DATA, signed_in=False))
    assert {200} == asyncio.run(statuses(["/", "/static/main.js"], signed_in=False))


@pytest.mark.parametrize("host", ["bayplan.example", "127.0.0.1", "localhost:1", "[::1]", ""])
def test_another_name_of_this_machine_is_refused(host: str) -> None:
    """A page of another name that resolves to this machine (DNS rebinding) has its own Host."""
    assert {403} == asyncio.run(statuses(list(ROUTES), Host=host))


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null"])
def test_another_origin_is_refused(origin: str) -> None:
    assert {403} == asyncio.run(statuses(list(ROUTES), Origin=origin))


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_request_that_another_site_causes_is_refused(site: str) -> None:
    assert {403} == asyncio.run(statuses(list(ROUTES), Sec_Fetch_Site=site))


def test_data_cannot_be_opened_by_a_link() -> None:
    assert {403} == asyncio.run(statuses(DATA, Sec_Fetch_Site="none"))
    assert {200} == asyncio.run(statuses(["/"], Sec_Fetch_Site="none"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_nothing_but_reading_is_served(method: str) -> None:
    assert {403} == asyncio.run(statuses(list(ROUTES), method=method))


def test_a_link_is_good_for_one_browser() -> None:
    async def tried() -> list[int]:
        async with browser() as one:
            token = one.guard.new_token()
            codes = []
            for word in ("wrong", "", token, token):
                answer = await one.asks("/api/session", "POST", data=word)
                codes.append(answer.status)
            assert ["yes"] == one.opened
            return codes

    assert [403, 403, 204, 403] == asyncio.run(tried())


def test_the_cookie_is_kept_from_scripts_and_other_sites() -> None:
    async def cookie() -> str:
        async with browser() as one:
            answer = await one.asks("/api/session", "POST", data=one.guard.new_token())
            return str(answer.headers["Set-Cookie"]).replace(str(one.port), "PORT")

    told = asyncio.run(cookie())
    assert told.startswith("bayplan-PORT=")
    assert {"HttpOnly", "Path=/", "SameSite=Strict"} == set(told.split("; ")[1:])


def test_scripts_come_from_here_alone() -> None:
    async def headers() -> Mapping[str, str]:
        async with browser() as one:
            return (await one.asks("/")).headers

    told = asyncio.run(headers())
    policy = dict(part.split(" ", 1) for part in told["Content-Security-Policy"].split("; "))
    assert "'none'" == policy["default-src"] == policy["frame-ancestors"]
    assert "'self'" == policy["script-src"] == policy["connect-src"]
    assert ("nosniff", "no-store") == (told["X-Content-Type-Options"], told["Cache-Control"])


def test_what_cannot_be_told_is_said_in_words() -> None:
    async def asked() -> tuple[int, Any]:
        async with browser() as one:
            await one.signs_in()
            url = f"http://127.0.0.1:{one.port}/api/object/Pod/-/gone"
            async with one.session.get(url) as answer:
                return answer.status, await answer.json()

    assert (404, {"why": "There is no such pod."}) == asyncio.run(asked())
