"""A Helm release whose pods run outside the cluster: their own commands, their own accounts.

`Kubelet` is what a node would be for the chart's pods: it starts the command of each pod with a
token of the pod's ServiceAccount and nothing more, says in the pod's status how it goes, and ends
it when the pod is gone. Images, mounts and probes are not played; the API server's admission of
the pods, their controllers and Helm are all real.
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from tests.cluster import read
from tests.cluster.kube import Kube, Objects, RefusedError
from tests.cluster.under_test import ROOT

_LOOK_SECONDS = 0.2
_PROGRAMS = {
    "python": [sys.executable],
    "bayplan": [sys.executable, "-c", "from bayplan.cli.main import main; main()"],
}
# Several operators share this machine's ports; the last of two equal options holds.
_OPERATOR = ["--metrics-port=0", "--liveness-port=0", "--listen-address=127.0.0.1"]


class Kubelet:
    """Plays the pods of one namespace until the end of the block; see the module."""

    def __init__(self, kube: Kube, namespace: str, folder: Path) -> None:
        self._kube = kube
        self._namespace = namespace
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}  # pod name -> its command
        self._ended: dict[str, int] = {}  # pod name -> exit code
        self._told: set[str] = set()  # pods that are gone and whose commands have been told to end
        self._closing = threading.Event()
        self._synced = threading.Condition()
        self._thread = threading.Thread(target=self._play, name="kubelet", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(30)
        for process in self._running.values():
            process.kill()
            process.wait(10)

    def until_none_runs(self, within: float = 60) -> None:
        """Until every command has ended; a pod that is gone may take its time to end."""
        with self._synced:
            idle = self._synced.wait_for(lambda: not self._running, within)
        assert idle, f"these still run after {within} s: {list(self._running)}"

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in self._folder.glob("*.log"))

    def _play(self) -> None:
        """As kubelets do: look, and make true what is wanted, whatever was missed."""
        while not self._closing.wait(_LOOK_SECONDS):
            with contextlib.suppress(OSError), self._synced:
                self._sync(self._kube.listed(read.pods(self._namespace)))
                self._synced.notify_all()

    def _sync(self, pods: Objects) -> None:
        for name in self._running.keys() - pods.keys():
            # Told once; nobody waits for one to end before another is told.
            if name not in self._told:
                self._told.add(name)
                self._running[name].terminate()
            if self._running[name].poll() is not None:
                self._ended[name] = self._running.pop(name).returncode
        for name, pod in pods.items():
            if "nodeName" in pod["spec"]:
                self._hurry(pod)
            elif name not in self._running and name not in self._ended:
                self._running[name] = self._start(pod)
                self._tell(name, "Running", "True")
            elif name in self._running and self._running[name].poll() is not None:
                code = self._ended[name] = self._running.pop(name).returncode
                self._tell(name, "Failed" if code else "Succeeded", "False")

    def _hurry(self, pod: Mapping[str, Any]) -> None:
        """A run on a fake node, which would go on until it is told to end."""
        note = {"sim.bayplan.dev/duration": "0s"}
        if not note.items() <= pod["metadata"].get("annotations", {}).items():
            self._patch(pod["metadata"]["name"], {"metadata": {"annotations": note}})

    def _start(self, pod: Mapping[str, Any]) -> subprocess.Popen[bytes]:
        name = pod["metadata"]["name"]
        [container] = pod["spec"]["containers"]
        words = [*container["command"], *container.get("args", ())]
        kubeconfig = str(self._kubeconfig(pod["spec"]["serviceAccountName"]))
        given = {
            one["name"]: pod["metadata"][one["valueFrom"]["fieldRef"]["fieldPath"].split(".")[1]]
            for one in container.get("env", ())
        }
        own = {"KUBECONFIG": kubeconfig, "BAYPLAN_KUBECONFIG": kubeconfig, **given}
        operator = _OPERATOR if words[0] == "python" else []
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [*_PROGRAMS[words[0]], *words[1:], *operator],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**os.environ, **own, "PYTHONPATH": str(ROOT / "operator")},
            )

    def _kubeconfig(self, account: str) -> Path:
        """A kubeconfig with a fresh token of an account of the release."""
        path = self._folder / f"{account}.kubeconfig"
        accounts = f"/api/v1/namespaces/{self._namespace}/serviceaccounts"
        answer = self._kube.create(f"{accounts}/{account}/token", {"spec": {}})
        config = yaml.safe_load(self._kube.kubeconfig.read_text())
        config["users"] = [{"name": account, "user": {"token": answer["status"]["token"]}}]
        for context in config["contexts"]:
            context["context"]["user"] = account
        path.write_text(yaml.safe_dump(config))
        return path

    def _tell(self, name: str, phase: str, ready: str) -> None:
        conditions = [{"type": "Ready", "status": ready}]
        status = {"phase": phase, "conditions": conditions}
        self._patch(f"{name}/status", {"status": status})

    def _patch(self, what: str, body: Mapping[str, Any]) -> None:
        with contextlib.suppress(RefusedError):  # it may be gone by now
            self._kube.patch(f"{read.pods(self._namespace)}/{what}", body)
