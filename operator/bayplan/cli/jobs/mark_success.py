"""`bayplan mark-success`: lets a run count as a success, however it ended."""

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.jobs.live_job import job_as_now
from bayplan.cli.jobs.run_choice import only
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted


@click.command("mark-success", short_help="Let a run count as a success.")
@click.argument("job", shell_complete=name_completion.jobs)
@click.argument("name", metavar="RUN", shell_complete=name_completion.runs)
@targeted()
@printing.formatted
def mark_success(job: str, name: str, target: Target, output: str) -> None:
    """Let RUN of JOB count as a success: its children run, and the count of failures starts anew.

    Exit code: 0 done, 1 the status has no such run.
    """
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        status = job_as_now(cluster, body).get("status") or {}
        known = [one["run"] for key in ("active", "history") for one in status.get(key) or ()]
        chosen = only(job, name, known, "known")
        cluster.annotate(names.BATCHJOB, body, {names.MARK_SUCCESS: chosen})
    printing.said(
        output, "mark-success", {"run": chosen}, f"{job} run {chosen} counts as a success"
    )
