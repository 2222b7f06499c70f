"""An event loop whose time jumps: what waits for minutes is tested in milliseconds.

When nothing is ready the clock goes on to the next timer; when there is none either, the test
would hang for ever and fails instead.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

MOST_TURNS = 100_000  # of the loop in one moment of virtual time


class _Selector(selectors.SelectSelector):
    """Reports what is ready without waiting, and says how long it would have waited."""

    skipped = 0.0
    _turns = 0  # since time last went on

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        self._turns = 0 if timeout else self._turns + 1
        if self._turns > MOST_TURNS:
            raise RuntimeError("time stands still: something asks again and again without waiting")
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen: the test would hang")
            self.skipped += max(timeout, 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.skipped

    def stall(self, seconds: float) -> None:
        """Let time pass while nothing runs, as a callback that computes for so long."""
        self._virtual.skipped += seconds


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
