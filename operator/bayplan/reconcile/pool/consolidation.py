"""What the status of a Pool says of consolidation: numbers, the condition, and sentences."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayplan.api.pool_status import MOST_BLOCKED
from bayplan.model.untyped import mapping
from bayplan.reconcile import conditions
from bayplan.reconcile.conditions import Condition, false, true, unknown
from bayplan.reconcile.pool.facts import BlockedNode, Consolidating, Facts, LeavingNode
from bayplan.reconcile.pool.money import dollars
from bayplan.reconcile.pool.quiet import Problem

CONSOLIDATING = "Consolidating"
_MICRO = 1_000_000
_SAID = 2  # nodes of each sort in `next`
_MINUTE, _SOON, _HOUR = 60, 600, 3600
_LONGEST_NAME = 253


def fields(facts: Facts) -> dict[str, Any]:
    """The part of the status that only a Pool that consolidates has."""
    told = facts.consolidating
    if told is None or not facts.consolidates:
        return {}
    return {
        "moves": {
            "lastHour": told.moves_last_hour,
            "lastDay": told.moves_last_day,
            "byCause": {str(cause): count for cause, count in told.moves_by_cause.items()},
        },
        "closing": len(told.closing),
        "draining": len(told.draining),
        "blocked": [
            {
                "node": one.node[:_LONGEST_NAME],
                "pod": conditions.cut(one.pod),
                "reason": conditions.cut(one.reason),
                "dollarsPerHour": dollars(one.price),
            }
            for one in _dearest(told.blocked)[:MOST_BLOCKED]
        ],
        "promisedDollarsPerHour": dollars(told.promised),
        "savedDollarsPerHour": dollars(told.saved),
    }


def moved_lately(status: Mapping[str, Any]) -> int:
    """How many pods had moved within an hour as the status says; 0 where it makes no sense."""
    found = mapping(status.get("moves")).get("lastHour")
    return max(found, 0) if isinstance(found, int) and not isinstance(found, bool) else 0


def condition(facts: Facts, hindered: Problem | None) -> Condition | None:
    """Whether pods move when that saves enough; None with a mode that moves none."""
    told = facts.consolidating
    if not facts.consolidates:
        return None
    if hindered is not None:
        return false(CONSOLIDATING, hindered.reason, f"No pod is moved. {hindered.message}")
    if told is not None and told.frozen is not None:
        return false(CONSOLIDATING, told.frozen.reason, f"No move begins. {told.frozen.message}")
    if told is None or not told.planned:
        return unknown(CONSOLIDATING, "Planning", "The first plan is being made.")
    if told.closing or told.draining:
        return true(
            CONSOLIDATING,
            "NodesLeave",
            f"Nodes that close: {len(told.closing)}; nodes whose pods are being moved: "
            f"{len(told.draining)}; pods moved in the last hour: {told.moves_last_hour}.",
        )
    kept = f" Nodes that cannot go: {len(told.blocked)} (status.blocked)." if told.blocked else ""
    return true(CONSOLIDATING, "Settled", f"No plan saves enough to be worth its moves.{kept}")


def sentences(told: Consolidating) -> Iterator[str]:
    """What happens to nodes, the most important first; of each sort the first few."""
    yield from _first(told.draining, is_emptied, "nodes that are being emptied")
    yield from _first(told.closing, closes, "nodes that close")
    yield from _first(_dearest(told.blocked), blocked, "nodes that cannot be given back")


def blocked(one: BlockedNode) -> str:
    """Why a node stays and what that costs, in a sentence."""
    why = f"pod {one.pod} {one.reason}" if one.pod else f"it {one.reason}"
    return f"Node {one.node} stays: {why}; it costs ${dollars(one.price)} an hour."


def microdollars(text: object) -> int:
    """What `dollars` wrote into a status; 0 for anything else."""
    digits = text.replace(".", "", 1) if isinstance(text, str) else ""
    return round(float(str(text)) * _MICRO) if digits.isdecimal() else 0


def _first(rows: Sequence[Any], said: Any, rest: str) -> Iterator[str]:
    yield from map(said, rows[:_SAID])
    if len(rows) > _SAID:
        yield f"More {rest}: {len(rows) - _SAID}."


def closes(one: LeavingNode) -> str:
    """What a node that closes waits for, and what that saves, in a sentence."""
    return f"Node {one.node} closes: {_awaited(one)}; that saves ${dollars(one.saving)} an hour."


def _awaited(one: LeavingNode) -> str:
    """What a node that closes waits for."""
    if not one.runs:
        return one.why or "new pods go there last, and it is given back when it is empty"
    runs = "its run ends" if one.runs == 1 else f"its {one.runs} runs end"
    return f"{runs} in about {_duration(one.ends_in)}" if one.ends_in is not None else runs


def is_emptied(one: LeavingNode) -> str:
    """How far the moves of a node's pods are, and what that saves, in a sentence."""
    saves = f"that saves ${dollars(one.saving)} an hour."
    if one.moved >= one.moves and not one.runs:
        return f"Node {one.node} is empty, and goes back unless a pod comes; {saves}"
    runs = f"; runs that are waited for: {one.runs}" if one.runs else ""
    why = f" ({one.why})" if one.why else ""
    return (
        f"Node {one.node} is being emptied: {one.moved} of {one.moves} pods have moved{why}{runs}; "
        f"{saves}"
    )


def _dearest(rows: Sequence[BlockedNode]) -> list[BlockedNode]:
    return sorted(rows, key=lambda one: (-one.price, one.node))


def _duration(seconds: int) -> str:
    """Coarse, so that the status does not change all the time: `4 min`, `25 min`, `2 h`."""
    if seconds <= _MINUTE:
        return "a minute"
    if seconds >= 2 * _HOUR:
        return f"{round(seconds / _HOUR)} h"
    step = _MINUTE if seconds <= _SOON else 5 * _MINUTE
    return f"{max(round(seconds / step) * step // _MINUTE, 1)} min"
