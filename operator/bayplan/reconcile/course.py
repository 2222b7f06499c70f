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
from bayplan.reconcile import backfill, parents, triggers, verbs
from bayplan.reconcile.arrays import advanced
from bayplan.reconcile.holding import Holding, edited, holding, resumed
from bayplan.reconcile.ledger import MOST_HANDLED, MOST_TOKENS, own_slot
from bayplan.reconcile.runs import BY_PEOPLE, Finished, Progress, Run, Trigger, cancelled
from bayplan.reconcile.scene import Book, Scene
from bayplan.reconcile.triggers import Due
from bayplan.reconcile.verdict import Standing
from bayplan.schedules.parse import Schedule

REPLACED = "Replaced"


@dataclass(frozen=True, slots=True)
class Course:
    """What becomes of the runs. `runs` are the unfinished ones, the oldest first.

    `hindered`: a pod of a run that is over still runs. `missed` slots passed without a run, the
    newest of them `missed_slot`; `passed` went by while the job was suspended. `slots` are
    those that runs are known of; up to `floor` the stored status has settled them all.
    """

    runs: tuple[Progress, ...]
    finished: tuple[Finished, ...]
    last_slot: int
    since: int
    handled: tuple[str, ...]
    consumed: Mapping[str, str]  # parent -> the run of it that this job last ran on
    holding: Holding
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


def book_of(prefix: str, pods: Mapping[PodKey, Pod]) -> Book:
    """The pods by run, index and attempt; what has no name of ours is nobody's run."""
    book: dict[str, dict[int, dict[int, Pod]]] = {}
    for key, pod in pods.items():
        found = run_names.attempt_of(prefix, key[1])
        if found is not None:
            run, attempt, index = found
            book.setdefault(run, {}).setdefault(index, {})[attempt] = pod
    return book


def course_of(scene: Scene) -> Course:
    progress = [
        verbs.ended(scene, advanced(run, scene.book.get(run.id, {}), scene.rules, scene.now))
        for run in known_runs(scene)
    ]
    runs = [one for one in progress if one.finished is None]
    finished = [one.finished for one in progress if one.finished is not None]
    handled = [
        one.run.id
        for one in progress
        if _by_token(one.run) and one.run.id not in scene.stored.handled
    ]
    known = [one.run for one in progress]
    schedule = None if scene.job.problems else triggers.schedule_of(scene.job, scene.spec)
    hindered = _hindered(scene, progress)
    held = holding(scene, finished)
    resumed_at = resumed(scene, held, finished)
    since = _since(scene, resumed_at)
    floor = _floor(scene, schedule, since)
    slots = {slot for run in known if (slot := run_names.slot_of(run.id)) is not None}
    made_up_for = backfill.slots_of(known)
    order = backfill.ordered(scene, schedule, made_up_for | slots, floor)

    due = Due()
    if not scene.job.problems and not held and not scene.spec.parents:
        due = _due(scene, schedule, max([floor, *slots]), progress, hindered=hindered)
    taken = None
    if _is_free(scene, runs, hindered=hindered):
        taken = _slot_run(scene, due)
        if scene.spec.parents and not held:
            taken = parents.due(scene, known)
    if taken is None and backfill.may_begin(scene, runs, hindered=hindered):
        taken = backfill.next_run(scene, order, schedule, made_up_for)
    if taken is not None:
        runs, replaced = _joined(scene, runs, taken)
        finished += replaced
        known.append(taken)
        if _by_token(taken):
            handled.append(taken.id)
        slot = run_names.slot_of(taken.id)
        slots |= set() if slot is None else {slot}
    refused: list[tuple[str, str]] = []
    for asked, why in _asked(scene, known):
        answer = why or _token_taken(scene, asked, runs, hindered=hindered)
        late = answer == "Take" and taken is not None and _replaces(scene)
        if answer == "Wait" or late:
            continue
        handled.append(asked.id)
        if answer != "Take":
            refused.append((asked.trigger, answer))
            continue
        taken = asked
        runs, replaced = _joined(scene, runs, asked)
        finished += replaced

    last_slot = max(scene.stored.last_slot, due.settled, *slots, -1)
    missed, missed_slot = triggers.missed(schedule, floor, last_slot, frozenset(slots))
    return Course(
        runs=tuple(runs),
        finished=tuple(finished),
        last_slot=last_slot,
        since=since,
        handled=(*reversed(handled), *_remembered(scene))[:MOST_HANDLED],
        consumed=parents.consumed(scene, known),
        holding=held,
        due=due,
        schedule=schedule,
        hindered=hindered,
        missed=missed,
        missed_slot=missed_slot,
        passed=_passed(scene, resumed_at, schedule, since),
        refused=tuple(refused),
        order=order,
        slots=frozenset(slots),
        floor=_floor(scene, schedule, scene.stored.since),
        marked=verbs.marked(scene),
    )


