"""The auditor's ears: one thread a kind, listing once and then only watching. Reads, never writes.

with Watcher(kubeconfig) as watcher:
    …
    watcher.check()      # waits until it has heard all that is stored, then asserts
"""

import base64
import contextlib
import functools
import http.client
import json
import ssl
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Self

import yaml

from tests.audit import amounts
from tests.audit.auditor import Auditor
from tests.audit.verdicts import Violation

_KINDS: Mapping[str, str] = {
    "Pod": "/api/v1/pods",
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "BatchJob": "/apis/bayplan.dev/v1alpha1/batchjobs",
    "LongService": "/apis/bayplan.dev/v1alpha1/longservices",
}
_HEARD_SECONDS = 30.0
_AGAIN_SECONDS = 0.1  # after an API server that does not answer


class Watcher:
    """Tells an `Auditor` everything that one API server says, in each stream's order."""

    def __init__(self, kubeconfig: Path, journal: IO[str] | None = None) -> None:
        """`journal` gets a line for all that is heard, and for every rule that it breaks."""
        self.auditor = Auditor()
        self._journal = journal
        self.faults: list[str] = []
        self._read(kubeconfig)
        self._heard = threading.Condition()
        self._versions: dict[str, int] = {}  # kind -> resourceVersion that was heard last
        self._bodies: dict[str, dict[str, Mapping[str, Any]]] = {kind: {} for kind in _KINDS}
        self._open: dict[str, http.client.HTTPSConnection] = {}
        self._closing = False
        self._again = threading.Event()
        self._threads = [
            threading.Thread(target=self._listen, args=one, name=f"audit {one[0]}", daemon=True)
            for one in _KINDS.items()
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        with self._heard:
            ready = self._heard.wait_for(lambda: len(self._versions) == len(_KINDS), 30)
        assert ready, f"not listed: {_KINDS.keys() - self._versions.keys()}"
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._again.set()
        for connection in self._open.values():
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(2)
        for thread in self._threads:
            thread.join(10)

    def judged(self) -> list[Violation]:
        """All violations so far, when everything that is stored now has been heard."""
        for kind, path in _KINDS.items():
            stored = _newest(self._get(path))
            with self._heard:
                heard = self._heard.wait_for(
                    functools.partial(self._has_heard, kind, stored), _HEARD_SECONDS
                )
            assert heard, f"the watch of {path} is behind; {self.faults}"
        with self._heard:
            return list(self.auditor.judge(time.monotonic(), time.time()))

    def check(self) -> None:
        """No rule is broken."""
        violations = self.judged()
        assert not violations, "the auditor found:\n" + "\n".join(map(str, violations))

    def excuse(self, namespace: str) -> None:
        """People delete pods of services in this namespace."""
        with self._heard:
            self.auditor.excuse(namespace)

    # ---- inside -----------------------------------------------------------------------------

    def _listen(self, kind: str, path: str) -> None:
        """List, watch; after any end of the stream again, telling what changed meanwhile."""
        version = 0
        while not self._closing:
            try:
                if not version:
                    version = self._list(kind, path)
                for event in self._watch(kind, path, version):
                    if event["type"] == "ERROR":
                        version = 0
                        break
                    body = event["object"]
                    if event["type"] != "BOOKMARK":
                        self._tell(kind, event["type"], body)
                    version = int(body["metadata"]["resourceVersion"])
                    self._note(kind, version)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if not self._closing:
                    self.faults.append(f"{kind}: {error!r}")
                    self._again.wait(_AGAIN_SECONDS)

    def _list(self, kind: str, path: str) -> int:
        answer = self._get(path)
        version = int(answer["metadata"]["resourceVersion"])
        first = kind not in self._versions
        found = {one["metadata"]["uid"]: {**one, "kind": kind} for one in answer["items"]}
        for uid, body in tuple(self._bodies[kind].items()):
            if uid not in found:
                self._tell(kind, "DELETED", body)
        for body in found.values():
            if self._bodies[kind].get(body["metadata"]["uid"]) != body:
                self._tell(kind, "MODIFIED", body, listed=first)
        self._note(kind, version)
        return version

    def _tell(
        self, kind: str, event: str, body: Mapping[str, Any], *, listed: bool = False
    ) -> None:
        uid = body["metadata"]["uid"]
        if event == "DELETED":
            self._bodies[kind].pop(uid, None)
        else:
            self._bodies[kind][uid] = body
        with self._heard:
            told = len(self.auditor.violations)
            self.auditor.see(event, body, time.monotonic(), listed=listed)
            if self._journal is not None:
                self._note_down(self._journal, event, body, told)

    def _note_down(self, journal: IO[str], event: str, body: Mapping[str, Any], told: int) -> None:
        """What happened, short enough for a hundred thousand of them."""
        spec, metadata, status = body.get("spec", {}), body["metadata"], body.get("status", {})
        kind = body["kind"]
        line = {
            "at": round(time.time(), 3),
            "event": event,
            "kind": kind,
            "name": f"{metadata.get('namespace', '')}/{metadata['name']}",
            "uid": metadata["uid"][:8],
            "version": metadata["resourceVersion"],
            "leaving": metadata.get("deletionTimestamp"),
            **{key: spec[key] for key in ("nodeName", "replicas", "unschedulable") if key in spec},
            **{key: status[key] for key in ("phase",) if key in status},
            **({"cpu": amounts.asked(body)["cpu"]} if event == "ADDED" and kind == "Pod" else {}),
        }
        print(json.dumps(line), file=journal)
        for one in self.auditor.violations[told:]:
            print(json.dumps({"at": line["at"], "broken": str(one)}), file=journal)

    def _note(self, kind: str, version: int) -> None:
        with self._heard:
            self._versions[kind] = max(version, self._versions.get(kind, 0))
            self._heard.notify_all()

    def _has_heard(self, kind: str, version: int) -> bool:
        return self._versions[kind] >= version

    def _get(self, path: str) -> Any:
        with contextlib.closing(self._connection(30)) as connection:
            connection.request("GET", path, headers=self._headers)
            response = connection.getresponse()
            answer = response.read()
        if response.status != http.HTTPStatus.OK:
            raise http.client.HTTPException(f"{path}: {response.status} {answer[:200]!r}")
        return json.loads(answer)

    def _watch(self, kind: str, path: str, version: int) -> Iterator[Mapping[str, Any]]:
        target = (
            f"{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}&timeoutSeconds=600"
        )
        with contextlib.closing(self._connection(700)) as connection:
            self._open[kind] = connection
            connection.request("GET", target, headers=self._headers)
            response = connection.getresponse()
            if response.status == http.HTTPStatus.GONE:
                yield {"type": "ERROR"}
                return
            if response.status != http.HTTPStatus.OK:
                # A server that starts does not serve custom kinds at once.
                raise http.client.HTTPException(f"{path}: {response.status}")
            while not self._closing and (line := response.readline()):
                yield json.loads(line)

    def _connection(self, seconds: float) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._host, self._port, context=self._tls, timeout=seconds
        )

    def _read(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        chosen = next(one for one in config["contexts"] if one["name"] == config["current-context"])
        named = chosen["context"]
        cluster = next(one for one in config["clusters"] if one["name"] == named["cluster"])
        user = next(one for one in config["users"] if one["name"] == named["user"])["user"]
        server = urllib.parse.urlsplit(cluster["cluster"]["server"])
        self._host, self._port = server.hostname or "", server.port or 443
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        with tempfile.TemporaryDirectory() as folder:

            def file(words: Mapping[str, str], key: str) -> str | None:
                if f"{key}-data" not in words:
                    return words.get(key)
                path = Path(folder) / key
                path.write_bytes(base64.b64decode(words[f"{key}-data"]))
                return str(path)

            authority = file(cluster["cluster"], "certificate-authority")
            self._tls = ssl.create_default_context(cafile=authority)
            certificate = file(user, "client-certificate")
            if certificate is not None:
                self._tls.load_cert_chain(certificate, file(user, "client-key"))


def _newest(answer: Mapping[str, Any]) -> int:
    """The newest resourceVersion among the listed objects: the watch must have come so far."""
    return max((int(one["metadata"]["resourceVersion"]) for one in answer["items"]), default=0)
