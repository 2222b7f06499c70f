"""`bayplan selftest`: one tiny BatchJob through its whole life; what `helm test` runs."""

import asyncio
import json
import sys

import click

from bayplan import __version__


@click.command(short_help="Run a tiny BatchJob and delete it again.")
@click.option("--namespace", metavar="NAME", default="default", show_default=True)
@click.option(
    "--image",
    default=f"bayplan/bayplan:{__version__}",
    show_default=True,
    help="Image with this command line in it; the job asks it for its version.",
)
@click.option("--seconds", type=click.FloatRange(1), default=180.0, show_default=True,
              help="How long the job may take, waiting for a node included.")  # fmt: skip
@click.option("--context", "cluster_context", metavar="NAME", help="Of the kubeconfig.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def selftest(
    namespace: str, image: str, seconds: float, cluster_context: str | None, output: str
) -> None:
    """Create a BatchJob, wait until it has run, delete it, and say how long each step took.

    Exit code: 0 it ran, 1 it did not, 3 the cluster refused.
    """
    from bayplan.cli.ops import selftest_run  # --help answers at once

    try:
        steps = asyncio.run(selftest_run.run(namespace, image, seconds, cluster_context))
    except selftest_run.FailedError as failed:
        click.echo(f"Error: {failed}", err=True)
        sys.exit(1)
    except selftest_run.RefusedError as refused:
        click.echo(f"Error: {refused}", err=True)
        sys.exit(3)
    if output == "json":
        click.echo(json.dumps({"schema": "bayplan.dev/selftest/v1", "seconds": steps}))
    else:
        said = ", ".join(f"{step} after {took:.1f} s" for step, took in steps.items())
        click.echo(f"A BatchJob ran in {namespace}: {said}")
