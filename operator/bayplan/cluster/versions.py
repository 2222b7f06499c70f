"""Which sight of an object is the newest: tells news from doubled, late and reordered sights.

Each kind has its own `Versions`. It keeps versions and no objects.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bayplan.cluster.wire import Seen

Key = tuple[str, str]  # namespace (empty for cluster-wide kinds), name

# How long a deletion is remembered, so that late older news does not bring the object back. News is
# late by seconds: the answer to a write of ours overtakes a watch, or the other way round.
REMEMBERED_SECONDS = 120.0
# The most deletions that are remembered of a kind: at 600 a second, those of half a minute.
MOST_REMEMBERED = 20_000


@dataclass(slots=True)
class Versions:
    """The newest known sight of each object of a kind: its uid and version, deletions too."""

    clock: Callable[[], float] = time.monotonic
    known: dict[Key, tuple[str, int]] = field(default_factory=dict)
    buried: dict[Key, tuple[str, int, float]] = field(default_factory=dict)  # and the time

    def newer(self, seen: Seen) -> bool:
        """Take note of a sight; False when the same version or a newer one is known already."""
        known = self.known.get(seen.key)
        if known is not None and seen.version <= known[1]:
            return False
        buried = self.buried.get(seen.key)
        if buried is not None and (seen.uid == buried[0] or seen.version <= buried[1]):
            return False
        self.known[seen.key] = (seen.uid, seen.version)
        return True

    def ended(self, key: Key, uid: str, version: int) -> bool:
        """Take note of a deletion; False when something newer of that name is known.

        A deletion of the known uid always counts. An empty `uid` means any object of that name.
        """
        known = self.known.get(key)
        if known is not None:
            if known[0] != uid and uid and known[1] > version:
                return False
            if not uid and known[1] > version:
                return False
            del self.known[key]
        self.buried.pop(key, None)
        now = self.clock()
        self.buried[key] = uid or (known[0] if known is not None else ""), version, now
        self._forget(now)
        return known is not None

    def _forget(self, now: float) -> None:
        """Drop what has been remembered for long enough; the oldest come first."""
        old = []
        for count, (key, (_, _, since)) in enumerate(self.buried.items()):
            if len(self.buried) - count <= MOST_REMEMBERED and now - since < REMEMBERED_SECONDS:
                break
            old.append(key)
        for key in old:
            del self.buried[key]
