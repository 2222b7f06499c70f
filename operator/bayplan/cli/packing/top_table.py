"""What `bayplan top` prints once, or in a pipe."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from bayplan.cli.packing import pool_table
from bayplan.cli.screen import node_columns, tables, workload_columns
from bayplan.cli.screen.columns import bar, colour

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
    if what == "services":
        drifted = any(row["drifted"] for row in rows)
        return tables.table(console, workload_columns.services(drifted=drifted), rows)
    columns = [column for column in node_columns.COLUMNS if wide or not column.wide]
    shown = tables.table(console, columns, rows)
    fill = told["fillPercent"]
    gauges = [_gauge(name, fill[name]) for name in ("cpu", "memory", "pods") if name in fill]
    return Group(Text(headline(told)), *gauges, shown)


def headline(told: Mapping[str, Any]) -> str:
    """What all nodes cost, and how many pods run and wait."""
    cost = told["costMicrodollarsPerHour"]
    return (
        f"{len(told['nodes'])} nodes   ${cost / _MICRO:,.3f} an hour   "
        f"${told['costDollarsPerMonth']:,.2f} a month   "
        f"pods {told['pods']['running']} running, {told['pods']['waiting']} waiting"
    )


def _gauge(name: str, percent: float) -> Text:
    full, empty = bar(percent, _BAR)
    return Text.assemble(
        f"{name:<7}", (full, colour(percent)), (empty, "dim"), f" {percent:5.1f} %"
    )
