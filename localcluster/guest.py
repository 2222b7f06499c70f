"""Fake nodes in a cluster that somebody else made: kwok from outside, beside the real nodes.

For tests on kind or on any cluster whose kubeconfig may create nodes. What is made is taken away
again by `close`: nodes first, then kwok.
"""

import datetime as dt
import itertools
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from localcluster import ec2, kwok, programs
from localcluster.cluster import kwok_address

Request = Callable[[str, str, Any], Any]  # (method, path, body) -> decoded answer

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
_HEARTBEAT_SECONDS = 10


class FakeNodes:
    """Nodes shaped like EC2 instances, played by a kwok process of our own."""

    def __init__(self, kubeconfig: Path, folder: Path, request: Request) -> None:
        self._request = request
        # Never a name that was there before: what belonged to its former bearer still goes.
        self._numbers = itertools.count(secrets.randbelow(20_000) * 100 + 1)
        self._names: list[str] = []
        programs.build(["kwok"])
        configuration = folder / "kwok.yaml"
        configuration.write_text(kwok.configuration(heartbeat_seconds=_HEARTBEAT_SECONDS))
        with (folder / "kwok.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    programs.path("kwok"),
                    f"--kubeconfig={kubeconfig}",
                    f"--config={configuration}",
                    "--node-lease-duration-seconds=0",
                    "--v=WARN",
                ],
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, text: str) -> list[str]:
        """More nodes (`m5.large:us-east-1a=2`); their names. They are Ready a moment later."""
        names = []
        for shape in ec2.shapes(text):
            for number in itertools.islice(self._numbers, shape.count):
                body = ec2.node(
                    shape,
                    number,
                    kwok_address(number),
                    version=programs.kubernetes_version(),
                )
                made = self._request("POST", "/api/v1/nodes", body)
                at = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                self._request("POST", _LEASES, kwok.lease(made["metadata"], at))
                names.append(made["metadata"]["name"])
        self._names += names
        return names

    def close(self) -> None:
        """Delete the nodes that are still there, then end kwok."""
        listed = self._request("GET", "/api/v1/nodes", None)["items"]
        present = {node["metadata"]["name"] for node in listed}
        for name in present.intersection(self._names):
            self._request("DELETE", f"/api/v1/nodes/{name}", None)
        self._process.terminate()
        self._process.wait(10)
