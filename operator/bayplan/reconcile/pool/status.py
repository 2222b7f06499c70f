"""The status of a Pool: numbers, conditions, and what the memory of refusals needs after a restart.

The conditions name the thing and the remedy. `Ready`: the Pool does what its mode says.
`NodePoolQuiet`: nobody but Bayplan decides about its nodes. `Buying`: it orders nodes when pods
need them. `Consolidating`: it moves pods so that nodes can go (mode BuyAndConsolidate alone).
`LimitReached`, `Degraded` and `GroupsUnfit` are True when something is wrong; the last stands in
place of `NodePoolQuiet` for a Pool with Auto Scaling groups.
"""

from typing import Any

from bayplan.api.pool_status import MOST_NEXT, MOST_SOURCES
from bayplan.api.times import rfc3339
from bayplan.reconcile import conditions
from bayplan.reconcile.conditions import Condition, false, true, unknown
from bayplan.reconcile.pool import consolidation, hindrances
from bayplan.reconcile.pool.facts import Costs, Facts
from bayplan.reconcile.pool.money import dollars
from bayplan.reconcile.pool.quiet import Problem

QUIET, GROUPS_UNFIT = "NodePoolQuiet", "GroupsUnfit"
BUYING, LIMIT_REACHED, DEGRADED = "Buying", "LimitReached", "Degraded"
HOURS_A_MONTH = 730
_SAID = 5  # types in a sentence


def status(facts: Facts, now: int) -> dict[str, Any]:
    """The whole wanted status at `now` (epoch seconds)."""
    pool, counts = facts.pool, facts.counts
    hindered = hindrances.hindrance(facts)
    consolidating = consolidation.condition(facts, hindered)
    wanted = (
        _ready(facts, hindered),
        _unfit(facts) if facts.pool.groups_tag else _quiet(facts),
        _buying(facts, hindered),
        *([consolidating] if consolidating is not None else []),
        _limited(facts),
        _degraded(facts, now),
    )
    return {
        "observedGeneration": pool.generation,
        "nodes": counts.nodes,
        "claims": {
            "requested": counts.requested,
            "launched": counts.launched,
            "registered": counts.registered,
            "usable": counts.usable,
            "retiring": counts.retiring,
            "refused": facts.refused,
        },
        "waitingPods": facts.waiting,
        **_launches(facts),
        **_money(facts.costs),
        **consolidation.fields(facts),
        "unavailable": facts.unavailable.to_status(now),
        "next": [conditions.cut(line) for line in facts.next[:MOST_NEXT]],
        "sources": [conditions.cut(line) for line in facts.offers.sources[:MOST_SOURCES]],
        "conditions": conditions.merged(
            pool.status.get("conditions"), wanted, pool.generation, now
        ),
    }


def _launches(facts: Facts) -> dict[str, Any]:
    if not facts.pool.groups_tag:
        return {}
    return {
        "launches": [one.to_status() for one in facts.launches],
        "launchSerial": facts.launch_serial,
    }


