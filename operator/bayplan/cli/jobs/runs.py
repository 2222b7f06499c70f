"""`bayplan runs`: lists runs of a job or of all jobs, unfinished ones and those that ended."""

from collections.abc import Iterable, Mapping
from typing import Any

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.jobs.live_job import live_job, live_jobs
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted

_MOST_NAMED = 3  # jobs in a note


@click.command(short_help="List runs of one job or of all: what runs, what ended, what failed.")
@click.argument("job", required=False, shell_complete=name_completion.jobs)
@click.option(
    "--failed",
    is_flag=True,
    help="List only what went wrong: runs that failed or were missed, attempts that failed, and "
    "unfinished runs that have failed before.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="List only unfinished runs and those that have ended since: 12h, 1d12h, 2026-01-31 or "
    "2026-01-31T06:00Z.",
)
@targeted(everywhere=True)
@printing.formatted
def runs(job: str | None, failed: bool, since: str | None, target: Target, output: str) -> None:
    """List the unfinished runs of JOB, then those that ended, the newest first.

    Without JOB it lists the runs of all jobs of the namespace, with -A of all namespaces: `bayplan
    runs -A --failed --since 12h` says what failed last night.

    A status knows the last ten runs that ended. Of older ones those are listed whose pods are kept
    (spec.history), and `--since` says for which jobs that is not all.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.reports import runs as report

    if job and target.namespace == "":
        raise click.UsageError("Name a job, or give -A, not both.")
    now = printing.now()
    begin = _moment(since, now)
    if job:
        with connected(target, names.BATCHJOB, job) as (cluster, body):
            found = live_job(cluster, body)
        rows = report.of_job(found.bodies[0], found.pods, now)
    else:
        with client.connected(target) as cluster:
            found = live_jobs(cluster, cluster.listed(names.BATCHJOB))
        rows = report.of_jobs(found.bodies, found.pods, now)
    found.warn()
    if begin is not None:
        rows = report.since(rows, begin)
    rows = [row for row in rows if row["wentWrong"] or not failed]
    partly = [
        {"namespace": body["metadata"]["namespace"], "job": body["metadata"]["name"],
         "knownSince": _time(known)}
        for body in found.bodies
        if begin is not None and (known := report.known_since(body)) is not None and known > begin
    ]  # fmt: skip
    if printing.is_data(output):
        more = (
            {"statistics": (found.bodies[0].get("status") or {}).get("statistics") or {}}
            if job
            else {}
        )
        printing.data(output, "runs", {"runs": rows, **more, "partlyKnown": partly})
        return
    if rows:
        everywhere = not job and target.chosen == ""
        headings, table = _table(rows, everywhere=everywhere, job=job, wide=output == "wide")
        click.echo(printing.table(headings, table), nl=False)
    else:
        click.echo(_nothing(failed=failed, since=since))
    if partly:
        click.echo(printing.plain(_partly(partly)), err=True)


def _moment(since: str | None, now: int) -> int | None:
    from bayplan.cli import moment
    from bayplan.schedules import zones

    return None if since is None else moment.ago("--since", since, now, zones.zone("UTC"))


def _table(
    rows: Iterable[Mapping[str, Any]], *, everywhere: bool, job: str | None, wide: bool
) -> tuple[list[str], list[list[object]]]:
    from bayplan.reports.runs import attempts_of

    columns: dict[str, Any] = {
        "run": lambda one: one["run"],
        "state": lambda one: one["state"],
        "slot": lambda one: one.get("slotTime"),
        "started": lambda one: one.get("startTime"),
        "ended": lambda one: one.get("endTime"),
        "took": _took,
        "attempts": attempts_of,
        "reason": lambda one: one.get("reason"),
        "logs": _logs,
        "exit code": lambda one: one.get("exitCode"),
        "node": lambda one: one.get("node"),
        "pods": lambda one: ",".join(one.get("logs") or ()),
        "detail": lambda one: one.get("detail"),
    }
    chosen = ["run", "state", "slot", "started", "took", "attempts", "reason", "logs"]
    if job is None:
        chosen = ["state", "ended", "took", "attempts", "reason", "exit code", "logs", "run"]
    more = [*(() if job else ("slot", "started")), *(("exit code",) if job else ()), "node", "pods",
            "detail"]  # fmt: skip
    chosen += more if wide else []
    first = [*(("namespace",) if everywhere else ()), *(() if job else ("job",))]
    table = [[*(one[name] for name in first), *(columns[name](one) for name in chosen)]
             for one in rows]  # fmt: skip
    return [*first, *chosen], table


def _logs(one: Mapping[str, Any]) -> str:
    """How many pods are left, whose logs can be read."""
    if "logs" not in one:
        return ""
    return str(len(one["logs"])) if one["logs"] else "gone"


def _took(one: Mapping[str, Any]) -> str:
    start, end = printing.epoch(one.get("startTime")), printing.epoch(one.get("endTime"))
    if start is None:
        return ""
    return printing.age((printing.now() if end is None else end) - start)


def _time(epoch: int) -> str:
    from bayplan.api.times import rfc3339

    return rfc3339(epoch)


def _nothing(*, failed: bool, since: str | None) -> str:
    what = "Nothing went wrong" if failed else "No run"
    if since is not None:
        return f"{what} since {since}."
    return f"{what}." if failed else "No run yet."


def _partly(partly: list[dict[str, Any]]) -> str:
    """Which jobs may have had more runs than are listed."""
    named = ", ".join(
        f"{one['namespace']}/{one['job']} since {one['knownSince']}" for one in partly[:_MOST_NAMED]
    )
    more = len(partly) - _MOST_NAMED
    named += f" and {more} more (-o json lists all)" if more > 0 else ""
    return (
        f"not all runs are known, for a status keeps the last ten; all of {named}; "
        "of older runs only those whose pods are kept (spec.history)"
    )
