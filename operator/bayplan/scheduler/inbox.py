"""Keys to look at: gathers the keys that rang during a short window.

Marks are level, not edge: a key marked twice is looked at once. The inbox belongs to one event
loop; other threads use `ring_threadsafe`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

Key = tuple[str, str, str]  # kind, namespace, name

IDLE_SECONDS = 0.020  # a window closes when nothing rang for this long …
MOST_SECONDS = 0.200  # … or when it has been open for this long


@dataclass(frozen=True, slots=True)
class Batch:
    """The keys of one window. `placement`: free room or nodes changed, so look at what waits."""

    keys: frozenset[Key]
    placement: bool


@dataclass(slots=True)
class Inbox:
    """`clock` gives monotonic seconds, like `asyncio`'s loop time."""

    clock: Callable[[], float]
    _keys: set[Key] = field(default_factory=set)
    _placement: bool = False
    _rung: asyncio.Event = field(default_factory=asyncio.Event)

    def mark(self, key: Key) -> None:
        self._keys.add(key)
        self._rung.set()

    def mark_placement(self) -> None:
        self._placement = True
        self._rung.set()

    async def window(self, wake_at: float | None) -> Batch:
        """Wait for the first ring, or until `wake_at` (clock seconds), then gather what follows.

        The window closes IDLE_SECONDS after the last ring, at most MOST_SECONDS after the first.
        """
        timeout = None if wake_at is None else max(0.0, wake_at - self.clock())
        await _rings(self._rung, timeout)
        closes = self.clock() + MOST_SECONDS
        while self._rung.is_set():
            self._rung.clear()
            remaining = closes - self.clock()
            if remaining <= 0 or not await _rings(self._rung, min(IDLE_SECONDS, remaining)):
                break
        batch = Batch(frozenset(self._keys), self._placement)
        self._keys.clear()
        self._placement = False
        self._rung.clear()
        return batch


async def _rings(event: asyncio.Event, within: float | None) -> bool:
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
