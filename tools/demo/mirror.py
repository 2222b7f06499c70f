"""Copies of a few collections, kept equal to the server's by watching them; one thread each.

A watch that ends, for whatever reason, begins anew with a list: nothing is carried over that could
be wrong.
"""

import base64
import contextlib
import http.client
import json
import ssl
import tempfile
import threading
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import yaml

Object = Mapping[str, Any]
_WATCH_SECONDS = 300
_PAUSE_SECONDS = 0.5


class Mirror:
    """`read` gives a collection as it was a moment ago; `changed` is set after every event."""

    def __init__(self, kubeconfig: Path, paths: Sequence[str]) -> None:
        self._address, self._tls = _entry(kubeconfig)
        self._held: dict[str, dict[str, Object]] = {path: {} for path in paths}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.changed = threading.Event()

    def __enter__(self) -> Self:
        for path in self._held:
            threading.Thread(target=self._keep, args=(path,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def read(self, path: str) -> list[Object]:
        with self._lock:
            return list(self._held[path].values())

    def _keep(self, path: str) -> None:
        while not self._over.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                self._follow(path)
            self._over.wait(_PAUSE_SECONDS)

    def _follow(self, path: str) -> None:
        """List, then watch until the stream ends or says that it cannot go on."""
        with contextlib.closing(self._connection()) as connection:
            answer = json.loads(_get(connection, path).read())
            listed = {_key(one): one for one in answer["items"]}
            with self._lock:
                self._held[path] = listed
            self.changed.set()
            version = answer["metadata"]["resourceVersion"]
            query = f"watch=1&resourceVersion={version}&timeoutSeconds={_WATCH_SECONDS}"
            stream = _get(connection, f"{path}?{query}")
            while not self._over.is_set() and (line := stream.readline()):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                with self._lock:
                    if event["type"] == "DELETED":
                        listed.pop(_key(event["object"]), None)
                    else:
                        listed[_key(event["object"])] = event["object"]
                self.changed.set()

    def _connection(self) -> http.client.HTTPSConnection:
        host, port = self._address
        return http.client.HTTPSConnection(
            host, port, context=self._tls, timeout=_WATCH_SECONDS + 10
        )


def _get(connection: http.client.HTTPSConnection, path: str) -> http.client.HTTPResponse:
    connection.request("GET", path)
    response = connection.getresponse()
    if response.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"{path}: {response.status}")
    return response


def _key(one: Object) -> str:
    return str(one["metadata"]["uid"])


def _entry(kubeconfig: Path) -> tuple[tuple[str, int], ssl.SSLContext]:
    """Where the server is and how to be its administrator; everything is in the file itself."""
    config = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    url = urllib.parse.urlsplit(cluster["server"])
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    tls = ssl.create_default_context(cadata=authority)
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder) / "client.pem"
        pair.touch(mode=0o600)
        parts = ("client-certificate-data", "client-key-data")
        pair.write_bytes(b"\n".join(base64.b64decode(user[part]) for part in parts))
        tls.load_cert_chain(pair)
    return (url.hostname or "", url.port or 443), tls
