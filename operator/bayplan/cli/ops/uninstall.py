"""`bayplan uninstall`: removes what would outlive the operator, in an order that leaves nothing.

The chart's pre-delete hook runs it with `--finalizers-only`: run pods lose the finalizer that only
the operator would remove, and all BatchJobs, LongServices and Pools stay.
"""

import json

import click

from bayplan.cli.printing import working
from bayplan.cli.target import Target, installed, targeted


@click.command(short_help="Remove what would outlive the operator.")
@click.option(
    "--finalizers-only", is_flag=True, help="Keep BatchJobs, LongServices, Pools and CRDs."
)
@installed(" The command stops it first.")
@click.option("--seconds", type=click.FloatRange(1), default=90.0, show_default=True,
              help="How long to wait for the operator to stop.")  # fmt: skip
@targeted(
    everywhere=True,
    of_namespace="Only run pods of this namespace.",
    of_all="Run pods of all namespaces, as without -n.",
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
    """Stop the operator, remove its finalizer from run pods, and delete the definitions.

    With the custom resource definitions every BatchJob and LongService and their pods are deleted,
    and every Pool; nodes stay. --finalizers-only keeps them all.

    Exit code: 0 done, 2 wrong usage, 3 the cluster refused.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.cli.ops import uninstall_steps

    where, name = operator
    namespace = target.namespace or ""
    if namespace and not finalizers_only:
        raise click.UsageError(
            "--namespace: definitions belong to the whole cluster; add --finalizers-only"
        )
    if not yes:
        what = "its finalizers" if finalizers_only else "every BatchJob, LongService and Pool"
        click.confirm(f"Stop {where}/{name} and remove {what}?", abort=True, err=True)
    order = uninstall_steps.Order(where, name, namespace, seconds, keeps_resources=finalizers_only)
    with client.connected(target) as cluster, working("Uninstalling") as shown:
        done = uninstall_steps.carry_out(order, cluster, shown)
    if output == "json":
        click.echo(json.dumps({"schema": "bayplan.dev/uninstall/v1", **done}))
    else:
        gone = (
            ""
            if finalizers_only
            else "; BatchJobs, LongServices, Pools and their definitions are gone"
        )
        click.echo(f"{done['released']} run pods released{gone}")
