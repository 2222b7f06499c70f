"""What another thread asks of a silent cluster ends at once when the user leaves."""

import asyncio
import socket
import threading
from pathlib import Path

import yaml

from bayplan.cli import client
from bayplan.cli.target import Target


def test_a_request_without_an_answer_is_ended(tmp_path: Path) -> None:
    """The thread gets CancelledError, later requests too, until the client resumes."""
    ends: list[BaseException] = []

    def asking(cluster: client.ApiClient) -> None:
        try:
            cluster.listed("Node", "")
        except asyncio.CancelledError as error:
            ends.append(error)

    def asked(cluster: client.ApiClient) -> threading.Thread:
        thread = threading.Thread(target=asking, args=(cluster,), daemon=True)
        thread.start()
        return thread

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config = tmp_path / "config"
        config.write_text(yaml.safe_dump(_config(address)))
        with client.connected(Target("", kubeconfig=config)) as cluster:
            first = asked(cluster)
            connection, _ = silent.accept()
            cluster.interrupt()
            first.join(60)
            assert 1 == len(ends)
            asked(cluster).join(60)
            assert 2 == len(ends)
            cluster.resume()
            third = asked(cluster)
            again, _ = silent.accept()
            cluster.interrupt()
            third.join(60)
            assert 3 == len(ends)
            connection.close()
            again.close()


def _config(address: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
        "current-context": "c",
    }
