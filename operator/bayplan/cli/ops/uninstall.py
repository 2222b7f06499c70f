"""`bayplan uninstall`: take away what would outlive the operator, in an order that leaves no rest.

The chart's pre-delete hook runs it with `--finalizers-only`: run pods lose the finalizer that only
the operator would ever take off, and everybody's resources stay.
"""

import json

import click

from bayplan.cli.printing import working
from bayplan.cli.target import Target, installed, targeted


@click.command(short_help="Take away what would outlive the operator.")
@click.option("--finalizers-only", is_flag=True, help="Keep BatchJobs, LongServices and CRDs.")
@installed(" It is stopped first.")
@click.option("--seconds", type=click.FloatRange(1), default=90.0, show_default=True,
              help="How long to wait for the operator to stop.")  # fmt: skip
@targeted(
    everywhere=True,
    of_namespace="Run pods of this namespace only.",
    of_all="Run pods of all namespaces, as when none is named.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def uninstall(  # noqa: PLR0917  click hands over one parameter for each option
    finalizers_only: bool,
    operator: tuple[str, str],
    seconds: float,
    target: Target,
    yes: bool,
    output: str,
) -> None:
    """Stop the operator, take its finalizer off run pods and, unless told otherwise, delete all.

    Without --finalizers-only the custom resource definitions go too, and with them every BatchJob
    and LongService and their pods. Exit code: 0 done, 2 wrong usage, 3 the cluster refused.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.cli.ops import uninstall_steps

    where, name = operator
    namespace = target.namespace or ""
    if namespace and not finalizers_only:
        raise click.UsageError(
            "--namespace: definitions are the whole cluster's; add --finalizers-only"
        )
    if not yes:
        what = "its finalizers" if finalizers_only else "every BatchJob and LongService"
        click.confirm(f"Stop {where}/{name} and remove {what}?", abort=True, err=True)
    order = uninstall_steps.Order(where, name, namespace, seconds, keeps_resources=finalizers_only)
    with client.connected(target) as cluster, working("Uninstalling") as shown:
        done = uninstall_steps.carry_out(order, cluster, shown)
    if output == "json":
        click.echo(json.dumps({"schema": "bayplan.dev/uninstall/v1", **done}))
    else:
        gone = "" if finalizers_only else "; BatchJobs, LongServices and their definitions are gone"
        click.echo(f"{done['released']} run pods released{gone}")
