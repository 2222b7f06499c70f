"""`bayplan runs`: lists the unfinished runs of a job and the last runs that ended."""

from collections.abc import Mapping
from typing import Any

import click

from bayplan.api import names
from bayplan.cli import printing
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted


@click.command(short_help="List the unfinished runs of a job and the last that ended.")
@click.argument("job")
@targeted()
@printing.formatted
def runs(job: str, target: Target, output: str) -> None:
    """List the unfinished runs of JOB, then the last ten runs that ended, the newest first."""
    with connected(target, names.BATCHJOB, job) as (_, body):
        status = body.get("status") or {}
    rows = [{**_shown(one), "state": _active(one)} for one in status.get("active") or ()]
    rows += [{**_shown(one), "state": one["outcome"]} for one in status.get("history") or ()]
    if printing.is_data(output):
        printing.data(output, "runs", {"runs": rows, "statistics": status.get("statistics") or {}})
        return
    headings = ["run", "state", "slot", "started", "took", "attempts", "reason"]
    wide = ["exit code", "node", "pods", "detail"] if output == "wide" else []
    table = []
    for one in rows:
        attempts = one["attempt"] + 1 if "attempt" in one else one.get("attempts", "")
        row = [one["run"], one["state"], one.get("slotTime"), one.get("startTime"), _took(one),
               attempts, one.get("reason")]  # fmt: skip
        more = [one.get("exitCode"), one.get("node"), ",".join(one.get("pods") or ()),
                one.get("detail")]  # fmt: skip
        table.append([*row, *(more if wide else [])])
    click.echo(printing.table([*headings, *wide], table) if table else "No run yet.\n", nl=False)


def _shown(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run without a start at the epoch: older operators stored that for runs never started."""
    never = "startTime" in one and printing.epoch(one["startTime"]) is None
    return {name: value for name, value in one.items() if not (never and name == "startTime")}


def _active(one: Mapping[str, Any]) -> str:
    if one.get("retryTime"):
        return f"Retrying at {one['retryTime']}"
    return "Running" if _shown(one).get("startTime") else "Starting"


def _took(one: Mapping[str, Any]) -> str:
    start, end = printing.epoch(one.get("startTime")), printing.epoch(one.get("endTime"))
    if start is None:
        return ""
    return printing.age((printing.now() if end is None else end) - start)
