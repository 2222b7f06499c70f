"""Processes of this machine as a test looks at them from outside of the nodes."""

import contextlib
from pathlib import Path


def programs(name: str) -> list[int]:
    """Processes by the name of their program; without those that have ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == name:
                found.append(int(path.parent.name))
    return found


def has(pid: int, path: str, folder: Path) -> bool:
    """Whether a process sees a folder of this machine under this path."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/root{path}").samefile(folder)
    return False


def runs(pid: int, word: str) -> bool:
    """Whether a process was started with this word."""
    with contextlib.suppress(OSError):
        return word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False
