"""The clocks of a process."""

import asyncio
import time


class WallClock:
    """The clocks of this machine."""

    def now(self) -> int:
        return int(self.exact())

    def exact(self) -> float:
        """Epoch seconds with their fractions, for the time of a message."""
        return time.time()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()
