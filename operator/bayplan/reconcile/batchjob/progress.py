"""What becomes of a job's runs at one moment: how the known ones stand, which new one begins.

Everything is derived from the stored status and the pods; the status is the authority on what was
accounted for, pods on what happened since. Nothing is written here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from bayplan.api import names, run_names
from bayplan.api.times import LAST_TIME, time_of
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.batchjob import backfill, parents, requests, triggers
from bayplan.reconcile.batchjob.arrays import advanced
from bayplan.reconcile.batchjob.attempt_outcome import Standing
from bayplan.reconcile.batchjob.context import JobContext, PodsByRun
from bayplan.reconcile.batchjob.runs import (
    BY_PEOPLE,
    Finished,
    Run,
    RunProgress,
    Trigger,
    cancelled,
)
from bayplan.reconcile.batchjob.stored_status import MOST_HANDLED, MOST_TOKENS, own_slot
from bayplan.reconcile.batchjob.suspension import Suspension, edited, resumed, suspension
from bayplan.reconcile.batchjob.triggers import Due
from bayplan.schedules.parse import Schedule

REPLACED = "Replaced"


@dataclass(frozen=True, slots=True)
class JobProgress:
    """What becomes of the runs. `runs` are the unfinished ones, the oldest first.

    `hindered`: a pod of a run that is over still runs. `missed` slots passed without a run, the
    newest of them `missed_slot`; `passed` went by while the job was suspended. `slots` are
    those that runs are known of; up to `floor` the stored status has settled them all.
    """

    runs: tuple[RunProgress, ...]
    finished: tuple[Finished, ...]
    last_slot: int
    since: int
    handled: tuple[str, ...]
    consumed: Mapping[str, str]  # parent -> the run of it that this job last ran on
    suspension: Suspension
    due: Due
    schedule: Schedule | None
    hindered: bool = False
    missed: int = 0
    missed_slot: int | None = None
    passed: int = 0
    # what was asked for and led to no run: the annotation, and why
    refused: tuple[tuple[str, str], ...] = ()
    order: backfill.Order = backfill.NOTHING
    slots: frozenset[int] = frozenset()
    floor: int = -1
    marked: str = ""  # the finished run that a person calls a success


def book_of(prefix: str, pods: Mapping[PodKey, Pod]) -> PodsByRun:
    """The pods by run, index and attempt; what has no name of ours is nobody's run."""
    book: dict[str, dict[int, dict[int, Pod]]] = {}
    for key, pod in pods.items():
        found = run_names.attempt_of(prefix, key[1])
        if found is not None:
            run, attempt, index = found
            book.setdefault(run, {}).setdefault(index, {})[attempt] = pod
    return book


def progress_of(context: JobContext) -> JobProgress:
    all_runs = [
        requests.ended(
            context, advanced(run, context.book.get(run.id, {}), context.rules, context.now)
        )
        for run in known_runs(context)
    ]
    runs = [one for one in all_runs if one.finished is None]
    finished = [one.finished for one in all_runs if one.finished is not None]
    handled = [
        one.run.id
        for one in all_runs
        if _by_token(one.run) and one.run.id not in context.stored.handled
    ]
    known = [one.run for one in all_runs]
    schedule = None if context.job.problems else triggers.schedule_of(context.job, context.spec)
    hindered = _hindered(context, all_runs)
    held = suspension(context, finished)
    resumed_at = resumed(context, held, finished)
    since = _since(context, resumed_at)
    floor = _floor(context, schedule, since)
    slots = {slot for run in known if (slot := run_names.slot_of(run.id)) is not None}
    made_up_for = backfill.slots_of(known)
    order = backfill.ordered(context, schedule, made_up_for | slots, floor)

    due = Due()
    if not context.job.problems and not held and not context.spec.parents:
        due = _due(context, schedule, max([floor, *slots]), all_runs, hindered=hindered)
    taken = None
    if _is_free(context, runs, hindered=hindered):
        taken = _slot_run(context, due)
        if context.spec.parents and not held:
            taken = parents.due(context, known)
    if taken is None and backfill.may_begin(context, runs, hindered=hindered):
        taken = backfill.next_run(context, order, schedule, made_up_for)
    if taken is not None:
        runs, replaced = _joined(context, runs, taken)
        finished += replaced
        known.append(taken)
        if _by_token(taken):
            handled.append(taken.id)
        slot = run_names.slot_of(taken.id)
        slots |= set() if slot is None else {slot}
    refused: list[tuple[str, str]] = []
    for asked, why in _asked(context, known):
        answer = why or _token_taken(context, asked, runs, hindered=hindered)
        late = answer == "Take" and taken is not None and _replaces(context)
        if answer == "Wait" or late:
            continue
        handled.append(asked.id)
        if answer != "Take":
            refused.append((asked.trigger, answer))
            continue
        taken = asked
        runs, replaced = _joined(context, runs, asked)
        finished += replaced

    last_slot = max(context.stored.last_slot, due.settled, *slots, -1)
    missed, missed_slot = triggers.missed(schedule, floor, last_slot, frozenset(slots))
    return JobProgress(
        runs=tuple(runs),
        finished=tuple(finished),
        last_slot=last_slot,
        since=since,
        handled=(*reversed(handled), *_remembered(context))[:MOST_HANDLED],
        consumed=parents.consumed(context, known),
        suspension=held,
        due=due,
        schedule=schedule,
        hindered=hindered,
        missed=missed,
        missed_slot=missed_slot,
        passed=_passed(context, resumed_at, schedule, since),
        refused=tuple(refused),
        order=order,
        slots=frozenset(slots),
        floor=_floor(context, schedule, context.stored.since),
        marked=requests.marked(context),
    )


