"""What the optimiser planned for a backlog lands first, and never against a filter or a rule."""

from collections import Counter
from typing import Any

import pytest

from bayplan.model import snapshot
from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.nodes import ZONE
from bayplan.model.workloads import Backlog, PlacementRules, Plan, Strategy, Waiting
from bayplan.placement.solve import Policy, solve
from tests.builders import NOON, make_class, make_node, make_snapshot, make_term, make_waiting


def planned_for(
    frozen: snapshot.Snapshot, planned: Backlog, *waiting: Waiting
) -> tuple[Plan, dict[str, dict[str, int]]]:
    """The plan, and node -> class (by the name of its tasks) -> tasks."""
    plan = solve(frozen, waiting, NOON, Policy(), planned=planned)
    found: dict[str, Counter[str]] = {}
    for (_, task), node in plan.placements.items():
        found.setdefault(node, Counter())[task.partition("-")[0]] += 1
    return plan, {node: dict(counts) for node, counts in found.items()}


def test_planned_room_is_not_taken_by_who_comes_first() -> None:
    """The older class would fill the node in use; its rest goes elsewhere."""
    frozen = make_snapshot(make_node("a", 1000), make_node("b", 1000))
    older = make_waiting(make_class(250), 4, "older", since=1)
    younger = make_waiting(make_class(500, labels={"app": "x"}), 2, "younger", since=2)
    planned = Backlog(shares={younger.kind: {"a": 2}})

    assert {"a": {"younger": 2}, "b": {"older": 4}} == planned_for(frozen, planned, older, younger)[
        1
    ]


def test_a_planned_empty_node_is_opened_before_a_cheaper_one() -> None:
    """Also by a class without shares: the plan knows why."""
    frozen = make_snapshot(
        make_node("a", price_microdollars=1), make_node("b", price_microdollars=9)
    )

    assert {"b": {"w": 2}} == planned_for(frozen, Backlog(frozenset({"b"})), make_waiting(count=2))[
        1
    ]


def test_shares_end_where_the_tasks_or_the_room_end() -> None:
    """Two groups of one class take one share together."""
    frozen = make_snapshot(make_node("a", 1000), make_node("b", 1000), make_node("c", 4000))
    kind = make_class(250)
    first, second = make_waiting(kind, 3, "one", since=1), make_waiting(kind, 3, "two", since=2)
    planned = Backlog(shares={kind: {"a": 2, "b": 9}})

    assert {"a": {"one": 2}, "b": {"one": 1, "two": 3}} == planned_for(
        frozen, planned, make_waiting(kind, 3, "one", since=1), second
    )[1]
    assert not planned_for(frozen, planned, first, second)[0].refused


@pytest.mark.parametrize(
    "placement",
    [
        PlacementRules(gang=True),
        PlacementRules(constraints=(PlaceConstraint(ZONE, Operator.CLUSTER),)),
        PlacementRules(strategy=Strategy.SPREAD),
    ],
)
def test_shares_that_would_spoil_the_rest_do_not_count(placement: PlacementRules) -> None:
    """A gang, pods that must share a zone, and a wish to be spread: as without a plan."""
    frozen = make_snapshot(
        make_node("a", 500, zone="x"),
        *(make_node(f"b{index}", 1000, zone="y") for index in range(4)),
    )
    waiting = make_waiting(make_class(500, placement=placement), 4)
    planned = Backlog(shares={waiting.kind: {"a": 1}})
    plain = solve(frozen, [waiting], NOON, Policy())

    assert plain == planned_for(frozen, planned, waiting)[0]
    assert not plain.refused


def urgent_and_not(**urgent: Any) -> tuple[Waiting, Waiting]:
    return (
        make_waiting(make_class(1000, priority=5, **urgent), 1, "urgent"),
        make_waiting(make_class(1000), 1, "other"),
    )


def test_a_more_urgent_task_does_not_wait_for_a_share() -> None:
    """The share is of the only node: the urgent task gets it, as without a plan."""
    urgent, other = urgent_and_not()
    plan, where = planned_for(
        make_snapshot(make_node("a", 1000)), Backlog(shares={other.kind: {"a": 1}}), urgent, other
    )

    assert {"a": {"urgent": 1}} == where
    assert [other] == [refusal.waiting for refusal in plan.refused]


def test_a_share_stays_where_the_more_urgent_task_would_wait_anyway() -> None:
    """It asks for a device that nobody has; a third task does not take the planned room."""
    urgent, other = urgent_and_not(extended={"x/gpu": 1})
    third = make_waiting(make_class(1000, priority=3, labels={"app": "x"}), 1, "third")
    frozen = make_snapshot(make_node("a", 1000), make_node("b", 1000))

    assert {"a": {"other": 1}, "b": {"third": 1}} == planned_for(
        frozen, Backlog(shares={other.kind: {"a": 1}}), urgent, other, third
    )[1]


def test_a_share_keeps_to_the_filters() -> None:
    """No share on a node that is cordoned or of the wrong zone."""
    frozen = make_snapshot(
        make_node("a", zone="x"), make_node("b", zone="y"), make_node("c", unschedulable=True)
    )
    waiting = make_waiting(make_class(selector={ZONE: "y"}), 2)

    assert {"b": {"w": 2}} == planned_for(
        frozen, Backlog(shares={waiting.kind: {"a": 1, "c": 1}}), waiting
    )[1]


def test_peers_of_a_share_count_for_the_rest() -> None:
    """Two per zone: what landed by plan is counted when the rest is placed."""
    rules = PlacementRules(
        constraints=(PlaceConstraint(ZONE, Operator.MAX_PER, "2"),), peers=make_term(app="x")
    )
    kind = make_class(100, labels={"app": "x"}, placement=rules)
    frozen = make_snapshot(make_node("a", zone="x"), make_node("b", zone="y"))
    plan, where = planned_for(frozen, Backlog(shares={kind: {"b": 5}}), make_waiting(kind, 5))

    assert {"a": {"w": 2}, "b": {"w": 2}} == where
    assert [1] == [len(refusal.keys) for refusal in plan.refused]
