"""Whether this process may decide: we hold the lease, our news is fresh, our clock is right."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from bayplan import logs
from bayplan.metrics import Metrics
from bayplan.scheduler.inbox import Inbox


class HeldLease(Protocol):
    """What leadership asks of the lease."""

    def holding(self) -> bool: ...

    def beat(self) -> None: ...


class Leadership:
    """`skew` is the API server's clock minus ours, in seconds; None when unknown.

    `look_anew` lists both custom kinds and their pods. `monotonic` returns seconds.
    """

    def __init__(
        self,
        lease: HeldLease,
        *,
        look_anew: Callable[[], Awaitable[None]],
        skew: Callable[[], float | None],
        inbox: Inbox,
        metrics: Metrics,
        most_skew_seconds: float,
        stuck_after_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lease = lease
        self._look_anew = look_anew
        self._skew = skew
        self._inbox = inbox
        self._metrics = metrics
        self._most_skew = most_skew_seconds
        self._stuck_after = stuck_after_seconds
        self._monotonic = monotonic
        self._beaten_at = monotonic()
        self._skewed = False
        self._fresh = False  # our news of the custom resources is not older than our lease

    async def begin(self) -> None:
        """We have the lease: list both custom kinds and their pods, then lead.

        A standby may have heard nothing for a while without knowing it, and it cannot have heard
        its predecessor's last writes. The statuses are the record. With an old status, a run that
        has ended and gone would be made again; without its pod, a run that has begun would be
        called missed.
        """
        await self._look_anew()
        self._fresh = True
        logs.say(logging.INFO, "leading")
        self._metrics.leader.set(1)
        self._inbox.mark_placement()

    def leads(self) -> bool:
        """Whether decisions may be made here and now.

        Slots are due by this machine's clock; a clock that is far from the API server's decides
        nothing. The replica keeps the lease all the same: another replica's clock may be no better.
        """
        if not (self._fresh and self._lease.holding()):
            return False
        skew = self._skew() or 0.0
        self._metrics.clock_skew.set(skew)
        if (abs(skew) > self._most_skew) is not self._skewed:
            self._skewed = not self._skewed
            level = logging.ERROR if self._skewed else logging.INFO
            words = "clock is off, deciding nothing" if self._skewed else "clock is right again"
            logs.say(level, words, skew_seconds=round(skew, 1), limit_seconds=self._most_skew)
        return not self._skewed

    def beat(self) -> None:
        """The main loop has completed a turn."""
        self._beaten_at = self._monotonic()
        self._lease.beat()

    def check(self) -> bool:
        """Whether we hold the lease; raises if we do and the main loop is stuck. Any thread."""
        holding = self._lease.holding()
        silent = self._monotonic() - self._beaten_at
        if holding and silent > self._stuck_after:
            raise RuntimeError(f"the main loop has been silent for {silent:.0f} s")
        return holding
