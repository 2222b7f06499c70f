"""Tasks that run as long as the process runs: if a task ends by itself, the process ends.

A supervisor (Kubernetes) starts the process again, and everything that matters is in the API
server.
"""

import asyncio
import functools
from collections.abc import Coroutine
from typing import Any

from bayplan import logs


class Ended(Exception):  # noqa: N818  what happened, not a fault of the caller
    """An essential part ended by itself."""


class Supervisor:
    """Belongs to the event loop in which it is constructed."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._fatal: asyncio.Future[str] = self._loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, name: str, work: Coroutine[Any, Any, None], *, ends: bool = False) -> None:
        """Run a task. When it returns the process ends, unless the task `ends` by design.

        A task that raises always ends the process.
        """
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(functools.partial(self._ended, expected=ends))

    def _ended(self, task: asyncio.Task[None], *, expected: bool) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            logs.logger().error("task ended", exc_info=error)
        if error is not None or not expected:
            self.fail(f"{task.get_name()} ended: {error!r}")

    def fail(self, why: str) -> None:
        """End the process; the first reason is the reason that is reported."""
        if not self._fatal.done():
            self._fatal.set_result(why)

    def fail_soon(self, why: str) -> None:
        """End the process; may be called from any thread."""
        self._loop.call_soon_threadsafe(self.fail, why)

    async def wait(self, stop: asyncio.Event) -> None:
        """Return when `stop` is set; raise Ended when an essential part ended before."""
        stopped = asyncio.create_task(stop.wait())
        try:
            awaited: set[asyncio.Future[Any]] = {stopped, self._fatal}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if self._fatal.done():
            raise Ended(self._fatal.result())

    async def cancel(self, *, spare: str = "") -> None:
        """Cancel all tasks except `spare`, and wait until they have ended."""
        await asyncio.gather(*self.cancel_soon(spare=spare), return_exceptions=True)

    def cancel_soon(self, *, spare: str = "") -> list[asyncio.Task[None]]:
        """Cancel all tasks except `spare`; they end in the loop's next turns."""
        ending = [task for task in self._tasks if task.get_name() != spare]
        for task in ending:
            task.cancel()
        return ending
