"""When somebody sets the clocks: for how long what exists by then has really waited."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from bayplan.cluster.cache import Cache
from bayplan.model.node_claims import NodeClaim
from bayplan.model.pods import Pod
from bayplan.scheduler.cycle_metrics import Clock

_STEP_SECONDS = 1.5  # less is a clock that is being corrected slowly, or rounding


@dataclass(slots=True, eq=False)
class ClockSteps:
    """Compares the wall clock with the monotonic clock.

    `shifts` says for pods and claims, by uid, how many seconds later (or earlier, if negative) the
    present clock would have shown when they were created. It is empty until a clock is set. Only a
    process that lives through a step can know of it: a new process takes all times as they stand.
    """

    cache: Cache
    clock: Clock
    shifts: dict[str, int] = field(default_factory=dict)
    _ahead: float | None = None  # the wall clock, of the monotonic clock

    def look(self) -> int:
        """By how many seconds the wall clock was set since the last look; 0 almost always."""
        ahead = self.clock.now() - self.clock.monotonic()
        before, self._ahead = self._ahead, ahead
        if before is None or abs(ahead - before) < _STEP_SECONDS:
            return 0
        seconds = round(ahead - before)
        there: Iterable[Pod | NodeClaim] = itertools.chain(
            self.cache.state.pods.values(), self.cache.pools.claims.values()
        )
        latest = self.clock.now() - seconds + _STEP_SECONDS  # by the former clock
        self.shifts = {
            one.uid: self.shifts.get(one.uid, 0) + seconds
            for one in there
            if one.uid and one.created_at + self.shifts.get(one.uid, 0) <= latest
        }
        return seconds
