"""Operator processes by the dozen: one process imports the operator, the others are its forks.

Importing costs a second and a half of CPU, a fork a few milliseconds; a test that kills operators
hundreds of times could not pay the former. A fork is a process like any other: it runs the same
`python -m bayplan` with its own arguments and log, and SIGKILL ends it on the spot.

This file is both ends: `Nursery` in the test, `_serve` in the process that forks. They speak
lines of JSON over pipes.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]


@dataclass(slots=True, eq=False)
class Child:
    """A running operator, or one that has ended: `code` is its exit code (-9: killed)."""

    pid: int
    ended: threading.Event = field(default_factory=threading.Event)
    code: int | None = None

    @property
    def running(self) -> bool:
        return not self.ended.is_set()

    def send(self, number: signal.Signals) -> None:
        if self.running:
            with contextlib.suppress(ProcessLookupError):  # it ended a moment ago
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended."""
        assert self.ended.wait(seconds), f"process {self.pid} runs on after {seconds} s"
        assert self.code is not None
        return self.code


class Nursery:
    """The test's end."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._born: dict[int, Child] = {}
        self._lock = threading.Lock()
        self._told = threading.Condition()
        self._asked = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "operator"),
                "PYTHONUNBUFFERED": "1",
                "OPENBLAS_NUM_THREADS": "1",  # a fork takes no threads along
            },
        )
        self._listener = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.kill()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        assert self._listener is not None
        self._listener.join(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def start(self, arguments: Sequence[str], log: Path, *, clock_ahead: float = 0) -> Child:
        """A new operator; SIGUSR1 moves its wall clock by `clock_ahead` seconds, and back."""
        assert self._process is not None
        assert self._process.stdin is not None
        with self._lock:
            self._asked += 1
            asked = self._asked
            line = {
                "asked": asked,
                "arguments": list(arguments),
                "log": str(log),
                "clock_ahead": clock_ahead,
            }
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()
        with self._told:
            assert self._told.wait_for(lambda: asked in self._born, 30), "no process was born"
            return self._born.pop(asked)

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            with self._told:
                if "asked" in told:
                    child = self._children[told["pid"]] = Child(told["pid"])
                    self._born[told["asked"]] = child
                    self._told.notify_all()
                else:
                    child = self._children.pop(told["pid"])
                    child.code = told["code"]
                    child.ended.set()


def _serve() -> None:
    """Import, then fork on request and say who ended, until the pipe closes."""
    time.time = clock = _Clock()  # before anybody takes the true one
    from bayplan.__main__ import main  # noqa: PLC0415
    from bayplan.runtime import app  # noqa: F401, PLC0415  what all forks share

    waiting = selectors.DefaultSelector()
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
    held = b""
    while True:
        for key, _ in waiting.select():
            if key.fd != sys.stdin.fileno():
                waiting.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(key.data, 0)
                _say(pid=key.data, code=os.waitstatus_to_exitcode(status))
                continue
            came = os.read(key.fd, 65536)
            if not came:
                return
            *lines, held = (held + came).split(b"\n")
            for line in lines:
                asked = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    waiting.close()
                    _live(main, clock, asked)
                waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
                _say(asked=asked["asked"], pid=pid)


def _say(**words: Any) -> None:
    os.write(1, json.dumps(words).encode() + b"\n")


def _live(main: Any, clock: "_Clock", asked: dict[str, Any]) -> None:
    """Be an operator; never returns."""
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number in (1, 2):
        os.dup2(log, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    arguments = asked["arguments"]
    if asked["clock_ahead"]:
        signal.signal(signal.SIGUSR1, lambda *_: clock.move(asked["clock_ahead"]))
    code = 1
    try:
        main.main(arguments, prog_name="bayplan", standalone_mode=True)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class _Clock:
    """`time.time` of all forks: right, until this one is moved; moved again it is right again."""

    def __init__(self) -> None:
        self._true = time.time
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._true() + self._ahead

    def move(self, seconds: float) -> None:
        self._ahead = 0.0 if self._ahead else seconds


if __name__ == "__main__":
    _serve()