def _money(costs: Costs) -> dict[str, str]:
    """The amounts that are known. A plan that costs more than the nodes saves nothing."""
    found = {}
    for key, amount in (
        ("dollarsPerHour", costs.now),
        ("boundDollarsPerHour", costs.bound),
        ("plannedDollarsPerHour", costs.planned),
    ):
        if amount is not None:
            found[key] = dollars(amount)
    if costs.now is not None and costs.bound:
        tenths = ((costs.now - costs.bound) * 1000 + costs.bound // 2) // costs.bound
        sign = "-" if tenths < 0 else ""
        found["gapPercent"] = f"{sign}{abs(tenths) // 10}.{abs(tenths) % 10}"
    if costs.now is not None and costs.planned is not None:
        saving = max(costs.now - costs.planned, 0) * HOURS_A_MONTH
        found["savingDollarsPerMonth"] = dollars(saving)
    return found


def _ready(facts: Facts, hindered: Problem | None) -> Condition:
    if hindered is not None:
        word = "NodePoolNotQuiet" if hindered == hindrances.unquiet(facts) else hindered.reason
        return false(conditions.READY, word, hindered.message)
    spec = facts.pool.spec
    if spec is not None and spec.default and facts.default != facts.pool.name:
        return false(
            conditions.READY,
            "Conflict",
            f"Pool {facts.default} is the default already, and there can be only one: nobody "
            f"tolerates the taint of Pool {facts.pool.name} without naming it. Set spec.default to "
            "false in one of them.",
        )
    if facts.consolidates:
        return true(
            conditions.READY,
            "BuysAndConsolidates",
            "Nodes are bought when pods need them, and go when others have room for their pods.",
        )
    if facts.buys:
        return true(conditions.READY, "Buys", "Nodes are bought when pods need them.")
    return true(
        conditions.READY, "Advises", "The status says what would be bought; nothing is written."
    )


def _quiet(facts: Facts) -> Condition:
    if facts.hands.node_pool is None:
        why = "The Pool names no NodePool." if not facts.referred else "The NodePool is not known."
        return unknown(QUIET, "NodePoolUnknown", why)
    found = hindrances.unquiet(facts)
    if found is not None:
        return false(QUIET, found.reason, found.message)
    return true(
        QUIET, "LeftAlone", f"Karpenter leaves the nodes of NodePool {facts.referred} alone."
    )


def _unfit(facts: Facts) -> Condition:
    if facts.hands.groups is None:
        return unknown(GROUPS_UNFIT, "GroupsUnknown", "The Auto Scaling groups are not known.")
    found = hindrances.unfit_groups(facts)
    if found is not None:
        return true(GROUPS_UNFIT, found.reason, f"Nothing is bought in these. {found.message}")
    return false(GROUPS_UNFIT, "AllFit")


def _buying(facts: Facts, hindered: Problem | None) -> Condition:
    if hindered is not None:
        return false(BUYING, hindered.reason, f"Nothing is bought. {hindered.message}")
    if not facts.buys:
        told = (
            "Nothing is bought with mode Advise; set spec.mode to Buy or BuyAndConsolidate to "
            "change that."
        )
        return false(BUYING, "Advise", told)
    flying = facts.counts.requested + facts.counts.launched + facts.counts.registered
    if flying or facts.waiting:
        told = f"Pods that wait for a node: {facts.waiting}; nodes on the way: {flying}."
        return true(BUYING, "NodesOnTheWay", told)
    return true(BUYING, "Idle", "No pod waits for a node of this Pool.")


def _limited(facts: Facts) -> Condition:
    exceeded = facts.room.exceeded
    if exceeded:
        told = "; ".join(map(str, exceeded))
        return true(
            LIMIT_REACHED,
            "LimitExceeded",
            f"More exists than a limit allows: {told}. No node is given back because of that, and "
            "none is bought. Raise the limit, or empty nodes.",
        )
    if facts.held_back:
        told = "; ".join(map(str, facts.held_back))
        waiting = f" Pods that wait: {facts.waiting}." if facts.waiting else ""
        return true(
            LIMIT_REACHED,
            "LimitReached",
            f"The next node would exceed {told}.{waiting} Raise the limit, or free room.",
        )
    if not facts.room.limits:
        return false(LIMIT_REACHED, "NoLimits", "Neither the Pool nor its NodePool has limits.")
    return false(LIMIT_REACHED, "WithinLimits", "Another node is within all limits.")


def _degraded(facts: Facts, now: int) -> Condition:
    troubles = [one for one in _troubles(facts, now) if one is not None]
    if not troubles:
        return false(DEGRADED, "AsExpected")
    told = " ".join(one.message for one in troubles)
    return true(DEGRADED, troubles[0].reason, told)


def _troubles(facts: Facts, now: int) -> tuple[Problem | None, ...]:
    return (
        _refused_write(facts),
        _undescribed(facts),
        _unknown_prices(facts),
        _sold_out(facts, now),
        _unpriced(facts),
    )


def _refused_write(facts: Facts) -> Problem | None:
    if not facts.refused_write:
        return None
    words = facts.refused_write[:500].strip().rstrip(".")
    if facts.pool.groups_tag:
        return Problem(
            "WritesRefused",
            f"A write for this Pool is refused: {words}. Mend that; it is tried again by itself, "
            "at the latest after 5 minutes.",
        )
    return Problem(
        "WritesRefused",
        f"The API server refuses a write for this Pool: {words}. Mend that; it is tried again by "
        "itself, at the latest after 5 minutes.",
    )


def _undescribed(facts: Facts) -> Problem | None:
    """Groups that were described once, and are not now."""
    hands = facts.hands
    if hands.groups is None or not hands.groups_problem:
        return None
    return Problem(
        "GroupsUnknown",
        f"Calls to AWS fail ({hands.groups_problem[:300].rstrip('.')}). What was described last is "
        "used. Mend that; it is tried again by itself.",
    )


def _unknown_prices(facts: Facts) -> Problem | None:
    offers = facts.offers
    if not offers.problem:
        return None
    used = (
        "The last ones known are used"
        if offers.remembered
        else "The prices file and estimates are used"
    )
    return Problem(
        "PricesUnknown",
        f"Karpenter's prices and availability cannot be read ({offers.problem[:300].rstrip('.')}). "
        f"{used}. Make the metrics of Karpenter reachable, or set --karpenter-metrics.",
    )


def _sold_out(facts: Facts, now: int) -> Problem | None:
    closed = facts.unavailable.closed(now)
    opens = facts.unavailable.opens_at(now)
    if opens is None or not facts.offers.allowed or len(closed) < facts.offers.allowed:
        return None
    return Problem(
        "NothingToBuy",
        f"All {facts.offers.allowed} offerings that the NodePool allows were refused lately; the "
        f"next is asked for again at {rfc3339(opens)}. Allow more types, zones or capacity types.",
    )


def _unpriced(facts: Facts) -> Problem | None:
    unpriced = facts.offers.unpriced
    if not unpriced:
        return None
    named = ", ".join(unpriced[:_SAID])
    more = f" and {len(unpriced) - _SAID} more" if len(unpriced) > _SAID else ""
    return Problem(
        "PriceMissing",
        f"No price is known of {named}{more}: they are not bought. Give their prices in the file "
        "of --prices-file, or leave them out of the NodePool.",
    )
