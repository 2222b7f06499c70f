"""`bayplan top`: a live view of the requests on nodes and of their cost, as in eks-node-viewer.

It shows requests against allocatable, never usage, because packing counts requests. A full node is
green and an empty node red, because a full node is money well spent.
"""

import sys
from typing import TYPE_CHECKING, Any

import click

from bayplan.cli.packing.looks import looked
from bayplan.cli.printing import data, formatted, is_data, plain
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.cli.screen.views import Choice

_WHAT = ("nodes", "pods", "workloads", "namespaces", "jobs", "services", "pools")
_SORTS = ("name", "cpu", "memory", "price", "waste")


@click.command(short_help="Show nodes, pods, costs, jobs, services or Pools, live.")
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
    """Show the requests on the cluster and what it costs.

    On a terminal it is a screen with keys: arrows, enter opens a row (the pods of a node, the runs
    of a job, the logs of a pod), l logs, e explains, / filters, s sorts, tab turns to the next
    page, ? shows all keys, q quits. In a pipe, and with --once, it prints once.

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
            told = looked(cluster, what, sort, node_selector)
            _warn(told)
            data(output, "top", told)
            return
        from rich.console import Console  # 50 ms

        console = Console(highlight=False)
        if not once and console.is_terminal and not console.is_dumb_terminal and sys.stdin.isatty():
            from bayplan.cli.screen.views import Choice

            _screen(cluster, what, Choice(target.chosen, sort, node_selector), seconds)
            return
        from bayplan.cli.packing import top_table

        if not console.is_terminal:
            console.width = 160 if output == "wide" else 120
        told = looked(cluster, what, sort, node_selector)
        _warn(told)
        console.print(top_table.picture(console, told, wide=output == "wide"))


def _warn(told: dict[str, Any]) -> None:
    if told.get("behind"):
        click.echo(plain(told["behind"]), err=True)


def _screen(cluster: "ApiClient", what: str, choice: "Choice", seconds: float) -> None:
    """Show the screen until the user leaves it."""
    from bayplan.cli.screen.app import Screen  # textual: 110 ms

    screen = Screen(cluster, what, choice, seconds)
    try:
        failed = screen.run(mouse=False)  # so that the terminal selects and copies as always
    finally:
        screen.stop()
    if failed is not None:
        raise failed
