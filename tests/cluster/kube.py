"""A few requests to a real API server for tests: what a person would do, and waiting by watch.

Shares no code with the operator, so that a fault of its transport cannot hide here. Waiting is
never a sleep: `until` lists, watches, and asks its question after every event.
"""

import base64
import contextlib
import http.client
import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from localcluster.processes import wait_until

T = TypeVar("T")

Objects = Mapping[str, Mapping[str, Any]]  # name -> object

_PATCH = "application/merge-patch+json"


class RefusedError(AssertionError):
    """The API server refused; `status` is its HTTP status, the text its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Kube:
    """Requests as the user of one kubeconfig (client certificate or token)."""

    def __init__(self, kubeconfig: Path, kubectl: str = "kubectl") -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(c for c in config["contexts"] if c["name"] == config["current-context"])
        named = context["context"]
        cluster = next(c for c in config["clusters"] if c["name"] == named["cluster"])["cluster"]
        user = next(u for u in config["users"] if u["name"] == named["user"])["user"]
        server = urllib.parse.urlsplit(cluster["server"])
        self._host, self._port = server.hostname or "", server.port or 443
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        with tempfile.TemporaryDirectory() as folder:

            def file(source: Mapping[str, str], key: str) -> str | None:
                if key in source:
                    return source[key]
                if f"{key}-data" not in source:
                    return None
                path = Path(folder) / key
                path.write_bytes(base64.b64decode(source[f"{key}-data"]))
                return str(path)

            self._tls = ssl.create_default_context(cafile=file(cluster, "certificate-authority"))
            certificate = file(user, "client-certificate")
            if certificate is not None:
                self._tls.load_cert_chain(certificate, file(user, "client-key"))

    def kubectl(
        self,
        *words: str,
        text: str | None = None,
        check: bool = True,
        folder: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Real kubectl, as a person calls it in a folder (else the present one)."""
        done = subprocess.run(
            [self._kubectl, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=folder,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
        )
        assert done.returncode == 0 or not check, f"kubectl {' '.join(words)}: {done.stderr}"
        return done

    def apply(self, *bodies: Mapping[str, Any]) -> None:
        """Client-side `kubectl apply`, as users and GitOps tools do."""
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(bodies))

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def create(self, path: str, body: Mapping[str, Any]) -> Any:
        return self.request("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """A merge patch."""
        return self.request("PATCH", path, body)

    def delete(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self.request("DELETE", path, body)

    def request(self, method: str, path: str, body: object = None, *, kind: str = "") -> Any:
        """The answer; a patch is a merge patch unless `kind` is another content type."""
        with contextlib.closing(self._connection(60)) as connection:
            kind = kind or (_PATCH if method == "PATCH" else "application/json")
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {**self._headers, "Content-Type": kind})
            response = connection.getresponse()
            answer = response.read().decode()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise RefusedError(response.status, answer)
        return json.loads(answer)

    def listed(self, path: str) -> Objects:
        """A collection by name."""
        return {one["metadata"]["name"]: one for one in self.get(path)["items"]}

    def until_served(self, path: str, within: float = 60) -> None:
        """Wait until a new kind can be asked for: a moment after its definition is established."""

        def served() -> bool:
            try:
                self.get(path)
            except RefusedError:
                return False
            return True

        wait_until(served, f"{path} is served", within_seconds=within)

    def until(self, path: str, met: Callable[[Objects], T], *, within: float = 60) -> T:
        """Watch a collection until `met` answers something true, and return that.

        Raises AssertionError with what was last seen when `within` seconds have passed.
        """
        ends = time.monotonic() + within
        objects: dict[str, Mapping[str, Any]] = {}
        while True:
            answer = self.get(path)
            objects = {one["metadata"]["name"]: one for one in answer["items"]}
            if found := met(objects):
                return found
            version = answer["metadata"]["resourceVersion"]
            for event in self._watch(path, version, ends):
                if event["type"] in {"BOOKMARK", "ERROR"}:
                    break
                name = event["object"]["metadata"]["name"]
                objects[name] = event["object"]
                if event["type"] == "DELETED":
                    del objects[name]
                if found := met(objects):
                    return found
            if time.monotonic() >= ends:
                seen = json.dumps([_brief(one) for one in objects.values()], indent=1)
                raise AssertionError(f"not met within {within} s on {path}; last seen: {seen}")

    def _watch(self, path: str, version: str, ends: float) -> Iterator[Mapping[str, Any]]:
        """Events until the stream closes or the time is over."""
        left = ends - time.monotonic()
        if left <= 0:
            return
        sign = "&" if "?" in path else "?"
        target = f"{path}{sign}watch=1&resourceVersion={version}&timeoutSeconds={int(left) + 1}"
        with contextlib.closing(self._connection(left)) as connection:
            connection.request("GET", target, headers=self._headers)
            response = connection.getresponse()
            try:
                while time.monotonic() < ends and (line := response.readline()):
                    yield json.loads(line)
            except TimeoutError:
                return

    def _connection(self, seconds: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._host, self._port, context=self._tls, timeout=max(seconds, 0.1)
        )


def _brief(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "name": one["metadata"]["name"],
        "status": one.get("status", {}),
        "node": one.get("spec", {}).get("nodeName"),
    }
