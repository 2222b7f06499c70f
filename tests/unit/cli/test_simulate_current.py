"""`bayplan simulate --cluster`: volumes of the cluster count, and who may not list them is told."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import bayplan
from tests.unit.cli.test_simulate_room import NODES, claim, volume, with_claim

OBJECTS: dict[str, list[Any]] = {
    "/api/v1/nodes": list(NODES),
    "/api/v1/pods": [with_claim("na")],
    "/api/v1/persistentvolumes": [volume("z-a")],
    "/api/v1/persistentvolumeclaims": [claim(volumeName="pv1")],
}


class _Server(http.server.BaseHTTPRequestHandler):
    refused: tuple[str, ...] = ()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        code = 403 if path in self.refused else 200
        body: dict[str, Any] = {"kind": "List", "metadata": {}, "items": OBJECTS.get(path, [])}
        if code == 403:
            body = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "not yours"}
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(params=[(), ("/api/v1/persistentvolumes", "/apis/storage.k8s.io/v1/csinodes")])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, tuple[str, ...]]]:
    """A port, and what it refuses."""
    handler = type("Handler", (_Server,), {"refused": request.param})
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found.server_port, request.param
    found.shutdown()
    found.server_close()


def test_pods_of_a_cluster_stay_where_their_volumes_are(
    server: tuple[int, tuple[str, ...]], tmp_path: Path
) -> None:
    """--remove-node: no room elsewhere; without the right to see volumes it is said."""
    port, refused = server
    kubeconfig = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
    words = ["simulate", "--cluster", "--remove-node", "na", "--seconds", "0.05", "-o", "json"]
    done = subprocess.run(
        [sys.executable, "-c", "from bayplan.cli.main import main; main()", *words],
        env={
            "KUBECONFIG": str(tmp_path / "config"),
            "PYTHONPATH": str(Path(bayplan.__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    body = json.loads(done.stdout)

    assert (0 if refused else 1) == done.returncode, done.stderr
    assert ((1, 0) if refused else (0, 1)) == (body["placed"], body["unplaced"])
    assert len(refused) == done.stderr.count("not yours")
