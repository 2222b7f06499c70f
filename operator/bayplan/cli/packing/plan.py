"""`bayplan plan`: what the operator would do now on the live cluster. Nothing is written."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bayplan.cli import name_completion
from bayplan.cli.errors import NotThere, Refused
from bayplan.cli.packing import pool_objects
from bayplan.cli.printing import data, formatted, is_data, now, plain, table
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient


@click.command(short_help="Show what Bayplan would do now; nothing is written.")
@targeted(everywhere=True)
@click.option("--node-selector", default="", help="As set for the operator; empty means all nodes.")
@click.option(
    "--pool",
    metavar="NAME|FILE",
    default="",
    shell_complete=name_completion.pools,
    help="Show instead what the nodes of this NodePool of Karpenter cost, what the least cost is, "
    "and which nodes to buy and to give back. A file may hold the NodePool. The name of a Pool "
    "means its NodePool, if no NodePool has that name; pool/NAME always means the Pool.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With --pool: dollars an hour by type, a JSON object or CSV.",
)
@click.option(
    "--aws-prices",
    "region",
    metavar="REGION",
    default="",
    help="With --pool: AWS's prices for this region, spot too; needs boto3 (extra `aws`).",
)
@click.option(
    "--karpenter-metrics",
    metavar="URL|FILE",
    default="",
    help="With --pool: prices and availability of a running Karpenter, spot too, from its "
    "/metrics, such as http://localhost:8080/metrics of `kubectl port-forward`.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 600),
    default=2.0,
    show_default=True,
    help="With --pool: how much to search, what a free core does in this time. Steps are counted, "
    "so a busy machine gives the same plan.",
)
@formatted
def plan(  # noqa: PLR0917  click hands over one parameter for each option
    node_selector: str,
    pool: str,
    prices: Path | None,
    region: str,
    karpenter_metrics: str,
    seconds: float,
    target: Target,
    output: str,
) -> None:
    """Run a cycle of the operator's own loop on the live cluster, and print instead of writing.

    Lists the pods that would be created, bound or deleted, and the pods that wait, with reasons.
    Without -n it covers the whole cluster. Says what the operator's Pools do next, if there are
    Pools, and what the nodes in use cost, beside the bound: what no nodes of the kinds that the
    cluster has could cost less than for the pods that run.

    With --pool, it packs every pod of the pool's nodes, and every waiting pod that the pool could
    hold, onto nodes that the pool may buy. If the cluster has no node of that pool, it takes all
    nodes: so you see what a NodePool would save before you install Karpenter.

    Exit code: 0 everything has a place, 1 something waits for room, 2 the input is wrong, 3 the
    cluster refused.
    """
    if not pool and (prices or region or karpenter_metrics):
        raise click.UsageError("--prices, --aws-prices and --karpenter-metrics need --pool.")
    if pool:
        from bayplan.cli.packing.pool_plan import pool_plan

        code = pool_plan(
            target,
            pool,
            prices=prices,
            region=region,
            metrics=karpenter_metrics,
            seconds=seconds,
            output=output,
        )
        click.get_current_context().exit(code)
    from bayplan import stdout
    from bayplan.cli import client  # --help answers at once
    from bayplan.reports import pools
    from bayplan.reports.live_cost import live_cost
    from bayplan.reports.plan import changes
    from bayplan.scheduler import dry_run

    with client.connected(target) as cluster:
        found = dry_run.session(cluster, now(), node_selector)
        coming = pools.coming(_pools(cluster))
    with stdout.stdout():
        cost = live_cost(found.before, seconds)
    told = {**changes(found, target.namespace or ""), "pools": coming, "cost": cost}
    if is_data(output):
        data(output, "plan", told)
    else:
        _print(told, wide=output == "wide")
    click.get_current_context().exit(1 if told["waiting"] else 0)


def _pools(cluster: "ApiClient") -> list[dict[str, Any]]:
    """The Pools; none where the kind is not defined, or the user may not list it."""
    try:
        return pool_objects.pools(cluster)
    except (NotThere, Refused):
        return []


def _print(told: dict[str, Any], *, wide: bool) -> None:
    """One line for all pods of a workload on a node; with `wide` a line for each pod."""
    if wide:
        rows = [
            (one["action"], one["of"], f"{one['namespace']}/{one['pod']}", one["node"] or "-")
            for one in told["changes"]
        ]
        headings = ("action", "workload", "pod", "node")
    else:
        groups = Counter((one["action"], one["of"], one["node"] or "-") for one in told["changes"])
        rows = [(what, of, str(count), node) for (what, of, node), count in groups.items()]
        headings = ("action", "workload", "pods", "node")
    if rows:
        click.echo(table(headings, rows), nl=False)
    else:
        click.echo("Nothing to do.")
    for one in told["waiting"]:
        click.echo(plain(f"no room for {one['pods']} of {one['of']}: {one['message']}"))
    for pool in told["pools"]:
        for line in pool["next"]:
            click.echo(plain(f"Pool {pool['name']}: {line}"))
    from bayplan.reports.live_cost import sentence

    cost = sentence(told["cost"])
    if cost:
        click.echo(plain(cost))
    for name in told["unreadable"]:
        click.echo(plain(f"left out, cannot be read: {name}"), err=True)
