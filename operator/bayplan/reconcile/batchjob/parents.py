"""Whether a job's parents let it run now, and on which of their successes.

Metronome's rule: a job is due when each parent has a success that the job has not run on yet. The
job's stored status keeps which successes it ran on; before that write the pod of the run keeps
them. So neither a crash nor a lost write makes it run twice on one set of successes.
"""

from collections.abc import Iterable, Mapping

from bayplan.api import run_names
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.runs import Run
from bayplan.reconcile.view import ParentSummary, Success

Successes = Mapping[str, Success]  # parent -> the success to run on


def consumed(context: JobContext, runs: Iterable[Run]) -> dict[str, str]:
    """Parent -> its newest run that this job ran on; `runs` in the order they began.

    That order is unknown for runs that began in the same second: then the order of their parents'
    successes decides, where the parents still list them.
    """
    named = {parent.name for parent in context.spec.parents}
    last = dict(context.stored.consumed)
    for run in runs:
        for name, success in run.parents:
            if not _is_older(context, name, success, last.get(name)):
                last[name] = success
    return {name: run for name, run in last.items() if name in named}


def _is_older(context: JobContext, parent: str, success: str, than: str | None) -> bool:
    known = context.view.parents.known.get(parent)
    order = [] if known is None else [one.run for one in known.successes]  # the newest first
    return success in order and than in order and order.index(success) > order.index(than)


def due(context: JobContext, runs: Iterable[Run]) -> Run | None:
    """The run that the parents' successes lead to, if each parent has a new success.

    `runs` are all known runs, in the order they began.
    """
    runs = tuple(runs)
    last = consumed(context, runs)
    parents = context.view.parents
    if parents.cycle or any(parent.name not in parents.known for parent in context.spec.parents):
        return None
    chosen: dict[str, Success] = {}
    slot = None
    same = [one.name for one in context.spec.parents if one.match == "SameSlot"]
    if same:
        slot = _common_slot(context, runs, {name: parents.known[name] for name in same})
        if slot is None:
            return None
        for name in same:
            successes = parents.known[name].successes
            chosen[name] = next(one for one in successes if one.slot == slot)
    for parent in context.spec.parents:
        if parent.match == "AnyNewer":
            newest = _newest(context, parents.known[parent.name], last.get(parent.name))
            if newest is None:
                return None
            chosen[parent.name] = newest
    return _run(context, slot, chosen)


def _run(context: JobContext, slot: int | None, chosen: Successes) -> Run:
    pairs = tuple(sorted((name, success.run) for name, success in chosen.items()))
    since = max(success.ended_at for success in chosen.values())
    return Run(
        run_names.parents_run(pairs) if slot is None else run_names.slot_run(slot),
        "Parents",
        slot,
        since=min(since, context.now),
        parents=pairs,
    )


def _newest(context: JobContext, parent: ParentSummary, last: str | None) -> Success | None:
    """The parent's newest success, if this job has not run on it.

    If the job never ran on this parent, successes from before the job's creation do not count,
    except those of a parent that runs once: it will have no other success.
    """
    newest = next(iter(parent.successes), None)
    if newest is None or newest.run == last:
        return None
    if last is None and not parent.once and newest.ended_at < context.job.created_at:
        return None
    return newest


def _common_slot(
    context: JobContext, runs: Iterable[Run], parents: Mapping[str, ParentSummary]
) -> int | None:
    """A scheduled time after the last one, at which all these parents have succeeded.

    It is the newest such time; with RunAll it is the oldest, so that each time has its turn.
    """
    slots = [
        {
            one.slot
            for one in parent.successes
            if one.slot is not None and (parent.once or one.ended_at >= context.job.created_at)
        }
        for parent in parents.values()
    ]
    floor = max([context.stored.last_slot, *(run.slot for run in runs if run.slot is not None)])
    common = sorted(slot for slot in set.intersection(*slots) if slot > floor)
    if not common:
        return None
    return common[0] if context.spec.missed_run_policy == "RunAll" else common[-1]


def text(pairs: Iterable[tuple[str, str]]) -> str:
    """The text that a pod's annotation keeps: `a=s1,b=p2`."""
    return ",".join(f"{name}={run}" for name, run in pairs)


def read(told: str) -> tuple[tuple[str, str], ...]:
    """The pairs in a pod's annotation; parts that make no sense are left out."""
    pairs = (part.partition("=") for part in told.split(",")[:50])
    return tuple((name, run) for name, _, run in pairs if name and run_names.is_run(run))
