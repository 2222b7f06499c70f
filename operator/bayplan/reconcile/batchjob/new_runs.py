"""Which new run begins: for a slot, after its parents, to make up for a slot, or on request."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Self

from bayplan.api import run_names
from bayplan.reconcile.batchjob import backfill, parents, requests, triggers
from bayplan.reconcile.batchjob.arrays import advanced
from bayplan.reconcile.batchjob.attempt_outcome import Standing
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.known_runs import known_runs, trigger_of
from bayplan.reconcile.batchjob.runs import BY_PEOPLE, Finished, Run, RunProgress, cancelled
from bayplan.reconcile.batchjob.stored_status import MOST_TOKENS, own_slot
from bayplan.reconcile.batchjob.triggers import Due
from bayplan.schedules.parse import Schedule

REPLACED = "Replaced"


@dataclass(slots=True)
class JobRuns:
    """The runs of a job while one look decides on them.

    `looked_at` are the runs that were known before, as they stand; `begun` has these and the new
    runs, except runs that a token asked for. `handled` are tokens that are accounted for from now
    on. `hindered`: a pod of a run that is over still runs.
    """

    looked_at: list[RunProgress]
    unfinished: list[RunProgress]
    finished: list[Finished]
    begun: list[Run]
    slots: set[int]
    made_up_for: frozenset[int]
    hindered: bool
    handled: list[str] = field(default_factory=list)
    replaced: bool = False  # a run of this look has replaced all others

    @classmethod
    def known(cls, context: JobContext) -> Self:
        """The runs of the status and of the pods, as they stand now."""
        looked_at = [
            requests.ended(
                context,
                advanced(run, context.pods_by_run.get(run.id, {}), context.rules, context.now),
            )
            for run in known_runs(context)
        ]
        begun = [one.run for one in looked_at]
        return cls(
            looked_at=looked_at,
            unfinished=[one for one in looked_at if one.finished is None],
            finished=[one.finished for one in looked_at if one.finished is not None],
            begun=begun,
            slots={slot for run in begun if (slot := run_names.slot_of(run.id)) is not None},
            made_up_for=backfill.slots_of(begun),
            hindered=_hindered(context, looked_at),
            handled=[
                run.id for run in begun if _by_token(run) and run.id not in context.stored.handled
            ],
        )

    def begin(self, context: JobContext, run: Run) -> None:
        """Add a new run to the unfinished runs, or replace them with it."""
        begins = advanced(_sized(context, run), {}, context.rules, context.now)
        if _replaces(context):
            self.finished += [cancelled(one.run, REPLACED, context.now) for one in self.unfinished]
            self.unfinished = [begins]
            self.replaced = True
        else:
            self.unfinished = [*self.unfinished, begins]


def begin(
    context: JobContext,
    runs: JobRuns,
    due: Due,
    order: backfill.Order,
    schedule: Schedule | None,
    *,
    held: bool,
) -> None:
    """Let at most one run begin that no token asked for; with `held`, none begins by itself."""
    taken = None
    if _is_free(context, runs):
        taken = _slot_run(context, due)
        if context.spec.parents and not held:
            taken = parents.due(context, runs.begun)
    if taken is None and backfill.may_begin(context, runs.unfinished, hindered=runs.hindered):
        taken = backfill.next_run(context, order, schedule, runs.made_up_for)
    if taken is None:
        return
    runs.begin(context, taken)
    runs.begun.append(taken)
    if _by_token(taken):
        runs.handled.append(taken.id)
    slot = run_names.slot_of(taken.id)
    if slot is not None:
        runs.slots.add(slot)


def take_asked(context: JobContext, runs: JobRuns) -> tuple[tuple[str, str], ...]:
    """Begin the runs that annotations ask for; returns refused ones as (annotation, reason)."""
    refused = []
    for asked, why in _asked(context, runs.begun):
        answer = why or _answer(context, asked, runs)
        if answer == "Wait" or (answer == "Take" and runs.replaced):
            continue
        runs.handled.append(asked.id)
        if answer == "Take":
            runs.begin(context, asked)
        else:
            refused.append((asked.trigger, answer))
    return tuple(refused)


def remembered(context: JobContext) -> list[str]:
    """The handled runs to remember: runs that an annotation led to, and runs that have a pod."""
    handled = context.stored.handled
    tokens = [run for run in handled if run.startswith("r")][:MOST_TOKENS]
    known = {*context.pods_by_run, *requests.standing(context)}
    return [*tokens, *(run for run in handled if run in known and run not in tokens)]


def _replaces(context: JobContext) -> bool:
    return context.spec.concurrency_policy == "Replace"


def _is_free(context: JobContext, runs: JobRuns) -> bool:
    """Whether nothing prevents a due run from being taken up now."""
    unfinished = runs.unfinished
    if len(unfinished) >= context.most_active:
        return False
    if not (context.accepted or _gives_way(context, unfinished)):
        return False
    match context.spec.concurrency_policy:
        case "Forbid":
            return not unfinished and not runs.hindered
        case "Replace":
            return bool(unfinished) or not runs.hindered
    # In order: a later run's pod must not exist while an earlier run's CREATE may fail.
    return not any(one.pod is not None and one.pod.assumed for one in unfinished)


def _slot_run(context: JobContext, due: Due) -> Run | None:
    if due.slot is None:
        return None
    run = run_names.slot_run(due.slot)
    delay = triggers.start_delay(context.job, context.spec)
    since = min(max(due.slot + delay, 0), context.now)
    return Run(run, trigger_of(context, run), due.slot, since=since)


def _sized(context: JobContext, run: Run) -> Run:
    """A run that begins now, with as many tasks as the spec says now."""
    spec = context.spec
    return replace(run, count=spec.tasks, gang=spec.gang and spec.tasks > 1)


def _asked(context: JobContext, runs: Iterable[Run]) -> list[tuple[Run, str]]:
    """The runs that annotations ask for and that never existed; a refused run has a reason."""
    if context.job.problems:
        return []
    asked = [(requests.run_now(context), ""), requests.again(context, runs)]
    known = {run.id for run in runs} | context.pods_by_run.keys()
    return [
        (run, why)
        for run, why in asked
        if run is not None and run.id not in known and not context.stored.took_up(run.id)
    ]


def _by_token(run: Run) -> bool:
    """Whether the status must remember the run: neither a slot nor a gap shows that it was."""
    return own_slot(run.id) is None


def _answer(context: JobContext, run: Run, runs: JobRuns) -> str:
    """Whether a requested run is taken up now (it may still wait), refused, or stays requested.

    It is taken up before it can start, so that removing the annotation changes nothing.
    """
    unfinished = runs.unfinished
    if requests.arguments(run.arguments) is None:
        return requests.UNREADABLE
    if len(unfinished) >= context.most_active:
        return "Wait"
    match context.spec.concurrency_policy:
        case "Forbid" if any(_waits(one) for one in unfinished):
            return "Refuse"
        case "Replace" if (unfinished or runs.hindered) and not (
            context.accepted or _gives_way(context, unfinished)
        ):
            return "Wait"
        case _:
            return "Take"


def _gives_way(context: JobContext, unfinished: list[RunProgress]) -> bool:
    """Whether a run that may be replaced has pods, and only the quota they fill prevents more."""
    has_pods = any(one.pod is not None for one in unfinished)
    return _replaces(context) and context.crowded_out and has_pods


def _waits(one: RunProgress) -> bool:
    return one.run.trigger in BY_PEOPLE and not one.run.begun and one.pod is None


def _hindered(context: JobContext, all_runs: Iterable[RunProgress]) -> bool:
    """Whether a pod of a run that is over is still alive."""
    known = {one.run.id for one in all_runs if one.finished is None}
    return any(
        not pod.terminal and context.rules.lives_on(pod, context.now).standing is Standing.LIVE
        for run in context.pods_by_run
        if run not in known
        for pod in context.pods_of(run)
    )
