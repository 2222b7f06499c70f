"""Programs of others that some tests run: jars, Python packages, Debian packages.

A bundle names what it needs and pins each version. The machine's own package managers fetch it,
from the registries that they are configured for: apt-get, pip and Maven. What pip and Maven bring
is kept in a cache folder named by the hash of the pins: a changed pin fetches anew, an unchanged
one never does. A fetch that is interrupted leaves no half bundle, and two builders never collide.

    python -m localcluster build spark
"""

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from localcluster import kubelets
from localcluster.programs import BuildError, cache_home, one_at_a_time

_FETCH_SECONDS = 1200


@dataclasses.dataclass(frozen=True, slots=True)
class Bundle:
    """What one application needs of this machine.

    `debian` are packages that bring `files` (absolute paths, or names of commands): they are
    installed, by root, where one of those is missing. `pypi` are requirements of pip, installed
    with what they require. `maven` are GROUP:ARTIFACT:VERSION, fetched with what they need at run
    time.
    """

    name: str
    debian: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    pypi: tuple[str, ...] = ()
    maven: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What tells what this bundle has fetched from what other pins would fetch."""
        pins = "\n".join((*self.pypi, "", *self.maven))
        return hashlib.sha256(pins.encode()).hexdigest()[:12]

    @property
    def folder(self) -> Path:
        """Where its Python packages (`python/`) and jars (`jars/`) are, or will be."""
        return cache_home() / f"{self.name}-{self.digest}"

    def missing(self) -> list[str]:
        """What of it this machine lacks; empty: its tests can run."""
        lacking = [file for file in self.files if not _there(file)]
        if (self.pypi or self.maven) and not self.folder.exists():
            lacking.append(f"`python -m localcluster build {self.name}`")
        return lacking


_JAVA = "openjdk-17-jre-headless"
BUNDLES: Mapping[str, Bundle] = {
    bundle.name: bundle
    for bundle in (
        Bundle("spark", debian=(_JAVA,), files=("java",), pypi=("pyspark==4.3.0",)),
        Bundle(
            "kafka",
            debian=(_JAVA, "maven"),
            files=("java", "mvn"),
            maven=(
                "org.apache.kafka:kafka_2.13:4.3.1",
                "org.apache.kafka:kafka-tools:4.3.1",
                "org.slf4j:slf4j-simple:1.7.36",
            ),
        ),
        # The server without the package that would start it on this machine.
        Bundle(
            "mariadb",
            debian=("mariadb-server-core", "mariadb-client"),
            files=("mariadbd", "mariadb-install-db", "mariadb", "mariadb-dump", "mariadb-admin"),
        ),
    )
}


def build(wanted: Sequence[Bundle], console: Console | None = None) -> dict[str, Path]:
    """Every bundle is there; what is there already costs a look. Name -> its folder.

    Raises `BuildError`, which says what to do or ends with the package manager's own words.
    """
    shown = console or Console(stderr=True, highlight=False)
    if any(bundle.missing() for bundle in wanted):
        with one_at_a_time("fetch", shown):
            for bundle in wanted:
                if bundle.missing():  # another builder may have fetched it while we waited
                    shown.print(f"Fetching {bundle.name}")
                    _fetch(bundle)
    return {bundle.name: bundle.folder for bundle in wanted}


def _there(file: str) -> bool:
    return Path(file).exists() if file.startswith("/") else shutil.which(file) is not None


def _fetch(bundle: Bundle) -> None:
    if not all(map(_there, bundle.files)):
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise BuildError(
                f"{bundle.name} needs {', '.join(bundle.files)}: install the Debian packages "
                f"{' '.join(bundle.debian)}, or what other systems call them"
            )
        kubelets.install(bundle.debian)
    target = bundle.folder
    if target.exists() or not (bundle.pypi or bundle.maven):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{bundle.name}-") as draft:
        made = Path(draft) / "made"
        made.mkdir()
        if bundle.pypi:
            _pip(bundle, made / "python")
        if bundle.maven:
            _maven(bundle, made / "jars", Path(draft))
        made.rename(target)


def _pip(bundle: Bundle, into: Path) -> None:
    if shutil.which("uv"):
        command = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    else:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-warn-script-location"]
    _run([*command, "--target", str(into), *bundle.pypi], bundle, into.parent)


def _maven(bundle: Bundle, into: Path, draft: Path) -> None:
    if shutil.which("mvn") is None:
        raise BuildError(f"{bundle.name} needs Maven (Debian: maven)")
    (draft / "pom.xml").write_text(pom(bundle))
    copy = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    words = ["mvn", "-q", "-B", copy, f"-DoutputDirectory={into}", "-DincludeScope=runtime"]
    _run(words, bundle, draft)


def pom(bundle: Bundle) -> str:
    """A Maven project that needs what the bundle names and nothing else."""
    needs = ""
    for coordinates in bundle.maven:
        group, artifact, version = coordinates.split(":")
        needs += (
            f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
            f"<version>{version}</version></dependency>"
        )
    return (
        "<project><modelVersion>4.0.0</modelVersion><groupId>dev.bayplan</groupId>"
        f"<artifactId>{bundle.name}</artifactId><version>1</version><packaging>pom</packaging>"
        f"<dependencies>{needs}</dependencies></project>"
    )


def _run(words: Sequence[str], bundle: Bundle, where: Path) -> None:
    done = subprocess.run(
        words, cwd=where, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise BuildError(f"{bundle.name}: {words[0]} failed: {said[-2000:]}")
