"""What becomes of a job's runs at one moment: how known runs stand, which new run begins.

Everything is derived from the stored status and the pods. The status is the authority on what was
accounted for, the pods on what happened since. Nothing is written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bayplan.reconcile.batchjob import backfill, new_runs, parents, requests, slot_clock, triggers
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.new_runs import JobRuns
from bayplan.reconcile.batchjob.runs import Finished, RunProgress
from bayplan.reconcile.batchjob.stored_status import MOST_HANDLED
from bayplan.reconcile.batchjob.suspension import Suspension, resumed, suspension
from bayplan.reconcile.batchjob.triggers import Due
from bayplan.schedules.parse import Schedule


@dataclass(frozen=True, slots=True)
class JobProgress:
    """What becomes of the runs. `runs` are the unfinished runs, the oldest first.

    `hindered`: a pod of a run that is over still runs. `missed` slots passed without a run, the
    newest of them is `missed_slot`; `passed` slots went by while the job was suspended. `slots` are
    the slots with known runs; up to `floor` the stored status has settled all slots.
    """

    runs: tuple[RunProgress, ...]
    finished: tuple[Finished, ...]
    last_slot: int
    since: int
    handled: tuple[str, ...]
    consumed: Mapping[str, str]  # parent -> its run that this job last ran on
    suspension: Suspension
    due: Due
    schedule: Schedule | None
    hindered: bool = False
    missed: int = 0
    missed_slot: int | None = None
    passed: int = 0
    # requests that led to no run: the annotation, and the reason
    refused: tuple[tuple[str, str], ...] = ()
    order: backfill.Order = backfill.NOTHING
    slots: frozenset[int] = frozenset()
    floor: int = -1
    marked: str = ""  # the finished run that a person marks as a success


def progress_of(context: JobContext) -> JobProgress:
    """Take one look at the runs of a job."""
    runs = JobRuns.known(context)  # 1. How the known runs stand.
    held = suspension(context, runs.finished)  # 2. What holds back new runs, and when it ended.
    resumed_at = resumed(context, held, runs.finished)
    schedule = slot_clock.schedule_of(context)
    since = slot_clock.since(context, resumed_at)  # 3. From when on slots count …
    floor = slot_clock.floor_of(context, schedule, since)
    order = backfill.ordered(context, schedule, runs.made_up_for | runs.slots, floor)
    due = Due()  # … and which of them are due.
    if not (held or context.spec.parents) and (schedule or not context.job.problems):
        due = slot_clock.due_slots(
            context, schedule, max([floor, *runs.slots]), runs.looked_at, hindered=runs.hindered
        )
    new_runs.begin(context, runs, due, order, schedule, held=bool(held))  # 4. Which run begins.
    refused = new_runs.take_asked(context, runs)  # 5. Which runs that people ask for begin.
    last_slot = max(context.stored.last_slot, due.settled, *runs.slots, -1)  # 6. Account for all.
    missed, missed_slot = triggers.missed(schedule, floor, last_slot, frozenset(runs.slots))
    return JobProgress(
        runs=tuple(runs.unfinished),
        finished=tuple(runs.finished),
        last_slot=last_slot,
        since=since,
        handled=(*reversed(runs.handled), *new_runs.remembered(context))[:MOST_HANDLED],
        consumed=parents.consumed(context, runs.begun),
        suspension=held,
        due=due,
        schedule=schedule,
        hindered=runs.hindered,
        missed=missed,
        missed_slot=missed_slot,
        passed=slot_clock.passed(context, resumed_at, schedule, since),
        refused=refused,
        order=order,
        slots=frozenset(runs.slots),
        floor=slot_clock.floor_of(context, schedule, context.stored.since),
        marked=requests.marked(context),
    )
