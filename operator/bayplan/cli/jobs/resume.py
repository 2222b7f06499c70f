"""`bayplan resume`: ends a pause."""

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted


@click.command(short_help="End a pause.")
@click.argument("job", shell_complete=name_completion.jobs)
@targeted()
@printing.formatted
def resume(job: str, target: Target, output: str) -> None:
    """End a pause of JOB at once. Scheduled times that passed meanwhile are not made up for."""
    from bayplan.api.times import rfc3339

    with connected(target, names.BATCHJOB, job) as (cluster, body):
        cluster.annotate(names.BATCHJOB, body, {names.PAUSED_UNTIL: rfc3339(0)})
        suspended = bool(body["spec"].get("suspend"))
    printing.said(output, "resume", {"suspended": suspended}, f"{job} is resumed")
    if suspended:
        click.echo("its spec says `suspend: true`: no scheduled run starts", err=True)
