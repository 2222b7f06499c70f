"""The questions that every kind of schedule answers; all follow from the first two."""

from abc import ABC, abstractmethod


class Slots(ABC):
    """A set of moments in epoch seconds, which can be searched forwards and backwards."""

    __slots__ = ()

    @abstractmethod
    def next_after(self, moment: int) -> int | None:
        """The first slot after the moment; None if there is none within 50 years."""

    @abstractmethod
    def latest_at(self, moment: int) -> int | None:
        """The last slot at or before the moment; None if there is none in 50 years."""

    @abstractmethod
    def count_between(self, after: int, until: int) -> int:
        """How many slots with after < slot <= until."""

    @abstractmethod
    def remaining_after(self, moment: int) -> int | None:
        """How many slots come after the moment; None if the schedule never ends."""

    def slots_between(self, after: int, until: int, limit: int) -> tuple[int, ...]:
        """The oldest `limit` slots with after < slot <= until, in order."""
        slots: list[int] = []
        slot = self.next_after(after)
        while slot is not None and slot <= until and len(slots) < limit:
            slots.append(slot)
            slot = self.next_after(slot)
        return tuple(slots)

    def latest(self, after: int, until: int, limit: int) -> tuple[int, ...]:
        """The newest `limit` slots with after < slot <= until, in order; however long the gap."""
        slots: list[int] = []
        slot = self.latest_at(until)
        while slot is not None and slot > after and len(slots) < limit:
            slots.append(slot)
            slot = self.latest_at(slot - 1)
        return tuple(reversed(slots))
