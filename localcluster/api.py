"""The administrator's own few requests to the API server, without a client library.

One connection a thread, so that hundreds of nodes can be made in parallel; kubectl would take a
process each. Not for the operator under test: that brings its own transport.
"""

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_PARALLEL = 16
_PATCH_TYPES = {"PATCH": "application/merge-patch+json"}


class ApiError(RuntimeError):
    """The API server refused; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Requests as one client certificate to one server on this machine."""

    def __init__(
        self,
        port: int,
        authority: Path,
        certificate: Path,
        key: Path,
        *,
        timeout_seconds: float = 10,
    ) -> None:
        self._port = port
        self._timeout_seconds = timeout_seconds
        self._context = ssl.create_default_context(cafile=authority)
        self._context.load_cert_chain(certificate, key)
        self._local = threading.local()
        self._open: list[http.client.HTTPSConnection] = []

    def request(self, method: str, path: str, body: object = None) -> Any:
        """One request; the decoded answer. A PATCH is a merge patch. Raises `ApiError`, `OSError`.

        A connection that the server closed meanwhile is opened again once.
        """
        try:
            return self._send(method, path, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
            self._connection().close()
            return self._send(method, path, body)

    def each(self, requests: Iterable[tuple[str, str, object]]) -> list[Any]:
        """Many requests at once; the answers in the order given. The first error is raised."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return list(pool.map(lambda request: self.request(*request), requests))

    def answers(self, path: str) -> bool:
        """Whether a GET is answered with success now."""
        try:
            self.request("GET", path)
        except (ApiError, OSError, http.client.HTTPException):
            self._connection().close()
            return False
        return True

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.close()

    def _connection(self) -> http.client.HTTPSConnection:
        known: http.client.HTTPSConnection | None = getattr(self._local, "connection", None)
        if known is None:
            known = http.client.HTTPSConnection(
                "127.0.0.1", self._port, context=self._context, timeout=self._timeout_seconds
            )
            self._local.connection = known
            self._open.append(known)
        return known

    def _send(self, method: str, path: str, body: object) -> Any:
        connection = self._connection()
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": _PATCH_TYPES.get(method, "application/json")}
        connection.request(method, path, data, headers)
        with connection.getresponse() as response:
            answer = response.read()
        is_json = response.headers.get_content_type() == "application/json"
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            message = json.loads(answer).get("message") if is_json else answer.decode()
            raise ApiError(response.status, str(message))
        return json.loads(answer) if is_json else answer.decode()