def known_runs(context: JobContext) -> list[Run]:
    """The unfinished runs of the stored status, then those whose pods alone tell of them."""
    runs = list(context.stored.active)
    known = {run.id for run in runs}
    fresh = []
    for run in context.book:
        if run in known or context.stored.took_up(run):
            continue
        pods = context.pods_of(run)
        if run_names.slot_of(run) is None and not any(map(tracked, pods)):
            continue  # accounted for so long ago that the status has forgotten it
        created = min(pod.created_at or context.now for pod in pods)
        first = min(pods, key=lambda pod: (len(pod.name), pod.name))
        notes, slot = first.annotations, own_slot(run)
        if slot is None and (told := first.labels.get(names.SLOT, "")).isdecimal():
            slot = min(int(told[:12]), LAST_TIME)
        fresh.append(
            Run(
                run,
                trigger_of(context, run, notes.get(names.TRIGGER, "")),
                slot,
                since=created,
                parents=parents.read(notes.get(names.PARENTS, "")),
                arguments=notes.get(names.RUN_NOW_ARGS, "")[: requests.LONGEST_ARGUMENTS],
                count=count_of(notes.get(names.TASKS, "")),
                gang=names.GANG in notes,
            )
        )
    return runs + sorted(
        fresh,
        key=lambda run: (run.since if run_names.slot_of(run.id) is None else run.slot or 0, run.id),
    )


def count_of(told: str) -> int:
    """How many tasks a run has, as the annotation of its pods tells it."""
    plain = told.isdecimal() and told.isascii() and len(told) <= len(str(run_names.MOST_TASKS))
    return min(max(int(told), 1), run_names.MOST_TASKS) if plain else 1


def tracked(pod: Pod) -> bool:
    """Whether our finalizer still holds it: not known to be accounted for."""
    return names.RUN_TRACKING in pod.finalizers


def trigger_of(context: JobContext, run: str, told: str = "") -> Trigger:
    """Why a run is, by its name, and as its pod tells it."""
    if run.startswith("r"):
        return "Retry" if told == "Retry" else "RunNow"
    if run.startswith("b"):
        return "Backfill"
    if run.startswith("p") or context.spec.parents:
        return "Parents"
    return "Schedule" if context.spec.timetable else "Once"


def _replaces(context: JobContext) -> bool:
    return context.spec.concurrency_policy == "Replace"


def _is_free(context: JobContext, runs: list[RunProgress], *, hindered: bool) -> bool:
    """Whether nothing hinders that a run which is due is taken up now."""
    if len(runs) >= context.most_active or not (context.accepted or _gives_way(context, runs)):
        return False
    match context.spec.concurrency_policy:
        case "Forbid":
            return not runs and not hindered
        case "Replace":
            return bool(runs) or not hindered
    # In order: a later run's pod must not exist while an earlier one's CREATE may fail.
    return not any(one.pod is not None and one.pod.assumed for one in runs)


def _due(
    context: JobContext,
    schedule: Schedule | None,
    after: int,
    all_runs: Iterable[RunProgress],
    *,
    hindered: bool,
) -> Due:
    """What is due of the slots later than `after`; the schedule's clock is behind by the delay."""
    delay = triggers.start_delay(context.job, context.spec)
    hindering = list(all_runs)
    if schedule is not None and hindering and context.spec.missed_run_policy == "Skip":
        newest = schedule.latest_at(context.now - delay)
        settled_at = (newest or 0) + delay + triggers.PUNCTUAL_SECONDS
        hindering = [one for one in hindering if _hinders(context, one, settled_at)]
    found = triggers.due(
        schedule,
        context.spec,
        after=after,
        created_at=context.job.created_at,
        free_at=_free_at(context, hindering, hindered=hindered) - delay,
        now=context.now - delay,
    )
    return triggers.delayed(found, delay)


