"""What `bayplan top` prints once, or in a pipe."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from bayplan.cli.packing import pool_table
from bayplan.cli.screen import cost_columns, node_columns, pod_columns, tables, workload_columns
from bayplan.cli.screen.columns import bar, colour
from bayplan.model import wording

_MICRO = 1_000_000
_BAR = 30


def picture(console: Console, told: Mapping[str, Any], *, wide: bool) -> RenderableType:
    """What one look found, for this console."""
    what = told["what"]
    if what == "pools":
        return pool_table.picture(told["pools"], wide=wide)
    rows = told[what]
    if what == "jobs":
        return tables.table(console, workload_columns.JOBS, rows)
    if what == "pods":
        columns = [one for one in pod_columns.columns(node=True) if wide or not one.wide]
        return tables.table(console, columns, rows)
    if what == "services":
        drifted = any(row["drifted"] for row in rows)
        return tables.table(console, workload_columns.services(drifted=drifted), rows)
    if what in {"workloads", "namespaces"}:
        whose = cost_columns.WORKLOADS if what == "workloads" else cost_columns.NAMESPACES
        told_of = [column for column in whose if wide or not column.wide]
        return Group(Text(shares(told)), tables.table(console, told_of, rows))
    of_nodes = [column for column in node_columns.COLUMNS if wide or not column.wide]
    shown = tables.table(console, of_nodes, rows)
    lost = [Text(stranded(told["stranded"]))] if told["stranded"]["nodes"] else []
    return Group(Text(headline(told)), *gauges(told["fillPercent"]), *lost, shown)


def headline(told: Mapping[str, Any]) -> str:
    """What all nodes cost, and how many pods run and wait."""
    cost = told["costMicrodollarsPerHour"]
    return (
        f"{_nodes(len(told['nodes']))}   ${cost / _MICRO:,.3f} an hour   "
        f"${told['costDollarsPerMonth']:,.2f} a month   "
        f"pods {told['pods']['running']} running, {told['pods']['waiting']} waiting"
    )


def stranded(lost: Mapping[str, Any]) -> str:
    """What is stranded on nodes, why, and what it costs."""
    amounts = {name: lost["resources"].get(name, 0) for name in ("cpu", "memory")}
    free = wording.lacking({name: amount for name, amount in amounts.items() if amount})
    full = ", ".join(f"{name} on {count}" for name, count in lost["fullOf"].items())
    return (
        f"stranded {free or 'nothing but pod slots'} on {_nodes(lost['nodes'])}, "
        f"${lost['costMicrodollarsPerHour'] / _MICRO:,.3f} an hour: "
        f"no pod like those that run fits there (full: {full})"
    )


def shares(told: Mapping[str, Any]) -> str:
    """What all nodes cost, and how much of it is charged to nobody."""
    cost = told["costMicrodollarsPerHour"]
    return (
        f"${cost / _MICRO:,.3f} an hour   ${told['costDollarsPerMonth']:,.2f} a month   of it "
        f"${told['strandedMicrodollarsPerHour'] / _MICRO:,.3f} stranded, "
        f"${told['freeMicrodollarsPerHour'] / _MICRO:,.3f} free"
    )


def gauges(percents: Mapping[str, float]) -> list[Text]:
    """A line with a bar for each resource whose fill is known."""
    return [_gauge(name, percents[name]) for name in ("cpu", "memory", "pods") if name in percents]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"


def _gauge(name: str, percent: float) -> Text:
    full, empty = bar(percent, _BAR)
    return Text.assemble(
        f"{name:<7}", (full, colour(percent)), (empty, "dim"), f" {percent:5.1f} %"
    )
