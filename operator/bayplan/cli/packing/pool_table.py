"""`bayplan top pools`: a row for each Pool, within 80 columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayplan.cli.packing import pool_objects
from bayplan.cli.printing import plain
from bayplan.cli.screen.columns import Column, Row

if TYPE_CHECKING:
    from rich.console import RenderableType

_COMING = ("requested", "launched", "registered")
_STATES = (*_COMING, "usable", "retiring", "refused")
_COLUMNS = ("Mode", "Nodes", "Claims", "CPU", "Mem", "$/h", "Bound", "Gap", "Wait")
_WORDS = frozenset({"Mode", "NodePool", "Claims"})  # columns of words; the others are numbers
_SHORT: Mapping[str, str] = {"BuyAndConsolidate": "Buy+"}


def picture(rows: Sequence[Mapping[str, Any]], *, wide: bool) -> "RenderableType":
    """The Pools, to print on a terminal."""
    from rich.console import Group
    from rich.text import Text

    from bayplan.cli.screen import tables

    if not rows:
        return Text(pool_objects.NONE)
    shown = tables.dense(columns(rows, wide=wide), rows)
    return Group(shown, *(Text(plain(line)) for line in remarks(rows)))


def columns(rows: Sequence[Mapping[str, Any]], *, wide: bool) -> tuple[Column, ...]:
    """The columns for these Pools."""
    moves = any(row["consolidation"] for row in rows)
    titles = _wide(moves=moves) if wide else _COLUMNS
    return (
        Column("Pool", lambda row: str(row["name"]), names=True),
        *(Column(one, _cell(one, short=not wide), right=one not in _WORDS) for one in titles),
    )


def _cell(title: str, *, short: bool) -> Callable[[Row], str]:
    if title == "Mode" and short:
        return lambda row: _SHORT.get(row["mode"], str(row["mode"]))
    if title.lower() in _STATES:
        return lambda row: str(row["claims"][title.lower()])
    return lambda row: _cells(row)[title]


def _wide(*, moves: bool) -> tuple[str, ...]:
    """All columns that have room on a wide page; `moves` if a Pool of the page consolidates."""
    states = (
        ("Claims", "Closing", "Draining", "Moves/h", "Blocked")
        if moves
        else [state.capitalize() for state in _STATES]
    )
    money = ("$/h", "Bound", "Plan", "Gap", "Saves/month")
    return ("NodePool", "Mode", "Ready", "Nodes", *states, "CPU", "Mem", *money, "Wait")


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    fill, claims, moves = row["fillPercent"], row["claims"], row["consolidation"]
    signed = (
        ("+", sum(claims[state] for state in _COMING)),
        ("-", claims["retiring"]),
        ("!", claims["refused"]),
        ("~", moves["closing"] + moves["draining"] if moves else 0),
    )
    return {
        "NodePool": row["nodePool"],
        "Mode": row["mode"],
        "Ready": row["ready"]["status"] or "?",
        "Nodes": str(row["nodes"]),
        "Claims": " ".join(f"{sign}{count}" for sign, count in signed if count),
        "Closing": str(moves["closing"]) if moves else "-",
        "Draining": str(moves["draining"]) if moves else "-",
        "Moves/h": str(moves["movesLastHour"]) if moves else "-",
        "Blocked": str(len(moves["blocked"])) if moves else "-",
        "CPU": _percent(fill.get("cpu")),
        "Mem": _percent(fill.get("memory")),
        "$/h": _known(row["dollarsPerHour"]),
        "Bound": _known(row["boundDollarsPerHour"]),
        "Plan": _known(row["plannedDollarsPerHour"]),
        "Gap": f"{row['gapPercent']}%" if row["gapPercent"] is not None else "?",
        "Saves/month": _known(row["savingDollarsPerMonth"]),
        "Wait": _known(row["waitingPods"]),
    }


def remarks(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What hinders a Pool, and what each does next."""
    for row in rows:
        ready = row["ready"]
        if not ready["status"]:
            yield (
                f"{row['name']}: the operator has written no status; does it serve Pools "
                "(pool.enabled)? `bayplan doctor` says more."
            )
        elif ready["status"] != "True":
            yield f"{row['name']}: not ready ({ready['reason']}): {ready['message']}"
        if row["consolidation"]:
            yield f"{row['name']}: {consolidation(row['consolidation'])}"
        yield from (f"{row['name']}: {line}" for line in row["next"])


def consolidation(told: Mapping[str, Any]) -> str:
    """What moves in a Pool, in a line."""
    return (
        f"{told['movesLastHour']} pods moved in the last hour, {told['movesLastDay']} in 24 hours; "
        f"nodes that close: {told['closing']}, that are being emptied: {told['draining']}, which "
        f"saves ${told['promisedDollarsPerHour'] or '0.00'} an hour; "
        f"${told['savedDollarsPerHour'] or '0.00'} an hour saved in 24 hours"
    )


def _percent(value: float | None) -> str:
    return f"{value:.0f}%" if value is not None else "-"


def _known(value: object) -> str:
    return str(value) if value is not None else "?"
