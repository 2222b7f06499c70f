"""`bayplan pause`: starts no scheduled run of a job for a while. The spec is not changed."""

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted

_FOR_EVER = "9999-12-31T23:59:59Z"


@click.command(short_help="Start no scheduled run until resumed, or until a time.")
@click.argument("job", shell_complete=name_completion.jobs)
@click.option("--until", metavar="TIME|DURATION", help="2h, 2026-01-31T06:00Z; else for ever.")
@targeted()
@printing.formatted
def pause(job: str, until: str | None, target: Target, output: str) -> None:
    """Start no scheduled run of JOB; runs under way go on, and `bayplan run` still works."""
    from bayplan.api.times import rfc3339
    from bayplan.cli import moment
    from bayplan.schedules import zones

    text = _FOR_EVER
    if until is not None:
        text = rfc3339(moment.until("--until", until, printing.now(), zones.zone("UTC")))
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        cluster.annotate(names.BATCHJOB, body, {names.PAUSED_UNTIL: text})
    shown = "you resume it" if until is None else text
    printing.said(output, "pause", {"pausedUntil": text}, f"{job} is paused until {shown}")
