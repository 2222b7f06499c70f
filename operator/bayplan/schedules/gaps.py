"""Stretches of time whose scheduled times had no run, and which a backfill may make up for.

All other times count as having run, so that forgetting a stretch never repeats a run.
"""

from collections.abc import Iterable

from bayplan.schedules.parse import Schedule

MOST_GAPS = 20

Gap = tuple[int, int]  # epoch seconds, both ends belong to it
Gaps = tuple[Gap, ...]  # in order, apart from each other


def before(moment: int) -> Gaps:
    """The gap of a new job: all time before a moment."""
    return ((0, moment - 1),) if moment > 0 else ()


def holds(gaps: Gaps, moment: int) -> bool:
    return any(low <= moment <= high for low, high in gaps)


def slots(gaps: Gaps, schedule: Schedule, low: int, high: int, limit: int) -> tuple[int, ...]:
    """The oldest `limit` slots from low to high, both included, that lie in gaps."""
    found: list[int] = []
    for start, end in gaps:
        if max(start, low) <= min(end, high):
            most = limit - len(found)
            found += schedule.slots_between(max(start, low) - 1, min(end, high), most)
    return tuple(found)


def without(gaps: Gaps, slot: int, schedule: Schedule) -> Gaps:
    """The gaps without this slot, and without parts that have no other slot; bounded as `more`."""
    kept: list[Gap] = []
    for low, high in gaps:
        if not low <= slot <= high:
            kept.append((low, high))
            continue
        pieces = (low, slot - 1), (slot + 1, high)
        kept += [one for one in pieces if schedule.count_between(one[0] - 1, one[1]) > 0]
    return tuple(kept[-MOST_GAPS:])


def more(gaps: Gaps, new: Iterable[Gap]) -> Gaps:
    """The gaps and these stretches, merged if they touch; if too many, the oldest are dropped."""
    merged: list[Gap] = []
    for start, end in sorted([*gaps, *new]):
        if merged and start <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return tuple(merged[-MOST_GAPS:])


def between(schedule: Schedule, after: int, until: int, taken: Iterable[int]) -> Iterable[Gap]:
    """The stretches with slots, after < slot <= until, that lie between the slots taken."""
    start = after + 1
    for slot in [*sorted(one for one in taken if after < one <= until), until + 1]:
        if start < slot and schedule.count_between(start - 1, slot - 1):
            yield start, slot - 1
        start = slot + 1
