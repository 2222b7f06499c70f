"""Discards what libraries print to standard output by themselves.

Native libraries write to the descriptor and not to `sys.stdout`: some releases of the solver print
a banner, and a single line is enough to break JSON.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

_STDOUT = 1


@contextlib.contextmanager
def stdout() -> Iterator[None]:
    """In this context nothing reaches standard output, also nothing that C has buffered."""
    sys.stdout.flush()
    try:
        kept = os.dup(_STDOUT)
    except OSError:  # closed: nothing can reach it
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, _STDOUT)
        yield
    finally:
        _flush()
        os.dup2(kept, _STDOUT)
        os.close(kept)
        os.close(nowhere)


def for_good() -> None:
    """The same for the rest of a process whose output nobody reads."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)


def _flush() -> None:
    """Write out C's own buffers, which C would otherwise write when the process ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
