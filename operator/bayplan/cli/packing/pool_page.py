"""`bayplan explain pool/NAME`: everything about one Pool. Read only."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bayplan.cli.packing import pool_objects, pool_table

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_MICRO = 1_000_000
_MOST_NODES = 8
_WORDS = {
    "requested": "ordered",
    "launched": "starting",
    "registered": "joining",
    "usable": "usable",
    "retiring": "going back",
}
_UNITS = {"dollarsPerHour": "$"}


def account(cluster: "ApiClient", word: str) -> dict[str, Any]:
    """What there is to know about the Pool that `word` names, as data."""
    from bayplan.reports import pools  # pydantic

    body = pool_objects.pool(cluster, word.rpartition("/")[2])
    return pools.account(
        body,
        pool_objects.node_pool(cluster, body),
        pool_objects.claims(cluster),
        pool_objects.site(cluster),
    )


def lines(told: Mapping[str, Any], *, wide: bool = False) -> Iterator[str]:
    """The account as lines of text; `wide` has every node."""
    yield _title(told)
    if not told["served"]:
        yield (
            "  The operator has written no status: it serves Pools only if it runs with "
            "pool.enabled (--pools). `bayplan doctor` says more."
        )
    yield from (f"  {one}" for one in told["trouble"])
    yield f"nodes: {told['nodes']}{_full(told['fillPercent'])}"
    if told["served"]:
        what = "instances of groups" if told["groupsTag"] else "NodeClaims"
        yield f"  {what}: {_claims(told['claims'])}"
    yield from _money(told)
    if told["waitingPods"]:
        yield f"waiting: {_counted(told['waitingPods'], 'pod')} for a node of this Pool"
    yield from _moves(told["consolidation"])
    yield from (f"next: {one}" for one in told["next"])
    for one in told["unavailable"]:
        times = _counted(int(one.get("refusals") or 0), "time")
        yield (
            f"unavailable until {one.get('until')}: {one.get('type')} in {one.get('zone')}, "
            f"{one.get('capacityType')} (refused {times})"
        )
    for one in told["limits"]:
        unit = _UNITS.get(one["what"], "")
        yield (
            f"limit of the {one['whose']}: {one['what']} {unit}{one['used']} of "
            f"{unit}{one['most']} in use"
        )
    if told["sources"]:
        yield f"prices: {', '.join(told['sources'])}"
    yield from _nodes(told["nodeList"], wide=wide)


def _title(told: Mapping[str, Any]) -> str:
    through = f" through NodePool {told['nodePool']}" if told["nodePool"] else ""
    if told["groupsTag"]:
        through = f" through the Auto Scaling groups with the tag {told['groupsTag']}"
    does = {
        "Buy": f"orders nodes and gives them back{through}",
        "BuyAndConsolidate": (
            f"orders nodes, gives them back, and moves pods so that fewer are needed{through}"
        ),
        "Advise": f"only tells what it would order and give back{through}",
    }.get(told["mode"], "its spec cannot be used")
    default = "; it is the default" if told["default"] else ""
    return f"Pool {told['name']}, mode {told['mode']}: {does}{default}"


def _full(percent: Mapping[str, float]) -> str:
    parts = [f"{name} {percent[name]:.0f} %" for name in ("cpu", "memory") if name in percent]
    return f", of which pods ask for {', '.join(parts)}" if parts else ""


def _claims(claims: Mapping[str, int]) -> str:
    states = ", ".join(f"{claims[state]} {word}" for state, word in _WORDS.items())
    return f"{states}; {claims['refused']} lately refused"


def _money(told: Mapping[str, Any]) -> Iterator[str]:
    now = told["dollarsPerHour"]
    if now is None:
        return
    gap = f", {told['gapPercent']} % over the bound" if told["gapPercent"] is not None else ""
    yield f"cost: ${now} an hour{gap}"
    if told["boundDollarsPerHour"] is not None:
        yield f"  bound: no nodes hold these pods for less than ${told['boundDollarsPerHour']}"
    if told["plannedDollarsPerHour"] is not None:
        yield (
            f"  the best plan found costs ${told['plannedDollarsPerHour']} an hour and would save "
            f"${told['savingDollarsPerMonth'] or '0.00'} a month"
        )


def _moves(told: Mapping[str, Any] | None) -> Iterator[str]:
    """What moves, and which nodes cannot go because of a pod."""
    if told is None:
        return
    yield f"moves: {pool_table.consolidation(told)}"
    for one in told["blocked"]:
        pod = f"pod {one.get('pod')}" if one.get("pod") else "it"
        yield (
            f"blocked: {one.get('node')} stays, since {pod} {one.get('reason')}; it costs "
            f"${one.get('dollarsPerHour')} an hour"
        )


def _nodes(rows: list[dict[str, Any]], *, wide: bool) -> Iterator[str]:
    shown = rows if wide else rows[:_MOST_NODES]
    for row in shown:
        place = ", ".join(
            filter(None, (row["instanceType"], row["zone"], row["capacityType"], _price(row)))
        )
        yield (
            f"on {row['name']} ({place or 'no labels'}): {row['state']}, "
            f"{_counted(row['pods'], 'pod')}{_percents(row['fillPercent'])}"
        )
    if len(rows) > len(shown):
        yield f"… and {len(rows) - len(shown)} more nodes; -o wide shows all"


def _percents(percent: Mapping[str, float]) -> str:
    return "".join(
        f", {name} {percent[name]:.0f} %" for name in ("cpu", "memory") if name in percent
    )


def _price(row: Mapping[str, Any]) -> str:
    cost = row["costMicrodollarsPerHour"]
    return f"${cost / _MICRO:.4f} an hour" if cost is not None else ""


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
