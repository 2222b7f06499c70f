"""When to look at a resource again though nothing rings: what state says, newest word alone.

A heap whose outdated entries are passed over, and cleared when they are most of it: a resource
that changes its mind at every look, or goes, leaves nothing behind.
"""

import heapq
from dataclasses import dataclass, field

from bayplan.api.resource import Key

_SLACK = 64  # outdated entries that are not worth a clearance


@dataclass(slots=True)
class WakeTimes:
    """Moments in epoch seconds, one for each key at most."""

    _heap: list[tuple[int, Key]] = field(default_factory=list)
    _at: dict[Key, int] = field(default_factory=dict)

    def set(self, key: Key, at: int | None) -> None:
        """Look at it then; None: not by itself. O(log n)."""
        if at is None:
            self._at.pop(key, None)
        elif self._at.get(key) != at:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + _SLACK:
            self._heap = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._heap)

    def by(self, key: Key, at: int) -> None:
        """Look at it then at the latest."""
        self.set(key, min(at, self._at.get(key, at)))

    def due(self, now: int) -> list[Key]:
        """Those whose moment has come; each is told once."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                found.append(key)
        return found

    def next_at(self) -> int | None:
        """The first moment to come; None without any."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def size(self) -> int:
        """Entries held, outdated ones too."""
        return len(self._heap)
