"""The real Helm, versions 3 and 4, on the chart; nothing here knows a cluster."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcluster import programs

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "bayplan"
VERSIONS = ("helm3", "helm4")
KUBERNETES = "1.37.0"
MONITORING = "monitoring.coreos.com/v1"

Document = dict[str, Any]


@dataclass(frozen=True)
class Helm:
    """One Helm; `name` is a program of localcluster's."""

    name: str

    def run(
        self, *words: str | Path, kubeconfig: Path | None = None, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run it; what it says and how it ends is for the caller to judge."""
        given = {"KUBECONFIG": str(kubeconfig)} if kubeconfig else {}
        return subprocess.run(
            [self._program(), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            env={**os.environ, **given},
        )

    def _program(self) -> Path:
        """Built the first time it is asked for, in about a minute."""
        if programs.missing([self.name]) and shutil.which("go") is None:
            pytest.skip(f"{self.name} is not built, and Go is not installed")
        return programs.build([self.name])[self.name]

    def template(
        self,
        values: Mapping[str, Any] | None = None,
        *words: str,
        kubernetes: str = KUBERNETES,
        chart: Path = CHART,
    ) -> subprocess.CompletedProcess[str]:
        given = [f"--set-json={key}={json.dumps(value)}" for key, value in (values or {}).items()]
        about = ("--namespace", "bayplan-system", "--kube-version", kubernetes)
        return self.run("template", "bayplan", chart, *about, *given, *words)


@functools.cache
def _rendered(helm: Helm, values: str, kubernetes: str, apis: tuple[str, ...]) -> str:
    words = [word for api in apis for word in ("--api-versions", api)]
    done = helm.template(json.loads(values), *words, kubernetes=kubernetes)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(
    values: Mapping[str, Any] | None = None,
    *,
    helm: Helm = Helm("helm3"),
    kubernetes: str = KUBERNETES,
    apis: tuple[str, ...] = (MONITORING,),
) -> list[Document]:
    """The objects of a release `bayplan` in the namespace `bayplan-system`."""
    text = _rendered(helm, json.dumps(values or {}), kubernetes, apis)
    return [one for one in yaml.safe_load_all(text) if one]


def one(found: list[Document], kind: str, name: str = "bayplan") -> Document:
    """The one object of this kind and name."""
    [only] = [body for body in found if (body["kind"], body["metadata"]["name"]) == (kind, name)]
    return only


def promtool() -> str:
    """Prometheus' own checker: on the path, or out of Debian's package; never installed."""
    there = shutil.which("promtool")
    if there:
        return there
    folder = programs.cache_home().parent / "promtool"
    found = folder / "usr" / "bin" / "promtool"
    if not found.exists():
        if shutil.which("apt-get") is None:
            pytest.skip("promtool is not on the path (Debian: the package prometheus)")
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "update", "-qq"], check=False, timeout=120)
        fetched = subprocess.run(
            ["apt-get", "download", "-qq", "prometheus"], cwd=folder, check=False, timeout=120
        )
        if fetched.returncode:
            pytest.skip("promtool is not on the path, and Debian's package cannot be had")
        [package] = folder.glob("prometheus_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, folder], check=True, timeout=60)
    return str(found)
