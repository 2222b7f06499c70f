"""Runs and their counters in the form of the stored status: the entries of its lists.

Reading back what is written here gives the same values, so that a steady job is not rewritten.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.api import run_names
from bayplan.api.times import time_text
from bayplan.reconcile.batchjob import index_ranges
from bayplan.reconcile.batchjob.runs import Finished, Run
from bayplan.reconcile.batchjob.stored_status import (
    COUNTERS,
    LARGEST_COUNT,
    LONGEST_WORD,
    MOST_FULFILLED,
    Backfill,
)
from bayplan.reconcile.view import Success
from bayplan.schedules.gaps import Gaps

_LONGEST_LIST = 256


def wire_fulfilled(known: Sequence[Success], new: Sequence[Success]) -> list[dict[str, Any]]:
    """The list to store; each run is in it once, with its newest end."""
    names = {one.run for one in new}
    kept = [one for one in known if one.run not in names]
    newest = sorted(new, key=lambda one: (one.ended_at, one.run), reverse=True)
    return [
        {"run": one.run, "endTime": time_text(one.ended_at)}
        | ({} if one.made_up_for is None else {"slotTime": time_text(one.made_up_for)})
        for one in [*newest, *kept][:MOST_FULFILLED]
    ]


def wire_run(run: Run) -> dict[str, Any]:
    """An entry of `active`."""
    told: dict[str, Any] = {
        "run": run.id,
        "trigger": run.trigger,
        "slotTime": _when(run.slot),
        "since": _when(run.since),
        "attempt": run.attempt,
        "failures": run.failures or None,
        "disruptions": run.disruptions or None,
        "retryTime": _when(run.retry_at),
        "startTime": _when(run.started_at),
        "pods": [run.pod] if run.pod else None,
        "reason": run.reason or None,
        "detail": run.detail or None,
        "node": run.node or None,
        "arguments": run.arguments or None,
        "tasks": _wire_tasks(run) if run.count > 1 else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def wire_finished(finished: Finished) -> dict[str, Any]:
    """An entry of `history` for a run that ended."""
    run = finished.run
    told: dict[str, Any] = {
        "run": run.id,
        "slotTime": _when(run.slot),
        "outcome": finished.outcome,
        "reason": finished.reason[:LONGEST_WORD] or None,
        "detail": run.detail or None,
        "exitCode": finished.exit_code,
        "node": run.node or None,
        "startTime": _when(run.started_at),
        "endTime": _when(finished.ended_at),
        "attempts": run.attempt + 1,
        "tasks": run.count if run.count > 1 else None,
        "failedTasks": _shortened(index_ranges.text(run.ended_as("Failed"))) or None,
        "arguments": (run.arguments if finished.outcome != "Succeeded" else "") or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def wire_gaps(gaps: Gaps | None) -> list[dict[str, str]] | None:
    """The time ranges without a run, as the status keeps them."""
    if gaps is None:
        return None
    return [{"fromTime": time_text(low), "toTime": time_text(high)} for low, high in gaps]


def wire_backfill(backfill: Backfill) -> dict[str, Any] | None:
    """What is left of the times that a person asked to make up for."""
    if not backfill.request:
        return None
    told: dict[str, Any] = {"request": backfill.request}
    if backfill.left:
        told["fromTime"] = time_text(backfill.first)
        told["toTime"] = time_text(backfill.last)
        told["left"] = backfill.left
    return told


def _wire_tasks(run: Run) -> dict[str, Any]:
    """How the indexes of a run stand; indexes that stand alike share an entry."""
    alike: dict[tuple[int, int, int, int | None], list[int]] = {}
    for index, lane in run.lanes.items():
        if not lane.outcome:
            at = lane.attempt, lane.failures, lane.disruptions, lane.retry_at
            alike.setdefault(at, []).append(index)
    retries = [
        {"indexes": index_ranges.text(indexes), "attempt": at[0]}
        | {
            name: value
            for name, value in (
                ("failures", at[1]),
                ("disruptions", at[2]),
                ("retryTime", _when(at[3])),
            )
            if value
        }
        for at, indexes in sorted(alike.items(), key=lambda item: min(item[1]))
    ]
    told: dict[str, Any] = {
        "count": run.count,
        "gang": run.gang or None,
        "succeeded": index_ranges.text(run.ended_as("Succeeded")) or None,
        "failed": index_ranges.text(run.ended_as("Failed")) or None,
        "cancelled": index_ranges.text(run.ended_as("Cancelled")) or None,
        "reason": run.cause or None,
        "exitCode": run.exit_code,
        "retries": retries or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _shortened(told: str) -> str:
    """A list of indexes, cut at a comma if it is too long."""
    if len(told) <= _LONGEST_LIST:
        return told
    return f"{told[: told.rindex(',', 0, _LONGEST_LIST - 2)]},…"


def wire_missed(slot: int, reason: str) -> dict[str, Any]:
    """An entry of `history` for a slot that passed without a run."""
    return {
        "run": run_names.slot_run(slot),
        "slotTime": time_text(slot),
        "outcome": "Missed",
        "reason": reason,
    }


def counted(
    before: Mapping[str, int], finished: Sequence[Finished], missed: int, lost: int, late: int = 0
) -> dict[str, int]:
    """The counters after these ends, to be stored in the write that moves the runs."""
    after = {name: before.get(name, 0) for name in COUNTERS}
    for one in finished:
        after["runs"] += 1
        match one.outcome:
            case "Succeeded":
                after["successes"] += 1
                after["consecutiveFailures"] = 0
            case "Failed":
                after["failures"] += 1
                after["consecutiveFailures"] += 1
            case _:
                after["cancelled"] += 1
    after["missed"] += missed
    after["lost"] += lost
    after["late"] += late
    return {name: min(count, LARGEST_COUNT) for name, count in after.items()}


def _when(at: int | None) -> str | None:
    return None if at is None else time_text(at)
