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
        "kept": [{"node": node, "workload": title} for node, title in found.kept.items()],
        "unpricedNodes": list(found.unpriced),
        "waiting": found.waiting,
        "missing": [
            {"workload": one.title, "pods": one.count, "message": one.message}
            for one in found.missing
        ],
        "notes": list(found.notes),
    }


def headline(found: Advice) -> Iterator[str]:
    """What the nodes cost now, and what a plan would cost."""
    whose = "all nodes of the cluster" if found.everything else f"NodePool {found.pool}"
    over = f", {found.gap_percent:.1f} % over the least possible" if found.bound else ""
    yield f"{whose}: {found.nodes} nodes, {_money(found.cost)}{over}"
    if not found.bound:
        yield "nothing there could run on other nodes of this pool"
        return
    yield f"no plan costs less than {_money(found.bound)}"
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
    for one in found.missing:
        yield f"no room for {one.count} of {one.title}: {one.message}"
    for node, title in list(found.kept.items())[:_MOST_NAMES]:
        yield f"{node} stays: the pool cannot make a node for {title}"
    if len(found.kept) > _MOST_NAMES:
        yield f"{len(found.kept) - _MOST_NAMES} more nodes stay (-o json lists all)"
    if found.unpriced:
        shown = ", ".join(found.unpriced[:_MOST_NAMES])
        more = len(found.unpriced) - _MOST_NAMES
        yield f"no price is known of {shown}{f' and {more} more' if more > 0 else ''}; use --prices"
    for note in found.notes:
        yield f"note: {note}"


def _deed(one: Change) -> str:
    if one.then > one.now:
        return f"buy {one.then - one.now}"
    return f"give back {one.now - one.then}" if one.then < one.now else "keep"


def _money(micro: int) -> str:
    return f"{dollars(micro)} an hour ({dollars(micro * HOURS_A_MONTH, 0)} a month)"
