"""Scheduled times that a person asks to make up for, one run each.

The annotation is copied into the status together with what is left of it; the status (`gaps`) also
keeps which times never led to a run. A time leaves `gaps` in the same write that records its run.
Until that write the run's pod shows it, so neither a crash nor a lost write runs a time twice.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from bayplan.api import names, run_names
from bayplan.api.times import time_of, time_text
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.runs import Run, RunProgress
from bayplan.reconcile.batchjob.stored_status import (
    LONGEST_REQUEST,
    MOST_BACKFILLED,
    NO_BACKFILL,
    Backfill,
)
from bayplan.schedules import gaps
from bayplan.schedules.parse import Schedule

STOP = "stop"
MOST_AT_ONCE = 10  # with concurrencyPolicy Allow; scheduled runs need places too

_HOW = (
    f"{names.BACKFILL} must be FROM/TO, two times such as "
    "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z with FROM not after TO, or stop"
)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be made up for. `news` becomes one event; a warning when it leads to no run."""

    backfill: Backfill
    news: str = ""
    refused: bool = False


NOTHING = Order(NO_BACKFILL)


def known_gaps(context: JobContext) -> gaps.Gaps:
    """Where no scheduled time led to a run, according to the stored status."""
    stored = context.stored.gaps
    return gaps.before(context.job.created_at) if stored is None else stored


def ordered(
    context: JobContext, schedule: Schedule | None, known: Collection[int], floor: int
) -> Order:
    """What the annotation asks for, or what is left of an earlier request.

    `known` are times whose runs the status may not contain yet; the schedule itself still handles
    times later than `floor`.
    """
    stored = context.stored.backfill
    request = context.job.annotations.get(names.BACKFILL, "")
    if not request or context.job.problems:
        return Order(stored)
    none = Backfill(_shown(request))
    if none.request == stored.request:
        return Order(stored)
    if request == STOP:
        return Order(none, f"{_times(stored.left)} will not be made up for." if stored.left else "")
    asked = times(request)
    if asked is None:
        return Order(none, f"{_HOW}.", refused=True)
    if schedule is None:
        return Order(none, "This job has no schedule; use run-now.", refused=True)
    low, high = asked[0], min(asked[1], floor)
    slots = open_slots(schedule, known_gaps(context), low, high, known)
    if not slots:
        return Order(none, f"No scheduled time in {request} is left without a run.", refused=True)
    if len(slots) > MOST_BACKFILLED:
        why = f"{request} has more than {MOST_BACKFILLED} scheduled times; ask for a part of it."
        return Order(none, why, refused=True)
    told = f"{_times(len(slots))} from {time_text(slots[0])} to {time_text(slots[-1])} are made up"
    return Order(Backfill(none.request, low, high, len(slots)), f"{told} for.")


def _shown(request: str) -> str:
    """The request as the status keeps it; a hash replaces a request that cannot be read."""
    if request == STOP or times(request) is not None:
        return request
    return hashlib.sha256(request.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def times(request: str) -> tuple[int, int] | None:
    """FROM and TO in epoch seconds; None when the request does not have the required form."""
    told_from, slash, told_to = request.partition("/")
    low, high = time_of(told_from), time_of(told_to)
    readable = slash and low is not None and high is not None and low <= high
    if not readable or len(request) > LONGEST_REQUEST or low is None or high is None:
        return None
    return low, high


def open_slots(
    schedule: Schedule, known: gaps.Gaps, low: int, high: int, taken: Collection[int]
) -> tuple[int, ...]:
    """The slots from low to high that may be made up for; at most one more than allowed."""
    most = MOST_BACKFILLED + 1 + len(taken)
    found = gaps.slots(known, schedule, low, high, most)
    return tuple(slot for slot in found if slot not in taken)[: MOST_BACKFILLED + 1]


def next_run(
    context: JobContext, order: Order, schedule: Schedule | None, known: Collection[int]
) -> Run | None:
    """The run for the oldest time that is left to be made up for; None when there is none."""
    wanted, open_ = order.backfill, known_gaps(context)
    begun = sum(wanted.first <= slot <= wanted.last and gaps.holds(open_, slot) for slot in known)
    if schedule is None or wanted.left <= begun:
        return None
    slots = open_slots(schedule, open_, wanted.first, wanted.last, known)
    if not slots:
        return None
    return Run(run_names.backfill_run(slots[0]), "Backfill", slots[0], since=context.now)


def may_begin(context: JobContext, runs: Collection[RunProgress], *, hindered: bool) -> bool:
    """Whether another may begin: it must end no other run and leave places for the schedule."""
    if not context.accepted or len(runs) >= context.most_active:
        return False
    if context.spec.concurrency_policy != "Allow":
        return not runs and not hindered
    mine = [one for one in runs if one.run.trigger == "Backfill"]
    unsure = any(one.pod is not None and one.pod.assumed for one in mine)
    return len(mine) < MOST_AT_ONCE and not unsure


def slots_of(runs: Iterable[Run]) -> frozenset[int]:
    """The times that these runs make up for."""
    found = (run_names.backfilled(run.id) for run in runs)
    return frozenset(slot for slot in found if slot is not None)


def left(
    order: Order,
    schedule: Schedule,
    known: gaps.Gaps,
    begun: Collection[int],
) -> tuple[Backfill, gaps.Gaps]:
    """What is left, and the gaps, once the status contains the runs `begun`."""
    wanted = order.backfill
    news = [slot for slot in begun if gaps.holds(known, slot)]
    for slot in news:
        known = gaps.without(known, slot, schedule)
    count = wanted.left - sum(wanted.first <= slot <= wanted.last for slot in news)
    if count <= 0 or not gaps.slots(known, schedule, wanted.first, wanted.last, 1):
        return Backfill(wanted.request), known
    return replace(wanted, left=count), known


def _times(count: int) -> str:
    return "1 scheduled time" if count == 1 else f"{count} scheduled times"
