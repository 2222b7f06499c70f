"""Starting, finding and ending the processes of a cluster.

Every process carries two marks in its environment: the cluster's folder and its own role. A
process is found by its marks and never by a remembered pid, so that a reused pid is never hit and
a starter that was killed leaves nothing that cannot be found. Processes get a session of their own:
Ctrl-C in a terminal does not reach them.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

FOLDER_MARK = "BAYPLAN_LOCALCLUSTER"
ROLE_MARK = "BAYPLAN_LOCALCLUSTER_ROLE"
_LOOKS, _BETWEEN_LOOKS_SECONDS = 2, 0.02


class NotInTimeError(RuntimeError):
    """Something did not become true in time; the message says what and where the log is."""


def launch(folder: Path, role: str, command: Sequence[str | Path]) -> int:
    """Start a program in the background; its output goes to `logs/ROLE.log`. Returns the pid."""
    log = folder / "logs" / f"{role}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in command]
    environment = os.environ | {FOLDER_MARK: str(folder), ROLE_MARK: role}
    return os.posix_spawnp(
        words[0],
        words,
        environment,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def has_ended(pid: int) -> bool:
    """Whether a process that this one launched is over.

    Its marks would not tell: for a moment at its very start they cannot be read.
    """
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def marked(folder: Path, role: str | None = None) -> list[int]:
    """Pids of the living processes that bear the marks of this cluster (and role)."""
    return [pid for pid, its in _marks(folder) if role in (None, its)]


def roles(folder: Path) -> list[str]:
    """The role of each living process of this cluster."""
    return [role for _, role in _marks(folder)]


def _marks(folder: Path) -> Iterator[tuple[int, str]]:
    wanted, role_mark = f"{FOLDER_MARK}={folder}".encode(), f"{ROLE_MARK}=".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # gone meanwhile, or another user's
                words = (entry / "environ").read_bytes().split(b"\0")
                if wanted in words:
                    its = (word for word in words if word.startswith(role_mark))
                    yield int(entry.name), next(its, b"").removeprefix(role_mark).decode()


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal each process that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def end(pids: Sequence[int], *, grace_seconds: float = 0, within_seconds: float = 15) -> None:
    """The processes are gone: SIGTERM and a grace if one is given, then SIGKILL.

    Raises `NotInTimeError` when one outlives SIGKILL, as a process in uninterruptible sleep does.
    """
    if grace_seconds:
        send(pids, signal.SIGTERM)
        send(pids, signal.SIGCONT)  # a stopped process takes no SIGTERM
        if not _awaited(pids, grace_seconds):
            return
    send(pids, signal.SIGKILL)
    left = _awaited(pids, within_seconds)
    if left:
        raise NotInTimeError(f"processes {left} do not end")


def end_marked(folder: Path) -> None:
    """No process of the cluster is left, also none that another one started meanwhile.

    Believed only after a second look: a process cannot be recognised for a moment at its start.
    """
    looks_without = 0
    for _ in range(20):
        pids = marked(folder)
        end(pids)
        looks_without = 0 if pids else looks_without + 1
        if looks_without == _LOOKS:
            return
        time.sleep(_BETWEEN_LOOKS_SECONDS)
    raise NotInTimeError(f"processes of {folder} keep coming back")


def wait_until(
    met: Callable[[], bool], what: str, *, within_seconds: float, every_seconds: float = 0.05
) -> None:
    """Return as soon as `met()` is true; raise `NotInTimeError` naming `what` after the limit."""
    deadline = time.monotonic() + within_seconds
    while not met():
        if time.monotonic() > deadline:
            raise NotInTimeError(f"{what}: not within {within_seconds:g} s")
        time.sleep(every_seconds)


def _awaited(pids: Sequence[int], seconds: float) -> list[int]:
    """Wait for processes to end, also those that are not our children; returns who is left."""
    deadline = time.monotonic() + seconds
    poll = select.poll()
    pid_of = {}  # pidfd -> pid
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            pid_of[descriptor] = pid
            poll.register(descriptor, select.POLLIN)
    try:
        while pid_of:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            for descriptor, _ in poll.poll(remaining * 1000):
                poll.unregister(descriptor)
                os.close(descriptor)
                _reap(pid_of.pop(descriptor))
        return list(pid_of.values())
    finally:
        for descriptor in pid_of:
            os.close(descriptor)


def _reap(pid: int) -> None:
    """Take the exit status if the process was our child; a zombie would stay otherwise."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
