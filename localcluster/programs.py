"""The programs of a cluster, built from pinned Go modules and kept in the user's cache.

Each folder under `go/` is one module: its go.mod names the programs as tools and pins every
version, its go.sum pins every content. A module's programs live in a cache folder named by the hash
of its files and of the flags, so that a changed pin builds anew and an unchanged one never does. A
build that is interrupted leaves no half program (each is renamed into place) and goes on where it
stopped (Go's own cache). Two builders never collide: one waits for the other's file lock.

`judge` holds a program of our own; it pins what `kubernetes` pins and shares what that compiled.

A module's `changes.json`, where there is one, lists lines of pinned sources that are built
otherwise than they are published, each with why. A line that is not there any more is an error.
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

GO = Path(__file__).parent / "go"
CHANGES = "changes.json"
_POLL_SECONDS = 0.2
_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


@dataclasses.dataclass(frozen=True, slots=True)
class Program:
    """One program: the module folder that pins it and the Go package that is its main."""

    name: str
    module: str  # folder under go/
    package: str
    files: tuple[str, ...] = ()  # folders of the package's Go module that are kept beside it


_KUBERNETES = "k8s.io/kubernetes/cmd"
PROGRAMS: Mapping[str, Program] = {
    program.name: program
    for program in (
        Program("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
        Program("kube-apiserver", "kubernetes", f"{_KUBERNETES}/kube-apiserver"),
        Program("kube-controller-manager", "kubernetes", f"{_KUBERNETES}/kube-controller-manager"),
        Program("kube-scheduler", "kubernetes", f"{_KUBERNETES}/kube-scheduler"),
        Program("kubelet", "kubernetes", f"{_KUBERNETES}/kubelet"),
        Program("kubectl", "kubernetes", f"{_KUBERNETES}/kubectl"),
        Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        Program("kind", "kind", "sigs.k8s.io/kind"),
        Program("scheduler-judge", "judge", "."),
        Program("helm3", "helm3", "helm.sh/helm/v3/cmd/helm"),
        Program("helm4", "helm4", "helm.sh/helm/v4/cmd/helm"),
        Program(
            "karpenter",
            "karpenter",
            "sigs.k8s.io/karpenter/kwok",
            files=("pkg/apis/crds", "kwok/apis/crds"),
        ),
    )
}
_ON_DEMAND = ("kind", "helm3", "helm4", "karpenter", "scheduler-judge")  # no part of every cluster
CLUSTER = tuple(name for name in PROGRAMS if name not in _ON_DEMAND)


class BuildError(RuntimeError):
    """A program could not be built; the message says which and ends with Go's own words."""


def cache_home() -> Path:
    """Where built programs are kept: `$XDG_CACHE_HOME` or `~/.cache`, then bayplan/localcluster."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "bayplan" / "localcluster"


def path(name: str) -> Path:
    """Where a program is, or will be once it is built."""
    module = PROGRAMS[name].module
    return cache_home() / f"{module}-{_key(module)}" / name


def files(name: str) -> list[Path]:
    """The files that are kept beside a built program, in the order of their names."""
    return sorted(_beside(PROGRAMS[name]).glob("*"))


def missing(names: Sequence[str] = CLUSTER) -> list[str]:
    """Those of the programs that are not built yet, in the given order."""
    return [name for name in names if not path(name).exists()]


def build(names: Sequence[str] = CLUSTER, console: Console | None = None) -> dict[str, Path]:
    """Every named program is built; what is there already costs a look. Cold: about 8 minutes.

    Returns program name -> path. Raises `BuildError`.
    """
    if missing(names):
        shown = console or Console(stderr=True, highlight=False)
        with one_at_a_time("build", shown):
            todo = missing(names)  # another builder may have made them while we waited
            for number, name in enumerate(todo, start=1):
                _build_one(PROGRAMS[name], f"{number}/{len(todo)} {name}", shown)
    return {name: path(name) for name in names}


def ldflags(module: str, pins: str) -> str:
    """Linker flags: small programs, and for Kubernetes the version that it will report.

    Without a version the API server calls itself v0.0.0 and Helm's kubeVersion gate refuses it.
    """
    flags = ["-s", "-w"]
    if module == "kubernetes":
        version = pinned(pins, "k8s.io/kubernetes")
        major, minor, _ = version.removeprefix("v").split(".", 2)
        known = {
            "gitVersion": version,
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
        }
        for package in _VERSION_PACKAGES:
            flags += [f"-X {package}.{name}={value}" for name, value in known.items()]
    return " ".join(flags)


def pinned(pins: str, module: str) -> str:
    """The version that a go.mod's text requires of a module; replacements are not looked at."""
    for line in pins.splitlines():
        words = line.removeprefix("require ").split()
        if words[:1] == [module] and "=>" not in words:
            return words[1]
    raise KeyError(module)


