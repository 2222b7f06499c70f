"""The HTTP server of the dashboard: the page, its data, and what changes, on 127.0.0.1 alone."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from bayplan.dashboard import guard
from bayplan.dashboard.history import History

STATIC = Path(__file__).parent / "static"
BEAT_SECONDS = 15.0  # a comment, so that a page notices a server that has gone
_MOST_TOKEN_BYTES = 1024

Ask = Callable[[str, str, str], Awaitable[Mapping[str, Any]]]  # kind, namespace, name -> JSON


class Untold(Exception):  # noqa: N818  an answer, in words for the page
    """What was asked for cannot be told; the page shows why."""


class Source(Protocol):
    """What is shown: a live cluster (`Feed`) or a file (`Replay`)."""

    def snapshot(self, at: int | None = None) -> bytes: ...

    def since(self, version: str) -> AsyncGenerator[tuple[str, bytes], None]: ...


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page can ask for: `look` tells of an object, `explain` why it waits."""

    source: Source
    history: History
    about: Mapping[str, Any]
    look: Ask
    explain: Ask


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """Serves what is `shown`; `opened` is called when a page has used up its link."""

    shown: Shown
    guard: guard.Guard
    opened: Callable[[], None]

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.guard.middleware])
        app.router.add_get("/", self._page)
        app.router.add_post(guard.SESSION, self._session)
        app.router.add_get("/api/about", self._about)
        app.router.add_get("/api/snapshot", self._snapshot)
        app.router.add_get("/api/events", self._events)
        app.router.add_get("/api/history", self._history)
        where = "/{kind}/{namespace}/{name}"
        app.router.add_get(f"/api/object{where}", self._object)
        app.router.add_get(f"/api/explain{where}", self._explain)
        app.router.add_static("/static", STATIC, show_index=False, follow_symlinks=False)
        return app

    async def _page(self, _request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _session(self, request: web.Request) -> web.StreamResponse:
        token = (await request.content.read(_MOST_TOKEN_BYTES)).decode(errors="replace")
        response = web.Response(status=204)
        if not self.guard.exchange(token, response):
            return web.Response(status=403, text="The link was used already, or is an old one.")
        self.opened()
        return response

    async def _about(self, _request: web.Request) -> web.StreamResponse:
        return _json(json.dumps(self.shown.about).encode())

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        at = request.query.get("at", "")
        return _json(self.shown.source.snapshot(int(at) if at.isdecimal() else None))

    async def _history(self, _request: web.Request) -> web.StreamResponse:
        return _json(json.dumps(self.shown.history.columns()).encode())

    async def _object(self, request: web.Request) -> web.StreamResponse:
        return await _asked(request, self.shown.look)

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        return await _asked(request, self.shown.explain)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: differences after `?since=` or Last-Event-ID."""
        since = request.headers.get("Last-Event-ID") or request.query.get("since", "")
        response = web.StreamResponse(headers=guard.headers())
        response.content_type = "text/event-stream"
        await response.prepare(request)
        source = self.shown.source.since(since)
        # A page that reads too slowly is waited for here, and then told to begin anew by the feed.
        with contextlib.suppress(ConnectionError):
            waiting = asyncio.ensure_future(anext(source, None))
            try:
                while True:
                    done, _ = await asyncio.wait({waiting}, timeout=BEAT_SECONDS)
                    if not done:
                        await response.write(b": beat\n\n")
                        continue
                    found = waiting.result()
                    if found is None:
                        break
                    version, data = found
                    kind = b"change" if data else b"reset"
                    head = b"id: %s\nevent: %s\ndata: " % (version.encode(), kind)
                    await response.write(head + data + b"\n\n")
                    waiting = asyncio.ensure_future(anext(source, None))
            finally:
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                await source.aclose()
        return response


async def _asked(request: web.Request, ask: Ask) -> web.StreamResponse:
    info = request.match_info
    namespace = "" if info["namespace"] == "-" else info["namespace"]
    try:
        found = await ask(info["kind"], namespace, info["name"])
    except Untold as error:
        return web.json_response({"why": str(error)}, status=404)
    return _json(json.dumps(found, default=str).encode())


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json", charset="utf-8")
