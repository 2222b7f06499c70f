"""Answers a kubelet and Prometheus over HTTP: `/metrics` and `/readyz`, from a separate thread.

It reads counters and one flag. The main loop never waits for a scrape, and a stuck main loop can
still be seen from outside. Liveness is kopf's endpoint (`handlers.lifecycle`).
"""

import http.server
import threading
from collections.abc import Callable
from http import HTTPStatus

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


class HttpEndpoint:
    """Serves until `stop`. With port 0 the system chooses; `port` is the chosen port."""

    def __init__(
        self, address: str, port: int, *, page: Callable[[], bytes], ready: Callable[[], str]
    ) -> None:
        """`page` returns the metrics text; `ready` returns an empty string, or why not ready."""

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match self.path.partition("?")[0]:
                    case "/metrics":
                        self._answer(HTTPStatus.OK, page())
                    case "/readyz":
                        lacks = ready()
                        status = HTTPStatus.SERVICE_UNAVAILABLE if lacks else HTTPStatus.OK
                        self._answer(status, (lacks or "ready").encode() + b"\n")
                    case _:
                        self._answer(HTTPStatus.NOT_FOUND, b"see /metrics and /readyz\n")

            def _answer(self, status: HTTPStatus, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", _TEXT)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Scrapes are not decisions, so they are not logged."""

        self._server = http.server.ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="endpoint", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
