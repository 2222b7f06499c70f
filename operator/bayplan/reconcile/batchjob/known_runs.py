"""Which runs a job has: the runs of its stored status, and the runs that only pods show."""

from collections.abc import Mapping

from bayplan.api import names, run_names
from bayplan.api.times import LAST_TIME
from bayplan.model.pods import Pod
from bayplan.model.snapshot import PodKey
from bayplan.reconcile.batchjob import parents, requests
from bayplan.reconcile.batchjob.context import JobContext, PodsByRun
from bayplan.reconcile.batchjob.runs import Run, Trigger
from bayplan.reconcile.batchjob.stored_status import own_slot


def pods_by_run(prefix: str, pods: Mapping[PodKey, Pod]) -> PodsByRun:
    """The pods by run, index and attempt; a pod without a name of ours belongs to no run."""
    found: dict[str, dict[int, dict[int, Pod]]] = {}
    for key, pod in pods.items():
        named = run_names.attempt_of(prefix, key[1])
        if named is not None:
            run, attempt, index = named
            found.setdefault(run, {}).setdefault(index, {})[attempt] = pod
    return found


def known_runs(context: JobContext) -> list[Run]:
    """The unfinished runs of the stored status, then the runs that only their pods show."""
    runs = list(context.stored.active)
    known = {run.id for run in runs}
    fresh = []
    for run in context.pods_by_run:
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
    """How many tasks a run has, according to the annotation of its pods."""
    plain = told.isdecimal() and told.isascii() and len(told) <= len(str(run_names.MOST_TASKS))
    return min(max(int(told), 1), run_names.MOST_TASKS) if plain else 1


def tracked(pod: Pod) -> bool:
    """Whether our finalizer still holds it: it is not known to be accounted for."""
    return names.RUN_TRACKING in pod.finalizers


def trigger_of(context: JobContext, run: str, told: str = "") -> Trigger:
    """What started a run, from its name and from the text on its pod."""
    if run.startswith("r"):
        return "Retry" if told == "Retry" else "RunNow"
    if run.startswith("b"):
        return "Backfill"
    if run.startswith("p") or context.spec.parents:
        return "Parents"
    return "Schedule" if context.spec.timetable else "Once"
