"""Chooses the run of a job for a command: the run that the user names, or the only run."""

from bayplan.cli.errors import Negative


def only(job: str, name: str | None, runs: list[str], what: str) -> str:
    """The run `name`, or the only run of `runs`; `Negative` if there is no such choice."""
    if name is None and len(runs) == 1:
        return runs[0]
    if name is None or name not in runs:
        listed = ", ".join(runs) or "none"
        wrong = "give the name of a run" if name is None else f"{name} is not among them"
        raise Negative(f"{wrong}; {what} runs of {job}: {listed}")
    return name
