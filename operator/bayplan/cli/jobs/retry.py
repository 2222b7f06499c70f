"""`bayplan retry`: asks by an annotation to run a failed run again."""

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.jobs.live_job import job_as_now
from bayplan.cli.jobs.run_choice import only
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted


@click.command(short_help="Run a failed run again.")
@click.argument("job", shell_complete=name_completion.jobs)
@click.argument("name", metavar="[RUN]", required=False, shell_complete=name_completion.runs)
@targeted()
@printing.formatted
def retry(job: str, name: str | None, target: Target, output: str) -> None:
    """Run RUN of JOB again, or the newest failed run: same scheduled time, same arguments.

    Exit code: 0 done, 1 there is no such failed or cancelled run.
    """
    from bayplan.api import run_names

    with connected(target, names.BATCHJOB, job) as (cluster, body):
        history = (job_as_now(cluster, body).get("status") or {}).get("history") or ()
        ended = [run["run"] for run in history if run["outcome"] in {"Failed", "Cancelled"}]
        failed = [run["run"] for run in history if run["outcome"] == "Failed"]
        chosen = only(job, name or next(iter(failed), None), ended, "failed or cancelled")
        cluster.annotate(names.BATCHJOB, body, {names.RETRY: chosen})
    run = run_names.again_run(chosen)
    printing.said(
        output, "retry", {"run": run, "of": chosen}, f"{job} run {chosen} runs again as {run}"
    )
