"""Several schedules as one: a moment that more than one of them names is one slot."""

from collections.abc import Iterable
from dataclasses import dataclass

from bayplan.schedules.base import Slots
from bayplan.schedules.cron import Cron
from bayplan.schedules.intervals import Interval
from bayplan.schedules.zones import LAST_MOMENT

# Slots that are compared one by one when they are counted; of more than these, the oldest are
# counted as if no two schedules named the same moment.
MOST_COMPARED = 2000


@dataclass(frozen=True, slots=True)
class Timetable(Slots):
    """The union of `parts`, each moment once."""

    parts: tuple[Cron | Interval, ...]

    def next_after(self, moment: int) -> int | None:
        return min(_known(one.next_after(moment) for one in self.parts), default=None)

    def latest_at(self, moment: int) -> int | None:
        return max(_known(one.latest_at(moment) for one in self.parts), default=None)

    def count_between(self, after: int, until: int) -> int:
        """Exact while all but the busiest part have no more than MOST_COMPARED slots in it."""
        return sum(one.count_between(after, until) for one in self.parts) - self._doubled(
            after, until
        )

    def remaining_after(self, moment: int) -> int | None:
        """None when one of them never ends; exact as `count_between` is."""
        counts = [one.remaining_after(moment) for one in self.parts]
        if any(count is None for count in counts):
            return None
        return sum(_known(counts)) - self._doubled(moment, LAST_MOMENT - 1)

    def _doubled(self, after: int, until: int) -> int:
        """How many of the counts of the parts are of a moment that was counted before.

        Walks the parts with the fewest slots, and asks the busier ones whether they have each.
        """
        ranked = sorted(self.parts, key=lambda one: one.count_between(after, until), reverse=True)
        doubled, left = 0, MOST_COMPARED
        for index, one in reversed(list(enumerate(ranked))[1:]):
            slots = one.latest(after, until, left)
            left -= len(slots)
            doubled += sum(any(_names(one, slot) for one in ranked[:index]) for slot in slots)
        return doubled


def _names(schedule: Slots, moment: int) -> bool:
    return schedule.latest_at(moment) == moment


def _known(values: Iterable[int | None]) -> Iterable[int]:
    return (value for value in values if value is not None)