def known_runs(scene: Scene) -> list[Run]:
    """The unfinished runs of the stored status, then those whose pods alone tell of them."""
    runs = list(scene.stored.active)
    known = {run.id for run in runs}
    fresh = []
    for run in scene.book:
        if run in known or scene.stored.took_up(run):
            continue
        pods = scene.pods_of(run)
        if run_names.slot_of(run) is None and not any(map(tracked, pods)):
            continue  # accounted for so long ago that the status has forgotten it
        created = min(pod.created_at or scene.now for pod in pods)
        first = min(pods, key=lambda pod: (len(pod.name), pod.name))
        notes, slot = first.annotations, own_slot(run)
        if slot is None and (told := first.labels.get(names.SLOT, "")).isdecimal():
            slot = min(int(told[:12]), LAST_TIME)
        fresh.append(
            Run(
                run,
                trigger_of(scene, run, notes.get(names.TRIGGER, "")),
                slot,
                since=created,
                parents=parents.read(notes.get(names.PARENTS, "")),
                arguments=notes.get(names.RUN_NOW_ARGS, "")[: verbs.LONGEST_ARGUMENTS],
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


def trigger_of(scene: Scene, run: str, told: str = "") -> Trigger:
    """Why a run is, by its name, and as its pod tells it."""
    if run.startswith("r"):
        return "Retry" if told == "Retry" else "RunNow"
    if run.startswith("b"):
        return "Backfill"
    if run.startswith("p") or scene.spec.parents:
        return "Parents"
    return "Schedule" if scene.spec.timetable else "Once"


def _replaces(scene: Scene) -> bool:
    return scene.spec.concurrency_policy == "Replace"


def _is_free(scene: Scene, runs: list[Progress], *, hindered: bool) -> bool:
    """Whether nothing hinders that a run which is due is taken up now."""
    if len(runs) >= scene.most_active or not (scene.accepted or _gives_way(scene, runs)):
        return False
    match scene.spec.concurrency_policy:
        case "Forbid":
            return not runs and not hindered
        case "Replace":
            return bool(runs) or not hindered
    # In order: a later run's pod must not exist while an earlier one's CREATE may fail.
    return not any(one.pod is not None and one.pod.assumed for one in runs)


def _due(
    scene: Scene,
    schedule: Schedule | None,
    after: int,
    progress: Iterable[Progress],
    *,
    hindered: bool,
) -> Due:
    """What is due of the slots later than `after`; the schedule's clock is behind by the delay."""
    delay = triggers.start_delay(scene.job, scene.spec)
    hindering = list(progress)
    if schedule is not None and hindering and scene.spec.missed_run_policy == "Skip":
        newest = schedule.latest_at(scene.now - delay)
        settled_at = (newest or 0) + delay + triggers.PUNCTUAL_SECONDS
        hindering = [one for one in hindering if _hinders(scene, one, settled_at)]
    found = triggers.due(
        schedule,
        scene.spec,
        after=after,
        created_at=scene.job.created_at,
        free_at=_free_at(scene, hindering, hindered=hindered) - delay,
        now=scene.now - delay,
    )
    return triggers.delayed(found, delay)


def _hinders(scene: Scene, one: Progress, settled_at: int) -> bool:
    """Whether it held back a slot that was to be settled then.

    A run that began later did not, and the status that said so may not have been seen yet.
    """
    return one.run.since <= settled_at or scene.stored.entry(one.run.id) is not None


def _slot_run(scene: Scene, due: Due) -> Run | None:
    if due.slot is None:
        return None
    run = run_names.slot_run(due.slot)
    delay = triggers.start_delay(scene.job, scene.spec)
    since = min(max(due.slot + delay, 0), scene.now)
    return Run(run, trigger_of(scene, run), due.slot, since=since)


def _sized(scene: Scene, run: Run) -> Run:
    """A run that begins now, with as many tasks as the spec says now."""
    spec = scene.spec
    return replace(run, count=spec.tasks, gang=spec.gang and spec.tasks > 1)


def _remembered(scene: Scene) -> list[str]:
    """The handled runs still to be known: what an annotation led to, and what has a pod."""
    handled = scene.stored.handled
    tokens = [run for run in handled if run.startswith("r")][:MOST_TOKENS]
    known = {*scene.book, *verbs.standing(scene)}
    return [*tokens, *(run for run in handled if run in known and run not in tokens)]


def _asked(scene: Scene, runs: Iterable[Run]) -> list[tuple[Run, str]]:
    """The runs that annotations ask for and that never were; with the reason, those refused."""
    if scene.job.problems:
        return []
    asked = [(verbs.run_now(scene), ""), verbs.again(scene, runs)]
    known = {run.id for run in runs} | scene.book.keys()
    return [
        (run, why)
        for run, why in asked
        if run is not None and run.id not in known and not scene.stored.took_up(run.id)
    ]


def _by_token(run: Run) -> bool:
    """Whether neither a slot nor a gap tells for ever that the run was: the status has to."""
    return own_slot(run.id) is None


def _token_taken(scene: Scene, run: Run, runs: list[Progress], *, hindered: bool) -> str:
    """Whether a run asked for is taken up now (it may still wait there), refused, or stays asked.

    It is taken up before it can start, so that removing the annotation changes nothing.
    """
    if verbs.arguments(run.arguments) is None:
        return verbs.UNREADABLE
    if len(runs) >= scene.most_active:
        return "Wait"
    match scene.spec.concurrency_policy:
        case "Forbid" if any(_waits(one) for one in runs):
            return "Refuse"
        case "Replace" if (runs or hindered) and not (scene.accepted or _gives_way(scene, runs)):
            return "Wait"
        case _:
            return "Take"


def _gives_way(scene: Scene, runs: list[Progress]) -> bool:
    """Whether a run that may be replaced has pods, and nothing but the quota they fill hinders."""
    return _replaces(scene) and scene.crowded_out and any(one.pod is not None for one in runs)


def _waits(one: Progress) -> bool:
    return one.run.trigger in BY_PEOPLE and not one.run.begun and one.pod is None


def _joined(scene: Scene, runs: list[Progress], run: Run) -> tuple[list[Progress], list[Finished]]:
    """The unfinished runs with this one, and those that it replaces."""
    begins = advanced(_sized(scene, run), {}, scene.rules, scene.now)
    if not _replaces(scene):
        return [*runs, begins], []
    ended = [cancelled(one.run, REPLACED, scene.now) for one in runs]
    return [begins], ended


def _hindered(scene: Scene, progress: Iterable[Progress]) -> bool:
    """Whether a pod of a run that is over is still alive."""
    known = {one.run.id for one in progress if one.finished is None}
    return any(
        not pod.terminal and scene.rules.lives_on(pod, scene.now).standing is Standing.LIVE
        for run in scene.book
        if run not in known
        for pod in scene.pods_of(run)
    )


def _free_at(scene: Scene, progress: Iterable[Progress], *, hindered: bool) -> int:
    """Since when none of these hindered a run; now, while one does or the template is unknown."""
    ends = [one.finished.ended_at if one.finished else scene.now for one in progress]
    if hindered or scene.view.admission is None:
        ends.append(scene.now)
    ends += [time_of(one.get("endTime")) or 0 for one in scene.stored.history]
    return min(max(ends, default=0), scene.now)


def _since(scene: Scene, resumed_at: int | None) -> int:
    """The floor of slots: moved by an edit of the schedule and by the end of a suspension.

    A slot counts if it could not start before that moment: its window may have put it off.
    """
    stored = scene.stored
    if scene.job.problems:
        return stored.since
    was_edited = stored.schedule_hash not in {"", triggers.schedule_hash(scene.spec)}
    moments = [resumed_at, edited(scene) if was_edited else None]
    delay = triggers.start_delay(scene.job, scene.spec)
    return max([stored.since, *(at - delay for at in moments if at is not None)])


def _floor(scene: Scene, schedule: Schedule | None, since: int) -> int:
    """The moment after which slots count and are not yet settled in the stored status."""
    if schedule is None:
        return scene.stored.last_slot
    return max(scene.stored.last_slot, scene.job.created_at - 1, since - 1)


def _passed(scene: Scene, resumed_at: int | None, schedule: Schedule | None, since: int) -> int:
    """How many slots went by while the job was suspended, once it is resumed."""
    if schedule is None or since == scene.stored.since or resumed_at is None:
        return 0
    return schedule.count_between(_floor(scene, schedule, scene.stored.since), since - 1)
