"""What people ask for by annotation: to end a run, call it a success, or give it arguments.

Each annotation is a statement about one run, so it can be read any number of times and can stay.
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
    """What a person gave a run: `args` replaces the first container's args; None keeps them."""

    args: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)


def ended(context: JobContext, one: RunProgress) -> RunProgress:
    """The run as a person ended it; unchanged if nobody did or if it ended by itself."""
    if one.finished is not None:
        return one
    if one.run.id == context.job.annotations.get(names.MARK_SUCCESS):
        return RunProgress(one.run, Finished(one.run, "Succeeded", MARKED, context.now))
    if one.run.id == context.job.annotations.get(names.CANCEL_RUN):
        return RunProgress(one.run, cancelled(one.run, REQUESTED, context.now))
    return one


def marked(context: JobContext) -> str:
    """The finished run that is to count as a success from now on; empty if there is none."""
    wanted = context.job.annotations.get(names.MARK_SUCCESS, "")
    found = any(
        one["run"] == wanted and one["outcome"] != "Succeeded" for one in context.stored.history
    )
    return wanted if found else ""


def heals(context: JobContext) -> bool:
    """Whether that success ends the row of failures: the run was the last to finish."""
    last = context.stored.last_finished
    return last is not None and last["run"] == marked(context)


def run_now(context: JobContext) -> Run | None:
    """The run that the run-now annotation asks for.

    A person's request counts on a suspended job too, as with `kubectl create job --from`.
    """
    token = context.job.annotations.get(names.RUN_NOW, "")
    if not token:
        return None
    told = context.job.annotations.get(names.RUN_NOW_ARGS, "")
    return Run(run_names.token_run(token), "RunNow", None, since=context.now, arguments=told)


def again(context: JobContext, unfinished: Iterable[Run]) -> tuple[Run | None, str]:
    """The run that repeats a run that did not succeed; a reason means that it is refused.

    None while nobody asks, or while the run has not ended. A run is repeated once; to repeat it
    again, a person repeats the repetition.
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
    """The runs that the present annotations ask for: they are remembered while these stay."""
    notes = context.job.annotations
    asked = (
        (notes.get(names.RUN_NOW), run_names.token_run),
        (notes.get(names.RETRY), run_names.again_run),
    )
    return [run(told) for told, run in asked if told]


def arguments(text: str) -> Arguments | None:
    """The parsed annotation; None when its form is wrong. Nothing in it is interpreted."""
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
