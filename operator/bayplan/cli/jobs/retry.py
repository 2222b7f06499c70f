"""`bayplan retry`: a failed run is run again, by one annotation."""

import click

from bayplan.api import names
from bayplan.cli import printing
from bayplan.cli.jobs.run_choice import only
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted


@click.command(short_help="Run a failed run again.")
@click.argument("job")
@click.argument("name", metavar="[RUN]", required=False)
@targeted()
@printing.formatted
def retry(job: str, name: str | None, target: Target, output: str) -> None:
    """Run RUN of JOB once more, or the newest that failed: same scheduled time, same arguments.

    Exit code: 0, 1 no such run failed or was cancelled.
    """
    from bayplan.api import run_names

    with connected(target, names.BATCHJOB, job) as (cluster, body):
        history = (body.get("status") or {}).get("history") or ()
        ended = [one["run"] for one in history if one["outcome"] in {"Failed", "Cancelled"}]
        failed = [one["run"] for one in history if one["outcome"] == "Failed"]
        chosen = only(job, name or next(iter(failed), None), ended, "failed or cancelled")
        cluster.annotate(names.BATCHJOB, body, {names.RETRY: chosen})
    run = run_names.again_run(chosen)
    printing.said(
        output, "retry", {"run": run, "of": chosen}, f"{job} run {chosen} is run again as {run}"
    )
