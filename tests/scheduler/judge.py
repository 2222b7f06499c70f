"""kube-scheduler's own filters as a process: one line in, one line out (localcluster/go/judge)."""

import subprocess
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from localcluster import programs

NAME = "scheduler-judge"
Refusals = Mapping[str, str]  # plugin -> message

# What the judge knows of a cluster; the rest is ours alone.
KINDS = (
    "nodes",
    "pods",
    "namespaces",
    "pvs",
    "pvcs",
    "storageClasses",
    "csiNodes",
    "csiDrivers",
    "csiStorageCapacities",
    "volumeAttachments",
    "deviceClasses",
    "resourceClaims",
    "resourceSlices",
)


class Judge:
    """A process that answers for as many clusters as it is asked about."""

    def __enter__(self) -> Self:
        path = programs.build([NAME])[NAME]
        self._process = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def ask(
        self, cluster: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """What comes of these steps, one after the other, on this cluster."""
        outcomes: list[dict[str, Any]] = self._answer(cluster, {"steps": steps})["outcomes"]
        return outcomes

    def invalid(self, cluster: Mapping[str, Any]) -> list[str]:
        """Why an API server would not store what is in it."""
        found: list[str] = self._answer(cluster, {"validate": True}).get("invalid", [])
        return found

    def _answer(self, cluster: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
        known = {kind: cluster[kind] for kind in KINDS if cluster.get(kind)}
        line = msgspec.json.encode({"cluster": known, **asked})
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = msgspec.json.decode(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer
