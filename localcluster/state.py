"""What is known of a cluster outside its processes: one folder, and in it `cluster.json`.

The record is written BEFORE anything is started, so that `stop` always has something to go by.
Ports are chosen under a lock that all starters of a user share, and below the range from which the
kernel takes ports for outgoing connections; a port stays taken as long as its cluster's folder
exists. Ports, and the networks of real nodes that are numbered by them, belong to the machine: they
are shared between homes too, so the list of claims lies beside the default home.
"""

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

RECORD = "cluster.json"
FIRST_PORT, LAST_PORT = 20_000, 29_999
_LONGEST_NAME = 24  # socket paths below the folder stay within the kernel's 107 bytes


class ClusterExistsError(RuntimeError):
    """A cluster of that name is there already."""


class NoSuchClusterError(RuntimeError):
    """There is no cluster of that name."""


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """A process that will stop the cluster; pid and start time, as a pid alone is used again."""

    pid: int
    started_ticks: int

    @classmethod
    def this_process(cls) -> Self:
        return cls(os.getpid(), _started_ticks(os.getpid()))

    def lives(self) -> bool:
        with contextlib.suppress(OSError):
            return _started_ticks(self.pid) == self.started_ticks
        return False


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One cluster on this machine. `options` are those of its start; `owner` None: it stays."""

    name: str
    ports: Mapping[str, int]  # what for -> port on 127.0.0.1
    options: Mapping[str, Any]
    owner: Owner | None = None

    @property
    def folder(self) -> Path:
        return home() / self.name

    @property
    def abandoned(self) -> bool:
        """Its owner was to stop it and ended without doing so."""
        return self.owner is not None and not self.owner.lives()


def home() -> Path:
    """Where clusters keep their folders; `$BAYPLAN_LOCALCLUSTER_HOME` overrides the XDG default."""
    override = os.environ.get("BAYPLAN_LOCALCLUSTER_HOME")
    return Path(override).absolute() if override else _users() / "localcluster"


def create(
    name: str,
    wanted: Sequence[str],
    *,
    options: Mapping[str, Any],
    fixed: Mapping[str, int],
    owner: Owner | None,
) -> Record:
    """A new cluster's folder and record, with a free port for each of `wanted`.

    `fixed` are ports that the user chose. Raises `ClusterExistsError`, or `ValueError` for a name
    that is not a DNS label of at most 24 characters.
    """
    if not (is_label(name) and len(name) <= _LONGEST_NAME):
        raise ValueError(f"{name!r}: lower-case letters, digits, inner hyphens; at most 24")
    with _locked("localcluster.lock"):
        if (home() / name).exists():
            raise ClusterExistsError(f"cluster {name!r} exists; stop it first or choose a --name")
        claims = _claims()
        record = Record(name, _ports(wanted, fixed, claims), options, owner)
        record.folder.mkdir(parents=True, mode=0o700)
        claims |= dict.fromkeys(record.ports.values(), str(record.folder))
        _write(_claims_file(), claims)
        _write(record.folder / RECORD, dataclasses.asdict(record))
    return record


def load(name: str) -> Record:
    """The record of a cluster. Raises `NoSuchClusterError`."""
    try:
        fields = json.loads((home() / name / RECORD).read_text())
    except FileNotFoundError:
        raise NoSuchClusterError(f"no cluster named {name!r}") from None
    owner = fields["owner"] and Owner(**fields["owner"])
    return Record(fields["name"], fields["ports"], fields["options"], owner)


def names() -> list[str]:
    """Every cluster that has a folder, in order; a folder may have lost its record."""
    return sorted(path.name for path in home().glob("*") if path.is_dir())


def all_records() -> list[Record]:
    """Every cluster that can be read. One that is being removed meanwhile is left out."""
    found = []
    for name in names():
        with contextlib.suppress(NoSuchClusterError):
            found.append(load(name))
    return found


def forget(name: str) -> None:
    """The folder is gone, the record as the last file of it, so that a removal can be repeated."""
    folder = home() / name
    for path in sorted(folder.glob("*")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != RECORD:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def is_label(name: str) -> bool:
    """A DNS label: lower-case ASCII letters, digits, and hyphens inside."""
    inner = name.replace("-", "a")
    plain = inner.isascii() and inner.isalnum() and inner == inner.lower()
    return plain and not name.startswith("-") and not name.endswith("-")


@contextlib.contextmanager
def removing() -> Iterator[None]:
    """Held while a cluster is removed: every start clears the abandoned ones, so two may meet."""
    with _locked("localcluster.removing"):
        yield


def _users() -> Path:
    """The user's folder of state, the same for every home."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "bayplan"


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    _users().mkdir(parents=True, exist_ok=True)
    with (_users() / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _claims_file() -> Path:
    return _users() / "localcluster.ports"


def _claims() -> dict[int, str]:
    """The folder of the cluster that has each port, of those clusters that are still there."""
    try:
        found = json.loads(_claims_file().read_text())
    except FileNotFoundError:
        return {}
    return {int(port): folder for port, folder in found.items() if Path(folder).exists()}


def _write(path: Path, what: Mapping[Any, Any]) -> None:
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_text(json.dumps(what, indent=1))
    unfinished.rename(path)


def _ports(
    wanted: Sequence[str], fixed: Mapping[str, int], taken: Mapping[int, str]
) -> dict[str, int]:
    free = (port for port in range(FIRST_PORT, LAST_PORT) if port not in taken and _is_free(port))
    return {what: fixed.get(what) or next(free) for what in wanted}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _started_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot: field 22, behind the name in brackets."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat.rpartition(")")[2].split()[19])
