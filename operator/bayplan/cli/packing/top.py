"""`bayplan top`: what is asked of the nodes and what they cost, live, as in eks-node-viewer.

Requests against allocatable, never usage: that is what packs. Full is green, empty is red, since a
full node is money well spent.
"""

import shutil
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.cli.output import data, formatted, is_data, plain
from bayplan.cli.services.rollout import wanted
from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bayplan.cli.client import ApiClient

_MICRO = 1_000_000
_HOURS_A_MONTH = 730
_FULL, _FAIR = 90.0, 60.0  # percent
_BAR = 10
_NARROW = 100  # columns of a terminal that has no room for long bars
_WHAT = ("nodes", "jobs", "services")
_SORTS = ("name", "cpu", "memory", "price", "waste")


@click.command(short_help="Nodes, jobs or services, live: requests, price, bars.")
@click.argument("what", type=click.Choice(_WHAT), default="nodes")
@click.option("--once", is_flag=True, help="Print once and end; so it does in a pipe.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=5.0, show_default=True,
              help="Between two looks.")  # fmt: skip
@click.option("--sort", type=click.Choice(_SORTS), default="price", show_default=True)
@click.option("--node-selector", default="", help="Labels of the nodes to show; empty: all.")
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
    """Show what is asked of the cluster and what it costs, until Ctrl-C.

    Exit code: 0, or 3 where the cluster refused.
    """
    from bayplan.cli import client  # --help answers at once

    with client.connected(target) as cluster:
        if is_data(output):
            data(output, "top", looked(cluster, what, sort, node_selector))
            return
        from rich.console import Console  # 50 ms

        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 160 if output == "wide" else 120
        if once or not console.is_terminal:
            console.print(
                picture(looked(cluster, what, sort, node_selector), wide=output == "wide")
            )
            return
        from rich.live import Live

        with Live(console=console, screen=True, auto_refresh=False) as live:
            try:
                while True:
                    told = looked(cluster, what, sort, node_selector)
                    live.update(
                        picture(told, wide=output == "wide", lines=console.height - 6), refresh=True
                    )
                    time.sleep(seconds)
            except KeyboardInterrupt:
                return


def looked(server: "ApiClient", what: str, sort: str, node_selector: str) -> dict[str, Any]:
    """One look at the cluster, as data."""
    if what == "nodes":
        return {"what": what, **_nodes(server, sort, node_selector)}
    kind = {"jobs": "BatchJob", "services": "LongService"}[what]
    rows = [_workload(one) for one in server.listed(kind)]
    return {"what": what, what: sorted(rows, key=lambda row: (row["namespace"], row["name"]))}


def _nodes(server: "ApiClient", sort: str, node_selector: str) -> dict[str, Any]:
    from bayplan.manifests import inventory
    from bayplan.manifests.documents import Document
    from bayplan.model import resources
    from bayplan.provisioning.prices import MODELLED, with_price

    ours = _chosen(node_selector)
    documents = [
        Document("the cluster", body)
        for kind in ("Node", "Pod")
        for body in server.listed(kind, "")
    ]
    found = inventory.inventory(documents, {}, lenient=True)
    raw = {one.name: one.body for one in documents if one.kind == "Node"}
    on_node: dict[str, list[Any]] = {}
    for pod in found.running:
        on_node.setdefault(pod.node, []).append(pod)
    rows: list[dict[str, Any]] = []
    for node in found.nodes:
        if not ours(node):
            continue
        priced, source = with_price(node, MODELLED)
        pods = on_node.get(node.name, [])
        asked = sum((pod.request for pod in pods), start=resources.NOTHING)
        rows.append(
            {
                "name": node.name,
                "instanceType": node.labels.get("node.kubernetes.io/instance-type", ""),
                "zone": node.labels.get("topology.kubernetes.io/zone", ""),
                "capacity": _capacity(node.labels),
                "state": _state(node, raw[node.name]),
                "pods": len(pods),
                "costMicrodollarsPerHour": priced.price_microdollars,
                "priceSource": source,
                "allocatable": dict(node.allocatable),
                "requested": dict(asked),
                "fillPercent": _fill(asked, node.allocatable),
            }
        )
    rows.sort(key=lambda row: _order(row, sort))
    cost = sum(row["costMicrodollarsPerHour"] or 0 for row in rows)
    total: dict[str, int] = {}
    asked_total: dict[str, int] = {}
    for row in rows:
        for name, amount in row["allocatable"].items():
            total[name] = total.get(name, 0) + amount
        for name, amount in row["requested"].items():
            asked_total[name] = asked_total.get(name, 0) + amount
    return {
        "costMicrodollarsPerHour": cost,
        "costDollarsPerMonth": round(cost * _HOURS_A_MONTH / _MICRO, 2),
        "fillPercent": _fill(asked_total, total),
        "pods": {
            "running": sum(row["pods"] for row in rows),
            "waiting": sum(demand.count for demand in found.demands),
        },
        "nodes": rows,
    }


