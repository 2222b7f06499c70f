"""When to look at which resource: after a ring, when its time has come, not while it rests.

Looks at one resource take at most a small share of the time. When a thousand pods all report, each
look takes milliseconds, and a later look still sees everything that came meanwhile.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from bayplan.api.resource import Key
from bayplan.scheduler.cycle_metrics import Clock
from bayplan.scheduler.inbox import MOST_SECONDS, Batch, Inbox
from bayplan.scheduler.wake_times import WakeTimes

# A cycle looks at the wall clock at least this often, so that a step of it is noticed.
LONGEST_WAIT_SECONDS = 1.0
_LOOKS_SHARE = 0.02  # of the time; after a longer look a resource rests until the share is kept …
_LONGEST_REST_SECONDS = 1.0  # … but no longer than this


@dataclass(slots=True, eq=False)
class Queue:
    """Keys of resources to look at. `wake_times` are moments that come from state itself."""

    clock: Clock
    inbox: Inbox
    wake_times: WakeTimes = field(default_factory=WakeTimes)
    _rests: dict[Key, float] = field(default_factory=dict)  # after a long look -> end of its rest
    _resting: set[Key] = field(default_factory=set)  # rang during their rest

    async def window(self, *, leads: bool) -> Batch:
        """Wait until something rings or is due; returns what rang meanwhile."""
        return await self.inbox.window(self.clock.monotonic() + self.due_in(leads=leads))

    def due(self, batch: Batch, now: int, on_nodes: Collection[Key]) -> list[Key]:
        """The keys that rang and the keys whose time has come, in a fixed order.

        `on_nodes` are resources that depend on the nodes: they are due when nodes or room changed.
        """
        due = {*batch.keys, *self._resting}
        if batch.placement:
            due.update(on_nodes)
        due.update(self.wake_times.due(now))
        if self._rests:
            moment = self.clock.monotonic()
            self._rests = {key: until for key, until in self._rests.items() if until > moment}
        self._resting = due & self._rests.keys()
        return sorted(due - self._resting)

    def looked(self, key: Key, began: float) -> None:
        """A look that began at `began` (monotonic seconds) has ended; a long look makes it rest."""
        ended = self.clock.monotonic()
        rest = min((ended - began) / _LOOKS_SHARE, _LONGEST_REST_SECONDS)
        if rest > MOST_SECONDS:
            self._rests[key] = ended + rest

    def due_in(self, *, leads: bool) -> float:
        """Seconds until the next key is due by itself; a standby only looks at the clock."""
        if not leads:
            return LONGEST_WAIT_SECONDS
        wait, next_at = LONGEST_WAIT_SECONDS, self.wake_times.next_at()
        if next_at is not None:
            wait = min(wait, next_at - self.clock.now())
        if self._resting:
            first = min(map(self._rests.__getitem__, self._resting))
            wait = min(wait, first - self.clock.monotonic())
        return max(wait, 0.0)
