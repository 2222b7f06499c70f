"""When an eviction that a budget has refused is asked for again.

A budget may allow nothing for hours, and everything else asks for a look at the resource meanwhile:
`kubectl drain` asks again every five seconds, and so do we.
"""

import asyncio
import logging
from dataclasses import dataclass, field

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 5.0
_MOST_KNOWN = 10_000

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Refused:
    """Pods by uid, and until when each waits. Times are the loop's."""

    _until: dict[str, tuple[float, float]] = field(default_factory=dict)  # uid -> until, pause

    def waits(self, uid: str) -> bool:
        """Whether it is too early to ask again."""
        return self._until.get(uid, (0.0, 0.0))[0] > asyncio.get_running_loop().time()

    def pause(self, uid: str) -> float:
        """Seconds to wait after the refusal that came now: twice the last ones, up to five."""
        before = self._until.pop(uid, (0.0, 0.0))[1]
        if not before:
            _log.info("a disruption budget refuses for now uid=%s", uid)
        pause = min(before * 2 or FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        if len(self._until) >= _MOST_KNOWN:
            del self._until[next(iter(self._until))]  # the one that asked longest ago
        # A little less, so that the look that is due then is not too early.
        until = asyncio.get_running_loop().time() + pause * 0.9
        self._until[uid] = until, pause
        return pause
