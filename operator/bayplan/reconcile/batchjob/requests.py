"""What people ask of runs by annotation: end one, call one a success, give one its arguments.

Each is a statement about one run, so that it can be read any number of times and stay there.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bayplan.api import names, run_names
from bayplan.api.times import time_of
from bayplan.reconcile.batchjob.context import JobContext
from bayplan.reconcile.batchjob.runs import MARKED, Finished, Run, RunProgress, cancelled

REQUESTED = "Requested"
NOT_FAILED = "NotFailed"
UNREADABLE = "Unreadable"

LONGEST_ARGUMENTS = 4096  # characters of the annotation
_MOST_ARGUMENTS = 64
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,252}")


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a person gave a run: `args` in place of the first container's; None keeps them."""

    args: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def ended(context: JobContext, one: RunProgress) -> RunProgress:
    """The run as a person ended it; as it was if nobody did or it ended by itself."""
    if one.finished is not None:
        return one
    if one.run.id == context.job.annotations.get(names.MARK_SUCCESS):
        return RunProgress(one.run, Finished(one.run, "Succeeded", MARKED, context.now))
    if one.run.id == context.job.annotations.get(names.CANCEL_RUN):
        return RunProgress(one.run, cancelled(one.run, REQUESTED, context.now))
    return one


def marked(context: JobContext) -> str:
    """The finished run that is to count as a success from now on; empty for none."""
    wanted = context.job.annotations.get(names.MARK_SUCCESS, "")
    found = any(
        one["run"] == wanted and one["outcome"] != "Succeeded" for one in context.stored.history
    )
    return wanted if found else ""


def heals(context: JobContext) -> bool:
    """Whether that ends the row of failures: it was the last run to finish."""
    last = context.stored.last_finished
    return last is not None and last["run"] == marked(context)


def run_now(context: JobContext) -> Run | None:
    """The run that the run-now annotation asks for.

    A person's word counts on a suspended job too, as `kubectl create job --from` does.
    """
    token = context.job.annotations.get(names.RUN_NOW, "")
    if not token:
        return None
    told = context.job.annotations.get(names.RUN_NOW_ARGS, "")
    return Run(run_names.token_run(token), "RunNow", None, since=context.now, arguments=told)


def again(context: JobContext, unfinished: Iterable[Run]) -> tuple[Run | None, str]:
    """The run that is to repeat one that did not succeed; with a reason it is refused.

    None while nobody asks, or the run has not ended. One run is repeated once; whoever wants it
    again repeats the repetition.
    """
    wanted = context.job.annotations.get(names.RETRY, "")
    if not wanted or any(run.id == wanted for run in unfinished):
        return None, ""
    run = Run(run_names.again_run(wanted), "Retry", None, since=context.now)
    for one in context.stored.history:
        if one["run"] == wanted and one["outcome"] in {"Failed", "Cancelled"}:
            told = one.get("arguments")
            given = told[:LONGEST_ARGUMENTS] if isinstance(told, str) else ""
            return replace(run, slot=time_of(one.get("slotTime")), arguments=given), ""
    return run, NOT_FAILED


def standing(context: JobContext) -> list[str]:
    """The runs that the annotations stand for now: these must be known as long as they do."""
    notes = context.job.annotations
    asked = (
        (notes.get(names.RUN_NOW), run_names.token_run),
        (notes.get(names.RETRY), run_names.again_run),
    )
    return [run(told) for told, run in asked if told]


def arguments(text: str) -> Arguments | None:
    """The annotation read; None when it is not what it must be. Nothing in it is interpreted."""
    if not text:
        return Arguments()
    if len(text) > LONGEST_ARGUMENTS:
        return None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, dict) or not told.keys() <= {"args", "env"}:
        return None
    args, env = told.get("args"), told.get("env", {})
    if args is not None and not _are_texts(args):
        return None
    if not isinstance(env, dict) or not _are_texts(list(env.values())):
        return None
    if not all(_VARIABLE.fullmatch(name) for name in env):
        return None
    return Arguments(None if args is None else tuple(args), env)


def _are_texts(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= _MOST_ARGUMENTS
        and all(isinstance(one, str) and "\0" not in one for one in values)
    )
