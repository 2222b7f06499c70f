"""`python -m tests.jepsen`: Jepsen's test of Chronos against Bayplan on a real API server."""

import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tests.jepsen.play import Profile, Verdict, live

_MOST_TOLD = 25  # broken rules shown
_DEFAULT = Profile()


@click.command()
@click.option(
    "--busy",
    "busy_seconds",
    default=_DEFAULT.busy_seconds,
    show_default=True,
    help="Seconds of faults.",
)
@click.option(
    "--quiet",
    "quiet_seconds",
    default=_DEFAULT.quiet_seconds,
    show_default=True,
    help="Seconds after.",
)
@click.option(
    "--every",
    "every_seconds",
    default=_DEFAULT.every_seconds,
    show_default=True,
    help="Between requests.",
)
@click.option("--widened", default=0, show_default=True, help="Seconds added to each window.")
@click.option("--seed", default=_DEFAULT.seed, show_default=True)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def main(output: str, **profile: Any) -> None:
    """Live through one history and judge it; the exit code is 1 when a rule was broken."""
    busy, quiet = profile["busy_seconds"], profile["quiet_seconds"]
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with (
        Progress(*columns, console=Console(stderr=True)) as bar,
        tempfile.TemporaryDirectory(prefix="bayplan-jepsen-") as folder,
    ):
        task = bar.add_task("a cluster starts", total=busy + quiet)

        def tell(at: float, what: str) -> None:
            bar.update(task, completed=at, description=what)

        verdict = live(Profile(**profile), Path(folder), tell)
    for one in verdict.wrong[:_MOST_TOLD]:
        click.echo(one, err=True)
    said = figures(verdict)
    words = json.dumps(said) if output == "json" else " ".join(f"{k}={v}" for k, v in said.items())
    click.echo(words)
    sys.exit(bool(verdict.wrong))


def figures(verdict: Verdict) -> dict[str, Any]:
    """What was tried and what came of it."""
    late = sorted(verdict.report.late)
    kinds = Counter(fault.name for fault in verdict.history.faults)
    return {
        "jobs": len(verdict.history.jobs),
        "requests": verdict.requests,
        "unsure": verdict.unsure,
        "targets": verdict.report.targets,
        "met": verdict.report.met,
        "runs": verdict.report.runs,
        "missed": sum(verdict.history.missed.values()),
        "late_p50_seconds": late[len(late) // 2] if late else 0,
        "late_most_seconds": late[-1] if late else 0,
        "faults": dict(sorted(kinds.items())),
        "restarts": verdict.restarts,
        "family": dict(verdict.family),
        "violations": len(verdict.wrong),
    }


if __name__ == "__main__":
    main()
