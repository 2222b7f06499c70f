"""The Event that a run has got its node: only the answer to a write says so exactly once."""

from bayplan.api import names
from bayplan.model.intents import EmitEvent
from bayplan.model.pods import Pod


def run_started(pod: Pod) -> EmitEvent | None:
    """That an attempt has got its node; None for a pod that is no run's, or not its first task."""
    run, attempt = pod.labels.get(names.RUN, ""), pod.labels.get(names.ATTEMPT, "0")
    if not (run and pod.node) or pod.labels.get(names.TASK_INDEX, "0") != "0":
        return None
    later = attempt.isdecimal() and attempt != "0"
    what = f"Attempt {int(attempt) + 1} of run {run}" if later else f"Run {run}"
    return EmitEvent("RunStarted", f"{what} starts on {pod.node}: pod {pod.name}.")
