"""Who may ask the dashboard: the page that the user opened, in the browser that opened it.

Other pages in the same browser, other names for this machine (DNS rebinding) and other users of
this machine are refused. A link holds a token that is good for one exchange; the cookie that it is
exchanged for lives as long as this process.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SESSION = "/api/session"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """The secrets of one dashboard. `port` is where it listens."""

    def __init__(self, port: int) -> None:
        self._names = frozenset({f"127.0.0.1:{port}", f"localhost:{port}"})
        # Cookies do not know ports: dashboards of two clusters must not share one.
        self._cookie = f"bayplan-{port}"
        self._secret = secrets.token_urlsafe(32)
        self._token = ""

    def new_token(self) -> str:
        """A token for one exchange; an earlier one that was not used is no good any more."""
        self._token = secrets.token_urlsafe(32)
        return self._token

    def exchange(self, token: str, response: web.Response) -> bool:
        """Give the response the cookie if the token is good; the token is used up then."""
        if not self._token or not hmac.compare_digest(token.encode(), self._token.encode()):
            return False
        self._token = ""
        response.set_cookie(self._cookie, self._secret, httponly=True, samesite="Strict", path="/")
        return True

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what did not come from the page itself; nothing may be cached or framed."""
        why = self._refusal(request)
        try:
            response = await handler(request) if not why else web.Response(status=403, text=why)
        except web.HTTPException as error:
            error.headers.update(_HEADERS)
            raise
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    def _refusal(self, request: web.Request) -> str:
        """Why a request is refused, in a sentence; empty if it is not."""
        if request.headers.get("Host", "") not in self._names:
            return "The dashboard answers only to 127.0.0.1 and localhost."
        origin = request.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self._names:
            return "The dashboard answers only to its own page."
        is_page = request.path == "/"
        allowed = {"same-origin", "none"} if is_page else {"same-origin"}
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in allowed:
            return "The dashboard answers only to its own page."
        if request.path == SESSION:
            return "" if request.method == "POST" else "Only POST begins a session."
        if request.method != "GET":
            return "The dashboard only shows; it takes no commands."
        if not request.path.startswith("/api/"):
            return ""
        known = request.cookies.get(self._cookie, "")
        if hmac.compare_digest(known.encode(), self._secret.encode()):
            return ""
        return "Open the link that `bayplan dashboard` printed."


def headers() -> dict[str, str]:
    """For responses that are prepared by a handler itself."""
    return dict(_HEADERS)
