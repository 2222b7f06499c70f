"""Standard output is ours: what libraries print by themselves goes nowhere.

Native libraries write to the descriptor, past `sys.stdout`: the solver has printed a banner in some
of its releases, and one line is enough to spoil JSON.
"""

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator

_STDOUT = 1


@contextlib.contextmanager
def stdout() -> Iterator[None]:
    """Until it ends nothing reaches standard output, nor what C has not written out by then."""
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
    """In a process of its own, whose output nobody reads."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _STDOUT)
    os.close(nowhere)


def _flush() -> None:
    """C's own buffers, which would be written when the process ends."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).fflush(None)
