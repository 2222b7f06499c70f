"""`bayplan selftest`: runs a tiny BatchJob from start to end; `helm test` runs this."""

import json
import secrets
from typing import TYPE_CHECKING

import click

from bayplan import __version__
from bayplan.cli.errors import Refused
from bayplan.cli.target import Target, installed, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient


@click.command(short_help="Run a tiny BatchJob and delete it again.")
@click.option(
    "--image",
    metavar="IMAGE",
    help="Image that contains this command line; the job runs `bayplan --version`. By default that "
    f"of the operator's Deployment, else bayplan/bayplan:{__version__}.",
)
@click.option("--seconds", type=click.FloatRange(1), default=180.0, show_default=True,
              help="How long the job may take, with the wait for a node.")  # fmt: skip
@installed()
@targeted(of_namespace="Namespace of the job; by default `default`.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def selftest(
    image: str | None, seconds: float, operator: tuple[str, str], target: Target, output: str
) -> None:
    """Create a BatchJob, wait until it has run, delete it, and say how long each step took.

    Exit code: 0 it ran, 1 it did not, 3 the cluster refused.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.cli.ops import selftest_run

    namespace = target.namespace or "default"
    with client.connected(target) as cluster:
        chosen = image or _image(cluster, operator)
        job = selftest_run.job(namespace, chosen, secrets.token_hex(3))
        steps = selftest_run.follow(cluster, job, seconds)
    if output == "json":
        click.echo(json.dumps({"schema": "bayplan.dev/selftest/v1", "seconds": steps}))
    else:
        said = ", ".join(f"{step} after {took:.1f} s" for step, took in steps.items())
        click.echo(f"A BatchJob ran in {namespace}: {said}")


def _image(cluster: "ApiClient", operator: tuple[str, str]) -> str:
    """The image of the operator, whatever name its release gave it; our own without the right."""
    namespace, name = operator
    try:
        found = cluster.find("Deployment", name, namespace)
    except Refused:
        found = None
    containers = found["spec"]["template"]["spec"]["containers"] if found is not None else ()
    return next((str(one["image"]) for one in containers), f"bayplan/bayplan:{__version__}")
