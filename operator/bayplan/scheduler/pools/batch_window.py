"""A window in which demand gathers: what comes together is planned together, as Karpenter does."""

import asyncio
from dataclasses import dataclass, field

from bayplan.scheduler.cycle_metrics import Clock

# Karpenter's batch window: BATCH_IDLE_DURATION and BATCH_MAX_DURATION of its options.
IDLE_SECONDS, LONGEST_SECONDS = 1.0, 10.0
_TICK_SECONDS = 0.1


@dataclass(slots=True, eq=False)
class BatchWindow:
    """It opens with the first ring, and closes a second after the last, ten after the first."""

    clock: Clock
    _first_at: float = 0.0
    _last_at: float = 0.0
    _bell: asyncio.Event = field(default_factory=asyncio.Event)

    def ring(self) -> None:
        """There is demand."""
        self._last_at = self.clock.monotonic()
        if not self._bell.is_set():
            self._first_at = self._last_at
            self._bell.set()

    async def opened(self) -> None:
        """Return once there is demand."""
        await self._bell.wait()

    async def settled(self) -> None:
        """Return when no demand has come for a while."""
        while True:
            now = self.clock.monotonic()
            due = min(self._last_at + IDLE_SECONDS, self._first_at + LONGEST_SECONDS)
            if now >= due:
                return
            await asyncio.sleep(min(due - now, _TICK_SECONDS))

    def close(self) -> None:
        """The next ring opens the next window."""
        self._bell.clear()
