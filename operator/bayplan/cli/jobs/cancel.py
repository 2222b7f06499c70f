"""`bayplan cancel`: ends an unfinished run."""

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.jobs.live_job import job_as_now
from bayplan.cli.jobs.run_choice import only
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted


@click.command(short_help="End an unfinished run and delete its pod.")
@click.argument("job", shell_complete=name_completion.jobs)
@click.argument("name", metavar="[RUN]", required=False, shell_complete=name_completion.runs)
@targeted()
@printing.formatted
def cancel(job: str, name: str | None, target: Target, output: str) -> None:
    """End RUN, or the only unfinished run of JOB. The run is not tried again.

    Exit code: 0 done, 1 there is no such unfinished run.
    """
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        status = job_as_now(cluster, body).get("status") or {}
        active = [run["run"] for run in status.get("active") or ()]
        chosen = only(job, name, active, "unfinished")
        cluster.annotate(names.BATCHJOB, body, {names.CANCEL_RUN: chosen})
    printing.said(output, "cancel", {"run": chosen}, f"{job} run {chosen} will end")
