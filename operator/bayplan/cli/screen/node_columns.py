"""The columns of nodes: how full each is, and what it costs."""

from collections.abc import Callable

from bayplan.cli.screen.columns import Column, Row, colour
from bayplan.model import wording

_MICRO = 1_000_000
_STATES = {"Ready": "green", "NotReady": "red", "Cordoned": "yellow", "Deleting": "yellow"}


def _filled(title: str, resource: str) -> Column:
    def percent(row: Row) -> float:
        return float(row["fillPercent"].get(resource, 0.0))

    return Column(
        title,
        lambda row: f"{percent(row):3.0f} %",
        percent=percent,
        style=lambda row: colour(percent(row)),
    )


def _said(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key])


def _price(row: Row) -> str:
    price = row["costMicrodollarsPerHour"]
    return f"{price / _MICRO:.4f}" if price is not None else "?"


def _stranded(row: Row) -> str:
    """What is free and fits no pod like those that run."""
    lost = row["stranded"] or {}
    shown = {name: lost[name] for name in ("cpu", "memory") if lost.get(name)}
    return wording.lacking(shown) if shown else ""


COLUMNS = (
    Column("Node", _said("name"), names=True),
    _filled("CPU", "cpu"),
    _filled("Memory", "memory"),
    Column("Pods", lambda row: f"{row['pods']}/{row['allocatable'].get('pods', 0)}", right=True),
    Column("Type", _said("instanceType")),
    Column("$/h", _price, right=True),
    Column("State", _said("state"), style=lambda row: _STATES.get(row["state"], "")),
    Column("Stranded", _stranded, wide=True),
    Column("Zone", _said("zone"), wide=True),
    Column("Bought", _said("capacity"), wide=True),
    Column("Price of", _said("priceSource"), wide=True),
)
