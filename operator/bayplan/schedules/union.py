"""Several schedules as one: a moment that is in several of them is one slot."""

from collections.abc import Iterable
from dataclasses import dataclass

from bayplan.schedules.base import Slots
from bayplan.schedules.cron import Cron
from bayplan.schedules.intervals import Interval
from bayplan.schedules.zones import LAST_MOMENT

# How many slots are compared one by one when they are counted; older slots are counted as if no two
# schedules had the same moment.
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
        """Exact if the parts without the busiest have at most MOST_COMPARED slots in the time."""
        return sum(one.count_between(after, until) for one in self.parts) - self._doubled(
            after, until
        )

    def remaining_after(self, moment: int) -> int | None:
        """None if one of them never ends; as exact as `count_between`."""
        counts = [one.remaining_after(moment) for one in self.parts]
        if any(count is None for count in counts):
            return None
        return sum(_known(counts)) - self._doubled(moment, LAST_MOMENT - 1)

    def _doubled(self, after: int, until: int) -> int:
        """How many slots of the parts are counted more than once.

        It goes through the parts with the fewest slots, and asks the busier parts for each slot.
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
