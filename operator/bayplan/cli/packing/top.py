"""`bayplan top`: a live view of the requests on nodes and of their cost, as in eks-node-viewer.

It shows requests against allocatable, never usage, because packing counts requests. A full node is
green and an empty node red, because a full node is money well spent.
"""

import time

import click

from bayplan.cli.packing.looks import looked
from bayplan.cli.printing import data, formatted, is_data
from bayplan.cli.target import Target, targeted

_WHAT = ("nodes", "workloads", "namespaces", "jobs", "services", "pools")
_SORTS = ("name", "cpu", "memory", "price", "waste")


@click.command(short_help="Show nodes, costs, jobs, services or Pools, live.")
@click.argument("what", type=click.Choice(_WHAT), default="nodes")
@click.option("--once", is_flag=True, help="Print once and end, as always in a pipe.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=5.0, show_default=True,
              help="Time between two looks.")  # fmt: skip
@click.option("--sort", type=click.Choice(_SORTS), default="price", show_default=True)
@click.option("--node-selector", default="", help="Labels of the nodes to show; empty means all.")
@targeted(everywhere=True)
@formatted
def top(  # noqa: PLR0917  click hands over one parameter for each option
    what: str,
    once: bool,
    seconds: float,
    sort: str,
    node_selector: str,
    target: Target,
    output: str,
) -> None:
    """Show the requests on the cluster and what it costs, until Ctrl-C.

    Stranded is what is free on nodes where no pod like those that run would fit, because another
    resource is used up. Workloads and namespaces have a row each with what they cost: the price of
    a node is split over its CPU, its memory and its devices, and pods pay for what they ask for.
    What nobody pays for is stranded or free.

    Pools have a row each: how full their nodes are, what they cost, the bound (no nodes hold these
    pods for less), by how many percent they cost more, and the pods that wait for a node. Of their
    NodeClaims, +2 are on the way, -1 goes back and !3 were refused in the last 30 minutes; ~4 nodes
    are closing or being emptied. Buy+ is the mode BuyAndConsolidate.

    Exit code: 0, or 3 if the cluster refused.
    """
    from bayplan.cli import client  # --help answers at once

    with client.connected(target) as cluster:
        if is_data(output):
            data(output, "top", looked(cluster, what, sort, node_selector))
            return
        from rich.console import Console, RenderableType  # 50 ms

        from bayplan.cli.packing import top_table

        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160 if output == "wide" else 120

        def picture() -> RenderableType:
            told = looked(cluster, what, sort, node_selector)
            return top_table.picture(console, told, wide=output == "wide")

        if once or not console.is_terminal:
            console.print(picture())
            return
        from rich.live import Live

        with Live(console=console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    live.update(picture(), refresh=True)
                    time.sleep(seconds)
            except KeyboardInterrupt:
                return
