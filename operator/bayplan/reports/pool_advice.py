"""What a pool costs and could cost, as data and as sentences. Month: 730 hours."""

from collections.abc import Iterator
from typing import Any

from bayplan.provisioning.advice import Advice, Change
from bayplan.provisioning.prices import HOURS_A_MONTH
from bayplan.reports.simulation import dollars

_MICRO = 1_000_000
_MOST_NAMES = 5


def data(found: Advice) -> dict[str, Any]:
    """The advice for programs; fields are added, never changed."""
    return {
        "pool": found.pool,
        "allNodes": found.everything,
        "nodes": found.nodes,
        "costMicrodollarsPerHour": found.cost,
        "boundMicrodollarsPerHour": found.bound or None,
        "gapPercent": round(found.gap_percent, 3) if found.bound else None,
        "planMicrodollarsPerHour": found.planned,
        "savingMicrodollarsPerHour": found.saving,
        "savingDollarsPerMonth": round(found.saving * HOURS_A_MONTH / _MICRO, 2),
        "changes": [
            {
                "type": one.kind,
                "capacityType": one.capacity_type,
                "nodesNow": one.now,
                "nodesThen": one.then,
                "costMicrodollarsPerHour": one.price,
            }
            for one in found.changes
        ],
        "movedPods": found.moved,
        "aside": [{"node": node, "why": why} for node, why in found.aside.items()],
        "kept": [{"node": node, "workload": title} for node, title in found.kept.items()],
        "unpricedNodes": list(found.unpriced),
        "waiting": found.waiting,
        "waitingForOthers": found.others,
        "priceSources": list(found.sources),
        "missing": [
            {"workload": one.title, "pods": one.count, "message": one.message}
            for one in found.missing
        ],
        "notes": list(found.notes),
    }


def headline(found: Advice) -> Iterator[str]:
    """The cost now, and the cost of a plan."""
    whose = "all nodes of the cluster" if found.everything else f"NodePool {found.pool}"
    alike = found.bound and not found.waiting  # both sides are about the same pods
    over = f", {found.gap_percent:.1f} % over the least possible" if alike else ""
    yield f"{whose}: {found.nodes} nodes, {_money(found.cost)}{over}"
    if found.nodes and not (found.moved or found.waiting):
        yield f"no pod runs on them: to give all back saves {_money(found.saving)}"
    elif found.bound:
        yield f"on nodes of this pool alone, no plan costs less than {_money(found.bound)}"
        if found.saving:
            yield f"a plan for {_money(found.planned)} saves {_money(found.saving)}"
        else:
            yield f"a plan costs {_money(found.planned)}: no saving is promised"


def rows(found: Advice) -> list[tuple[str, ...]]:
    """Type, capacity type, nodes now and in the plan, dollars an hour each, and what to do."""
    return [
        (
            one.kind,
            one.capacity_type,
            str(one.now),
            str(one.then),
            dollars(one.price, 4),
            _deed(one),
        )
        for one in found.changes
    ]


def remarks(found: Advice) -> Iterator[str]:
    """Which pods wait, which nodes stay, what is not known."""
    if found.waiting:
        yield f"{found.waiting} pods wait for room now"
    if found.others:
        yield f"{found.others} pods wait for something that this pool cannot give"
    for one in found.missing:
        yield f"no room for {one.count} of {one.title}: {one.message}"
    kept = found.kept.items()
    yield from _shortened(
        [f"{node} stays: the pool cannot make a node for {title}" for node, title in kept]
    )
    yield from _shortened([f"{node} is left aside: {why}" for node, why in found.aside.items()])
    if found.sources:
        yield f"prices: {', '.join(found.sources)}"
    if found.unpriced:
        shown = ", ".join(found.unpriced[:_MOST_NAMES])
        more = len(found.unpriced) - _MOST_NAMES
        yield f"no price is known of {shown}{f' and {more} more' if more > 0 else ''}; use --prices"
    for note in found.notes:
        yield f"note: {note}"


def _shortened(lines: list[str]) -> Iterator[str]:
    """The first lines, and how many nodes more there are."""
    yield from lines[:_MOST_NAMES]
    if len(lines) > _MOST_NAMES:
        yield f"and {len(lines) - _MOST_NAMES} more nodes (-o json lists all)"


def _deed(one: Change) -> str:
    if one.then > one.now:
        return f"buy {one.then - one.now}"
    return f"give back {one.now - one.then}" if one.then < one.now else "keep"


def _money(micro: int) -> str:
    return f"{dollars(micro)} an hour ({dollars(micro * HOURS_A_MONTH, 0)} a month)"
