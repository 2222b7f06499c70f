"""`bayplan top`: a live view of the requests on nodes and of their cost, as in eks-node-viewer.

It shows requests against allocatable, never usage, because packing counts requests. A full node is
green and an empty node red, because a full node is money well spent.
"""

import shutil
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.cli.packing import pool_objects
from bayplan.cli.printing import data, formatted, is_data, plain
from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bayplan.cli.client import ApiClient
    from bayplan.model.requirements import Term

_MICRO = 1_000_000
_FULL, _FAIR = 90.0, 60.0  # percent
_BAR = 10
_NARROW = 100  # columns; a terminal up to this width gets short bars
_WHAT = ("nodes", "jobs", "services", "pools")
_KINDS = {"jobs": "BatchJob", "services": "LongService"}
_SORTS = ("name", "cpu", "memory", "price", "waste")


@click.command(short_help="Show nodes, jobs, services or Pools, live: requests, price, bars.")
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

    Pools have a row each: how full their nodes are, what they cost, the bound (no nodes hold these
    pods for less), by how many percent they cost more, and the pods that wait for a node. Of their
    NodeClaims, +2 are on the way, -1 goes back and !3 were refused in the last 30 minutes; ~4 nodes
    are closing or being emptied. Buy+ is the mode BuyAndConsolidate.

    Exit code: 0, or 3 if the cluster refused.
    """
    from bayplan.cli import client  # --help answers at once

    with client.connected(target) as cluster:
        if is_data(output):
            data(output, "top", _looked(cluster, what, sort, node_selector))
            return
        from rich.console import Console  # 50 ms

        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160 if output == "wide" else 120
        if once or not console.is_terminal:
            console.print(
                picture(_looked(cluster, what, sort, node_selector), wide=output == "wide")
            )
            return
        from rich.live import Live

        with Live(console=console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    told = _looked(cluster, what, sort, node_selector)
                    live.update(
                        picture(told, wide=output == "wide", lines=console.height - 6), refresh=True
                    )
                    time.sleep(seconds)
            except KeyboardInterrupt:
                return


def _looked(cluster: "ApiClient", what: str, sort: str, node_selector: str) -> dict[str, Any]:
    """One look at the cluster, as data."""
    from bayplan.reports.top import nodes, workloads  # numpy

    if what == "pools":
        from bayplan.reports import pools

        bodies = pool_objects.pools(cluster)
        return {"what": what, what: pools.overview(bodies, pool_objects.site(cluster))}
    if what != "nodes":
        return {"what": what, what: workloads(cluster.listed(_KINDS[what]))}
    from bayplan.manifests import inventory
    from bayplan.manifests.documents import Document

    chosen = _term(node_selector)
    there, pods = cluster.listed("Node", ""), cluster.listed("Pod", "")
    documents = [Document("the cluster", body) for body in (*there, *pods)]
    found = inventory.inventory(documents, {}, lenient=True)
    told = nodes(
        found.nodes,
        found.running,
        waiting=sum(demand.count for demand in found.demands),
        deleting={
            one["metadata"]["name"] for one in there if one["metadata"].get("deletionTimestamp")
        },
        sort=sort,
        chosen=chosen,
    )
    return {"what": what, **told}


def _term(node_selector: str) -> "Term":
    from bayplan import settings  # pydantic

    try:
        return settings.node_term(node_selector)
    except ValueError as error:
        raise InputError("--node-selector", str(error)) from error


def picture(told: Mapping[str, Any], *, wide: bool, lines: int | None = None) -> "RenderableType":
    """What one look found, to print on a terminal; `lines` is how many rows have room."""
    from rich.console import Group
    from rich.text import Text

    if told["what"] == "pools":
        from bayplan.cli.packing import pool_table

        return pool_table.picture(told["pools"], wide=wide, lines=lines)
    if told["what"] != "nodes":
        return _listing(told, told[told["what"]], lines)
    fill = told["fillPercent"]
    cost = told["costMicrodollarsPerHour"]
    head = [
        Text(
            f"{len(told['nodes'])} nodes   ${cost / _MICRO:,.3f} an hour   "
            f"${told['costDollarsPerMonth']:,.2f} a month   "
            f"pods {told['pods']['running']} running, {told['pods']['waiting']} waiting"
        ),
        *(
            Text.assemble(f"{name:<7}", _bar(fill[name], 3 * _BAR), f" {fill[name]:5.1f} %")
            for name in ("cpu", "memory", "pods")
            if name in fill
        ),
    ]
    return Group(*head, _node_table(told["nodes"], lines, wide=wide))


def _node_table(rows: list[Any], lines: int | None, *, wide: bool) -> "RenderableType":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    bar = _BAR if shutil.get_terminal_size((160, 24)).columns > _NARROW else _BAR // 3
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=_rest(rows, lines))
    shown.add_column("Node", overflow="ellipsis", min_width=10)  # the column that is cut
    shown.add_column("CPU", no_wrap=True)
    shown.add_column("Memory", no_wrap=True)
    shown.add_column("Pods", justify="right", no_wrap=True)
    shown.add_column("Type", no_wrap=True)
    shown.add_column("$/h", justify="right", no_wrap=True)
    shown.add_column("State", no_wrap=True)
    if wide:
        shown.add_column("Zone", no_wrap=True)
        shown.add_column("Bought", no_wrap=True)
        shown.add_column("Price of", no_wrap=True)
    for row in rows[:lines]:
        fill = row["fillPercent"]
        price = row["costMicrodollarsPerHour"]
        cells = [
            Text(plain(row["name"])),
            *(
                Text.assemble(_bar(fill.get(name, 0.0), bar), f" {fill.get(name, 0.0):3.0f} %")
                for name in ("cpu", "memory")
            ),
            Text(f"{row['pods']}/{row['allocatable'].get('pods', 0)}"),
            Text(plain(row["instanceType"])),
            Text(f"{price / _MICRO:.4f}" if price is not None else "?"),
            Text(row["state"]),
        ]
        more = [row["zone"], row["capacity"], row["priceSource"]] if wide else []
        shown.add_row(*cells, *(Text(plain(one)) for one in more))
    return shown


def _listing(told: Mapping[str, Any], rows: list[Any], lines: int | None) -> "RenderableType":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    columns: tuple[str, ...] = {
        "jobs": ("namespace", "name", "next", "result", "running", "waiting", "runSecondsP50"),
        "services": ("namespace", "name", "wanted", "ready", "updated", "waiting", "status"),
    }[told["what"]]
    if any(row.get("drifted") for row in rows):  # few services have any: no column of zeros
        columns = (*columns, "drifted")
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=_rest(rows, lines))
    for column in columns:
        counts = column not in {"namespace", "name", "next", "result", "status"}
        title = "run p50" if column == "runSecondsP50" else column
        shown.add_column(title.capitalize(), justify="right" if counts else "left", no_wrap=True)
    for row in rows[:lines]:
        values = ("" if row[one] is None else str(row[one]) for one in columns)
        shown.add_row(*(Text(plain(one)) for one in values))
    return shown


def _rest(rows: Iterable[Any], lines: int | None) -> str | None:
    left = len(list(rows)) - lines if lines is not None else 0
    return f"… and {left} more; --once shows all" if left > 0 else None


def _bar(percent: float, width: int) -> Any:
    from rich.text import Text

    full = min(round(percent * width / 100), width)
    colour = "green" if percent >= _FULL else "yellow" if percent >= _FAIR else "red"
    return Text.assemble(("█" * full, colour), ("░" * (width - full), "dim"))
