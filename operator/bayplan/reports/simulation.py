"""Prints a simulation's result as a table, or as data with a stable shape.

Costs are in dollars and amounts in the units of Kubernetes; beside them the data has integers with
the unit in the name. A month has 730 hours.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from bayplan.model import resources, wording
from bayplan.provisioning.leftovers import fullest, positive
from bayplan.provisioning.prices import HOURS_A_MONTH
from bayplan.provisioning.result import Filled, Result

SCHEMA = "bayplan.dev/simulation/v1"
_MICRO = 1_000_000
_MOST_SKIPPED = 20
_WIDE = 160  # columns without a terminal


def data(result: Result) -> dict[str, Any]:
    """The result as data, for programs."""
    bound = result.bound or None
    return {
        "schema": SCHEMA,
        "placed": result.pods,
        "unplaced": sum(one.count for one in result.missing),
        "nodes": len(result.nodes),
        "newNodes": sum(one.new for one in result.nodes),
        "costMicrodollarsPerHour": result.cost,
        "costDollarsPerMonth": round(result.cost * HOURS_A_MONTH / _MICRO, 2),
        "bought": {
            "costMicrodollarsPerHour": result.bought,
            "boundMicrodollarsPerHour": bound,
            "gapPercent": round(100 * result.gap, 3) if bound else None,
        },
        "types": [_type(kind, nodes) for kind, nodes in by_type(result).items()],
        "fillPercent": fill(result.nodes),
        "stranded": dict(stranded(result.nodes)),
        "unplacedWorkloads": [
            {
                "workload": one.title,
                "pods": one.count,
                "message": one.message,
                "wouldFitIf": list(one.hints),
            }
            for one in result.missing
        ],
        "comparison": [
            {
                "name": one.name,
                "what": one.what,
                "nodes": one.nodes,
                "costMicrodollarsPerHour": one.cost,
                "unplaced": one.unplaced,
            }
            for one in result.rivals
        ],
        "nodeList": [_node(one) for one in result.nodes],
        "notes": list(result.notes),
        "skipped": [{"where": one.where, "why": one.why} for one in result.skipped],
    }


def by_type(result: Result) -> dict[str, list[Filled]]:
    """Nodes by instance type; the type with the highest total price comes first."""
    groups: dict[str, list[Filled]] = {}
    for one in sorted(result.nodes, key=lambda one: one.kind):
        groups.setdefault(one.kind, []).append(one)
    return dict(sorted(groups.items(), key=lambda pair: -_price(pair[1])))


def fill(nodes: Iterable[Filled]) -> dict[str, float]:
    """Requests as a percentage of allocatable, for each requested resource."""
    total = requested = resources.NOTHING
    for one in nodes:
        total, requested = total + one.node.allocatable, requested + one.requested
    return {
        name: round(100 * amount / total.amount(name), 1)
        for name, amount in requested.items()
        if total.amount(name)
    }


def stranded(nodes: Iterable[Filled]) -> resources.Vector:
    """Free room on nodes where no pod like those that run would fit any more."""
    return sum((_unusable(one) for one in nodes), start=resources.NOTHING)


def full_by(nodes: Iterable[Filled]) -> Mapping[str, int]:
    """Nodes that take no more pods, counted by their fullest resource: resource -> nodes."""
    closed = [one for one in nodes if one.closed and one.requested]
    return Counter(fullest(one.requested, one.node.allocatable) for one in closed)


def headline(result: Result) -> str:
    """A line such as `40 pods on 3 nodes, $1.25 an hour`."""
    pods, nodes = number(result.pods, "pod"), number(len(result.nodes), "node")
    return f"{pods} on {nodes}, {dollars(result.cost)} an hour"


def dollars(micro: int, digits: int = 2) -> str:
    return f"${micro / _MICRO:,.{digits}f}"


def table(result: Result, *, wide: bool, width: int | None = None) -> str:
    """The result as a table; `wide` adds a line for every node."""
    # Imported here: rich takes 100 ms to load, and only tables need it.
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(width=width, highlight=False)
    if width is None and not console.is_terminal:
        console.width = _WIDE
    shown = Table("Type", box=box.SIMPLE_HEAD)
    for title in ("Nodes", "$/h", "$/month", "CPU", "Memory", "Pods"):
        shown.add_column(title, justify="right")
    for kind, nodes in by_type(result).items():
        shown.add_row(kind, str(len(nodes)), *_money(_price(nodes)), *_fills(nodes))
    if result.nodes:
        shown.add_section()
        shown.add_row(
            "all", str(len(result.nodes)), *_money(result.cost), *_fills(result.nodes), ""
        )
    with console.capture() as text:
        console.print(shown)
        if wide:
            console.print(_wide(result))
        for line in _lines(result):
            console.print(line, markup=False, soft_wrap=True)
    return text.get()


def _wide(result: Result) -> Any:
    from rich import box
    from rich.table import Table

    shown = Table("Node", "Zone", "New", "CPU", "Memory", "Pods", "Holds", box=box.SIMPLE_HEAD)
    for one in result.nodes:
        zone = one.node.labels.get("topology.kubernetes.io/zone", "")
        holds = ", ".join(f"{pods} × {title}" for title, pods, _ in one.held)
        shown.add_row(one.node.name, zone, "yes" if one.new else "", *_fills([one]), holds)
    return shown


def _lines(result: Result) -> Iterable[str]:
    yield headline(result)
    if result.nodes:
        yield f"prices: {_sources(result.nodes)}"
    if result.bound:
        yield (
            f"bought for {dollars(result.bought, 4)} an hour; no plan costs less than "
            f"{dollars(result.bound, 4)} (gap {100 * result.gap:.2f} %)"
        )
    lost = stranded(result.nodes)
    if lost:
        full = ", ".join(f"{name} on {nodes}" for name, nodes in full_by(result.nodes).items())
        shown = resources.Vector({name: lost.amount(name) for name in ("cpu", "memory")})
        yield f"stranded, because nothing fits any more: {wording.lacking(shown)} (full: {full})"
    for one in result.missing:
        yield f"no room for {one.count} of {one.title}: {one.message}"
        for hint in one.hints:
            yield f"  would fit {hint}"
    for note in result.notes:
        yield f"note: {note}"
    for skipped in result.skipped[:_MOST_SKIPPED]:
        yield f"skipped {skipped.where}: {skipped.why}"
    if len(result.skipped) > _MOST_SKIPPED:
        yield f"skipped {len(result.skipped) - _MOST_SKIPPED} more (-o json lists all)"
    for rival in result.rivals:
        more = (
            f"{100 * (rival.cost - result.bought) / result.bought:+.1f} %"
            if result.bought and not rival.unplaced
            else f"{rival.unplaced} not placed"
        )
        yield (
            f"{rival.name} (re-implemented here; {rival.what}): "
            f"{number(rival.nodes, 'node')}, {dollars(rival.cost, 4)} an hour ({more})"
        )


def number(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _type(kind: str, nodes: list[Filled]) -> dict[str, Any]:
    return {
        "type": kind,
        "nodes": len(nodes),
        "costMicrodollarsPerHour": _price(nodes),
        "fillPercent": fill(nodes),
        "priceSource": _sources(nodes),
    }


def _node(one: Filled) -> dict[str, Any]:
    return {
        "name": one.node.name,
        "type": one.kind,
        "zone": one.node.labels.get("topology.kubernetes.io/zone", ""),
        "new": one.new,
        "costMicrodollarsPerHour": one.node.price_microdollars,
        "allocatable": dict(one.node.allocatable),
        "requested": dict(one.requested),
        "holds": [
            {"workload": title, "pods": pods, "requested": dict(requested)}
            for title, pods, requested in one.held
        ],
    }


def _unusable(one: Filled) -> resources.Vector:
    return positive(one.free) if one.closed else resources.NOTHING


def _price(nodes: Iterable[Filled]) -> int:
    return sum(one.node.price_microdollars or 0 for one in nodes)


def _money(micro: int) -> tuple[str, str]:
    return dollars(micro, 4), dollars(micro * HOURS_A_MONTH)


def _fills(nodes: Iterable[Filled]) -> tuple[str, ...]:
    shares = fill(nodes)
    return tuple(f"{shares.get(name, 0.0):.1f} %" for name in ("cpu", "memory", "pods"))


def _sources(nodes: Iterable[Filled]) -> str:
    return ", ".join(sorted({one.source for one in nodes}))