def digest(folder: Path) -> str:
    """What tells a module's programs from those of other pins, sources and flags."""
    pins = (folder / "go.mod").read_bytes()
    text = pins + (folder / "go.sum").read_bytes() + ldflags(folder.name, pins.decode()).encode()
    for source in sorted((*folder.glob("*.go"), *folder.glob(CHANGES))):
        text += source.name.encode() + source.read_bytes()
    return hashlib.sha256(text).hexdigest()[:12]


@functools.cache
def _key(module: str) -> str:
    return digest(GO / module)


@contextlib.contextmanager
def one_at_a_time(what: str, console: Console) -> Iterator[None]:
    """Nobody else who fills the cache with such things (`build`, `fetch`) does so meanwhile."""
    home = cache_home()
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{what}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"Another {what} is running; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_one(program: Program, title: str, console: Console) -> None:
    if shutil.which("go") is None:
        raise BuildError("Go is not installed: https://go.dev/doc/install")
    folder = GO / program.module
    target = path(program.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished")
    flags = ldflags(program.module, (folder / "go.mod").read_text())
    command = ["go", "build", "-buildvcs=false", "-trimpath", "-ldflags", flags]
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
    command += changed(program.name, folder, environment, target.parent)
    command += ["-o", str(unfinished), program.package]
    began = time.monotonic()
    output = target.with_suffix(".log")
    with output.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _show(process, title, began, console)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # the compilers too
            process.wait()
            raise
    if process.returncode:
        raise BuildError(f"{program.name}: {' '.join(output.read_text().split())[-2000:]}")
    _keep_files(program, folder, environment)
    unfinished.rename(target)
    output.unlink()


def changed(name: str, folder: Path, environment: Mapping[str, str], into: Path) -> Sequence[str]:
    """Flags by which Go builds changed copies of the modules instead of the published ones."""
    if not (folder / CHANGES).exists():
        return ()
    pins = (folder / "go.mod").read_text()
    for module, changes in json.loads((folder / CHANGES).read_text()).items():
        copy = into / f"{module.replace('/', '-')}.changed"
        shutil.rmtree(copy, ignore_errors=True)
        published = Path(_listed("{{.Dir}}", ["-m", module], folder, environment, name))
        shutil.copytree(published, copy, copy_function=shutil.copyfile)
        for change in changes:
            source = copy / change["file"]
            text = source.read_text()
            if text.count(change["old"]) != 1:
                raise BuildError(f"{name}: {change['file']} does not say once: {change['old']}")
            source.write_text(text.replace(change["old"], change["new"]))
        pins += f"\nreplace {module} => {copy}\n"
    (into / "changed.mod").write_text(pins)
    shutil.copyfile(folder / "go.sum", into / "changed.sum")
    return ["-modfile", str(into / "changed.mod")]


def _listed(
    what: str, about: Sequence[str], folder: Path, environment: Mapping[str, str], name: str
) -> str:
    """What Go knows of a package or a module, by a template of `go list`."""
    words = ["go", "list", "-f", what, *about]
    listed = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise BuildError(f"{name}: {' '.join(listed.stderr.split())[-2000:]}")
    return listed.stdout.strip()


def _keep_files(program: Program, folder: Path, environment: Mapping[str, str]) -> None:
    """Copy what the program needs out of its Go module, which the build has downloaded."""
    if not program.files:
        return
    where = _listed("{{.Module.Dir}}", [program.package], folder, environment, program.name)
    kept = _beside(program)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    for source in program.files:
        for file in (Path(where) / source).iterdir():
            shutil.copyfile(file, kept / file.name)


def _beside(program: Program) -> Path:
    return path(program.name).with_suffix(".files")


def _show(process: subprocess.Popen[bytes], title: str, began: float, console: Console) -> None:
    """Wait for the build; on a terminal the elapsed time runs, elsewhere two lines frame it."""
    if not console.is_terminal:
        console.print(f"Building {title}")
    with console.status(f"Building {title}") as status:
        while process.poll() is None:
            status.update(f"Building {title} · {_clock(time.monotonic() - began)}")
            time.sleep(_POLL_SECONDS)
    verb = "Failed" if process.returncode else "Built"
    console.print(f"{verb} {title} in {_clock(time.monotonic() - began)}")


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"


def kubernetes_version() -> str:
    """The version that the servers and fake nodes report."""
    return pinned((GO / "kubernetes" / "go.mod").read_text(), "k8s.io/kubernetes")
