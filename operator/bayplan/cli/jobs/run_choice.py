"""Which run of a job a command means: the one that is named, or the only one there is."""

from bayplan.cli.errors import Negative


def only(job: str, name: str | None, runs: list[str], what: str) -> str:
    """The run named, or the only one there is."""
    if name is None and len(runs) == 1:
        return runs[0]
    if name is None or name not in runs:
        told = ", ".join(runs) or "none"
        asked = "name one" if name is None else f"{name} is not"
        raise Negative(f"{asked}: {what} runs of {job}: {told}")
    return name
