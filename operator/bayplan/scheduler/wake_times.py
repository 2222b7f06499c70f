"""When to look at a resource again though nothing rings: a moment from state; the newest counts.

A heap. Outdated entries are passed over, and cleared when they are most of it: a resource that
changes its moment at every look, or goes, leaves nothing behind.
"""

import heapq
from dataclasses import dataclass, field

from bayplan.api.resource import Key

_SLACK = 64  # so many outdated entries are not worth a cleanup


@dataclass(slots=True)
class WakeTimes:
    """Moments in epoch seconds, at most one for each key."""

    _heap: list[tuple[int, Key]] = field(default_factory=list)
    _at: dict[Key, int] = field(default_factory=dict)

    def set(self, key: Key, at: int | None) -> None:
        """Look at the key at `at`; None: do not look at it by itself. O(log n)."""
        if at is None:
            self._at.pop(key, None)
        elif self._at.get(key) != at:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self._at) + _SLACK:
            self._heap = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._heap)

    def by(self, key: Key, at: int) -> None:
        """Look at the key at `at` or earlier."""
        self.set(key, min(at, self._at.get(key, at)))

    def due(self, now: int) -> list[Key]:
        """The keys whose moment has come; each moment is returned once."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                found.append(key)
        return found

    def next_at(self) -> int | None:
        """The next moment; None if there is none."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    @property
    def size(self) -> int:
        """Number of entries in the heap, outdated entries included."""
        return len(self._heap)
