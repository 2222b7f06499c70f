"""Two commands at once: one that only computes, and one that mostly waits and must not be late.

    python -m tools.beside COMPUTES WAITS

Both are shell commands. COMPUTES gets the time that WAITS leaves over; what it prints is shown
when it has ended. Exit code: 0 when both end with 0, else that of the first that does not. The
other one is interrupted then.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

_LAST = 19  # of priorities: whoever has it runs when nobody else wants to
# Whoever starts this in the background ignores interrupts, and children inherit that.
_SHELL = ("env", "--default-signal=INT", "bash", "-c")
_PATIENCE_SECONDS = 60.0  # for what has to be stopped after an interrupt

Process = subprocess.Popen[bytes]


def run(computes: str, waits: str) -> int:
    """Run both; see the module."""
    with tempfile.TemporaryFile() as told:
        last = _start(["nice", "-n", str(_LAST), *_SHELL, computes], told)
        # Where the kernel shares time between sessions first, the session has a priority, too.
        with contextlib.suppress(OSError):
            Path(f"/proc/{last.pid}/autogroup").write_text(str(_LAST))
        both = (last, _start([*_SHELL, waits], None))
        try:
            failed = _first_failure(both)
        except KeyboardInterrupt:
            failed = 128 + signal.SIGINT
        for one in both:
            _end(one)
        told.seek(0)
        sys.stdout.flush()
        sys.stdout.buffer.write(told.read())
    return failed


def _start(words: Sequence[str], output: IO[bytes] | None) -> Process:
    """A program in a session of its own; its output to a file, or where this program's goes."""
    errors = None if output is None else subprocess.STDOUT
    return subprocess.Popen(words, stdout=output, stderr=errors, start_new_session=True)


def _first_failure(both: Sequence[Process]) -> int:
    """The exit code of the first that fails; 0 when all have ended well."""
    codes: list[int] = []
    told = threading.Condition()

    def await_end(one: Process) -> None:
        code = one.wait()
        with told:
            codes.append(code)
            told.notify()

    for one in both:
        threading.Thread(target=await_end, args=(one,), daemon=True).start()
    with told:
        told.wait_for(lambda: any(codes) or len(codes) == len(both))
    return next((code for code in codes if code), 0)


def _end(one: Process) -> None:
    """Interrupt all of a session that still runs; nothing of it is left."""
    if one.poll() is None:
        _signal(one, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.wait(_PATIENCE_SECONDS)
    _signal(one, signal.SIGKILL)


def _signal(one: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(one.pid, number)


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:3]))