def _hinders(context: JobContext, one: RunProgress, settled_at: int) -> bool:
    """Whether it held back a slot that was to be settled then.

    A run that began later did not, and the status that said so may not have been seen yet.
    """
    return one.run.since <= settled_at or context.stored.entry(one.run.id) is not None


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


def _remembered(context: JobContext) -> list[str]:
    """The handled runs still to be known: what an annotation led to, and what has a pod."""
    handled = context.stored.handled
    tokens = [run for run in handled if run.startswith("r")][:MOST_TOKENS]
    known = {*context.book, *requests.standing(context)}
    return [*tokens, *(run for run in handled if run in known and run not in tokens)]


def _asked(context: JobContext, runs: Iterable[Run]) -> list[tuple[Run, str]]:
    """The runs that annotations ask for and that never were; with the reason, those refused."""
    if context.job.problems:
        return []
    asked = [(requests.run_now(context), ""), requests.again(context, runs)]
    known = {run.id for run in runs} | context.book.keys()
    return [
        (run, why)
        for run, why in asked
        if run is not None and run.id not in known and not context.stored.took_up(run.id)
    ]


def _by_token(run: Run) -> bool:
    """Whether neither a slot nor a gap tells for ever that the run was: the status has to."""
    return own_slot(run.id) is None


def _token_taken(context: JobContext, run: Run, runs: list[RunProgress], *, hindered: bool) -> str:
    """Whether a run asked for is taken up now (it may still wait there), refused, or stays asked.

    It is taken up before it can start, so that removing the annotation changes nothing.
    """
    if requests.arguments(run.arguments) is None:
        return requests.UNREADABLE
    if len(runs) >= context.most_active:
        return "Wait"
    match context.spec.concurrency_policy:
        case "Forbid" if any(_waits(one) for one in runs):
            return "Refuse"
        case "Replace" if (runs or hindered) and not (
            context.accepted or _gives_way(context, runs)
        ):
            return "Wait"
        case _:
            return "Take"


def _gives_way(context: JobContext, runs: list[RunProgress]) -> bool:
    """Whether a run that may be replaced has pods, and nothing but the quota they fill hinders."""
    return _replaces(context) and context.crowded_out and any(one.pod is not None for one in runs)


def _waits(one: RunProgress) -> bool:
    return one.run.trigger in BY_PEOPLE and not one.run.begun and one.pod is None


def _joined(
    context: JobContext, runs: list[RunProgress], run: Run
) -> tuple[list[RunProgress], list[Finished]]:
    """The unfinished runs with this one, and those that it replaces."""
    begins = advanced(_sized(context, run), {}, context.rules, context.now)
    if not _replaces(context):
        return [*runs, begins], []
    ended = [cancelled(one.run, REPLACED, context.now) for one in runs]
    return [begins], ended


def _hindered(context: JobContext, all_runs: Iterable[RunProgress]) -> bool:
    """Whether a pod of a run that is over is still alive."""
    known = {one.run.id for one in all_runs if one.finished is None}
    return any(
        not pod.terminal and context.rules.lives_on(pod, context.now).standing is Standing.LIVE
        for run in context.book
        if run not in known
        for pod in context.pods_of(run)
    )


def _free_at(context: JobContext, all_runs: Iterable[RunProgress], *, hindered: bool) -> int:
    """Since when none of these hindered a run; now, while one does or the template is unknown."""
    ends = [one.finished.ended_at if one.finished else context.now for one in all_runs]
    if hindered or context.view.admission is None:
        ends.append(context.now)
    ends += [time_of(one.get("endTime")) or 0 for one in context.stored.history]
    return min(max(ends, default=0), context.now)


def _since(context: JobContext, resumed_at: int | None) -> int:
    """The floor of slots: moved by an edit of the schedule and by the end of a suspension.

    A slot counts if it could not start before that moment: its window may have put it off.
    """
    stored = context.stored
    if context.job.problems:
        return stored.since
    was_edited = stored.schedule_hash not in {"", triggers.schedule_hash(context.spec)}
    moments = [resumed_at, edited(context) if was_edited else None]
    delay = triggers.start_delay(context.job, context.spec)
    return max([stored.since, *(at - delay for at in moments if at is not None)])


def _floor(context: JobContext, schedule: Schedule | None, since: int) -> int:
    """The moment after which slots count and are not yet settled in the stored status."""
    if schedule is None:
        return context.stored.last_slot
    return max(context.stored.last_slot, context.job.created_at - 1, since - 1)


def _passed(
    context: JobContext, resumed_at: int | None, schedule: Schedule | None, since: int
) -> int:
    """How many slots went by while the job was suspended, once it is resumed."""
    if schedule is None or since == context.stored.since or resumed_at is None:
        return 0
    return schedule.count_between(_floor(context, schedule, context.stored.since), since - 1)