def _chosen(node_selector: str) -> Any:
    from bayplan import settings  # pydantic

    try:
        term = settings.node_term(node_selector)
    except ValueError as error:
        raise InputError("--node-selector", str(error)) from error
    return lambda node: term.matches(node.labels, node.name)


def _order(row: Mapping[str, Any], sort: str) -> tuple[float, str]:
    """Dearest, fullest or most wasteful first."""
    fill, price = row["fillPercent"], row["costMicrodollarsPerHour"] or 0
    by = {
        "name": 0.0,
        "price": -float(price),
        "cpu": -float(fill.get("cpu", 0.0)),
        "memory": -float(fill.get("memory", 0.0)),
        "waste": -price * (100.0 - max(fill.get("cpu", 0.0), fill.get("memory", 0.0))),
    }
    return by[sort], row["name"]


def _capacity(labels: Mapping[str, str]) -> str:
    for label in ("karpenter.sh/capacity-type", "eks.amazonaws.com/capacityType"):
        if label in labels:
            return labels[label].lower().replace("_", "-")
    return ""


def _state(node: Any, body: Mapping[str, Any]) -> str:
    if (body.get("metadata") or {}).get("deletionTimestamp"):
        return "Deleting"
    if not node.ready:
        return "NotReady"
    if node.unschedulable:
        return "Cordoned"
    return "Leaving" if node.leaving else "Ready"


def _fill(asked: Mapping[str, int], room: Mapping[str, int]) -> dict[str, float]:
    return {
        name: round(100 * asked.get(name, 0) / room[name], 1)
        for name in ("cpu", "memory", "pods")
        if room.get(name)
    }


def _workload(body: Mapping[str, Any]) -> dict[str, Any]:
    about, status = body["metadata"], body.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    waiting = status.get("placement") or {}
    common = {
        "namespace": about["namespace"],
        "name": about["name"],
        "status": (conditions.get("Ready") or {}).get("reason", ""),
        "waiting": waiting.get("pendingTasks", 0),
        "message": waiting.get("message", ""),
    }
    if body["kind"] == "BatchJob":
        statistics = status.get("statistics") or {}
        return {
            **common,
            "next": status.get("nextSlotTime", ""),
            "result": (conditions.get("LastRunSucceeded") or {}).get("reason", ""),
            "running": status.get("running", 0),
            "runSecondsP50": statistics.get("runSecondsP50"),
            "waitSecondsP50": statistics.get("waitSecondsP50"),
            "failures": statistics.get("failures", 0),
        }
    return {
        **common,
        "wanted": wanted(body),
        "ready": status.get("readyReplicas", 0),
        "updated": status.get("updatedReplicas", 0),
        "drifted": status.get("driftedReplicas"),  # none: it has no constraints
    }


def picture(told: Mapping[str, Any], *, wide: bool, lines: int | None = None) -> "RenderableType":
    """A look for people; `lines` is how many rows have room."""
    from rich.console import Group
    from rich.text import Text

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
    shown.add_column("Node", overflow="ellipsis", min_width=10)  # the one that gives way
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
    if any(row.get("drifted") for row in rows):  # few have any: no column of noughts
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
