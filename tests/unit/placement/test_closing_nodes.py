"""A node that closes gets a task only if no other node can take it."""

from collections import Counter

import pytest

from bayplan.model import snapshot
from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.nodes import HOSTNAME, ZONE, Taint
from bayplan.model.pods import Spread
from bayplan.model.workloads import Backlog, PlacementRules, PodClass, Strategy, Waiting
from bayplan.placement.solve import Policy, solve
from tests.builders import (
    NOON,
    make_class,
    make_node,
    make_pod,
    make_snapshot,
    make_state,
    make_term,
    make_waiting,
)

CLOSING = Backlog(closing=frozenset({"closing"}))
BUSY = make_pod("busy", "closing")  # so that the node would come first


def counts(
    frozen: snapshot.Snapshot, *waiting: Waiting, planned: Backlog = CLOSING
) -> dict[str, int]:
    """Node -> tasks that landed there."""
    return dict(
        Counter(solve(frozen, waiting, NOON, Policy(), planned=planned).placements.values())
    )


def ruled(operator: Operator, value: str = "", key: str = ZONE, cpu: int = 1000) -> PodClass:
    rules = PlacementRules(
        constraints=(PlaceConstraint(key, operator, value),), peers=make_term(app="web")
    )
    return make_class(cpu, labels={"app": "web"}, placement=rules)


def test_it_comes_after_every_other_node() -> None:
    """After an empty one, a dearer one, and one that would rather have no pod."""
    frozen = make_snapshot(
        make_node("closing", 4000, price_microdollars=1),
        make_node("dear", 1000, price_microdollars=9),
        make_node("shy", 1000, taints=(Taint("x", effect="PreferNoSchedule"),)),
        BUSY,
    )

    assert {"dear": 1, "shy": 1, "closing": 1} == counts(frozen, make_waiting(make_class(1000), 3))
    assert {"closing": 3} == counts(frozen, make_waiting(make_class(1000), 3), planned=Backlog())


@pytest.mark.parametrize(
    ("size", "expected"), [(1000, {"a": 1, "b": 1}), (1500, {"closing": 2}), (3000, {})]
)
def test_a_gang_spares_it_if_it_can(size: int, expected: dict[str, int]) -> None:
    """It goes there if the others have too little room, and waits whole if all together have."""
    gang = make_class(size, placement=PlacementRules(gang=True))
    frozen = make_snapshot(make_node("a", 1000), make_node("b", 1000), make_node("closing"), BUSY)

    assert expected == counts(frozen, make_waiting(gang, 2))


def test_a_gang_under_a_rule_spares_it_if_it_can() -> None:
    """All in one zone: the zone with the most room has the node that closes."""
    rules = PlacementRules(
        constraints=(PlaceConstraint(ZONE, Operator.CLUSTER),),
        gang=True,
        peers=make_term(app="web"),
    )
    gang = make_class(1000, labels={"app": "web"}, placement=rules)
    nodes = make_node("a", 2000, zone="x"), make_node("closing", 9000, zone="y")

    assert {"a": 2} == counts(make_snapshot(*nodes), make_waiting(gang, 2))
    assert {"closing": 3} == counts(make_snapshot(*nodes), make_waiting(gang, 3))


def test_a_gang_looks_for_another_way_before_it_uses_it() -> None:
    """All in one zone, evenly on two racks: the zone that it would choose needs the closing one."""
    rules = PlacementRules(
        constraints=(
            PlaceConstraint(ZONE, Operator.CLUSTER),
            PlaceConstraint("rack", Operator.GROUP_BY, "2"),
        ),
        gang=True,
        peers=make_term(app="web"),
    )
    gang = make_waiting(make_class(1000, labels={"app": "web"}, placement=rules), 4)
    frozen = make_snapshot(
        make_node("used", zone="x", labels={"rack": "1"}),
        make_node("closing", zone="x", labels={"rack": "2"}),
        make_node("b", 2000, zone="y", labels={"rack": "3"}),
        make_node("c", 2000, zone="y", labels={"rack": "4"}),
        make_pod("p", "used", 0),
    )

    assert {"used": 2, "closing": 2} == counts(frozen, gang, planned=Backlog())
    assert {"b": 2, "c": 2} == counts(frozen, gang)


def test_a_hard_spread_spares_it_as_long_as_the_skew_allows() -> None:
    """Two of three more may stand in one zone; the third has to go to the other."""
    spread = (Spread(ZONE, make_term(app="web"), max_skew=2),)
    kind = make_class(100, labels={"app": "web"}, spread=spread)
    frozen = make_snapshot(make_node("a", zone="x"), make_node("closing", zone="y"))

    assert {"a": 2} == counts(frozen, make_waiting(kind, 2))
    assert {"a": 2, "closing": 1} == counts(frozen, make_waiting(kind, 3))
    assert {"a": 1, "closing": 1} == counts(frozen, make_waiting(kind, 2), planned=Backlog())


@pytest.mark.parametrize(
    "kind",
    [
        make_class(100, placement=PlacementRules(strategy=Strategy.SPREAD)),
        make_class(100, spread=(Spread(HOSTNAME, make_term(), hard=False),)),
    ],
    ids=["Spread", "ScheduleAnyway"],
)
def test_a_wish_to_be_spread_does_not_open_it(kind: PodClass) -> None:
    """But it is kept among the others."""
    frozen = make_snapshot(make_node("a"), make_node("b"), make_node("closing"))

    found = counts(frozen, make_waiting(kind, 6))
    assert "closing" not in found
    assert 6 == sum(found.values())


@pytest.mark.parametrize(
    ("kind", "tasks", "expected"),
    [
        (ruled(Operator.CLUSTER), 2, {"a": 2}),
        (ruled(Operator.CLUSTER), 4, {"closing": 4}),
        (ruled(Operator.GROUP_BY, "2"), 4, {"a": 2, "closing": 2}),
        (ruled(Operator.GROUP_BY, "1"), 2, {"a": 2}),
        (ruled(Operator.GROUP_BY, "1"), 3, {"closing": 3}),
        (ruled(Operator.MAX_PER, "1"), 2, {"a": 1, "closing": 1}),
        (ruled(Operator.UNIQUE, key=HOSTNAME), 1, {"a": 1}),
        (ruled(Operator.UNIQUE, key=HOSTNAME), 2, {"a": 1, "closing": 1}),
    ],
)
def test_rules_between_pods_lose_no_place_by_it(
    kind: PodClass, tasks: int, expected: dict[str, int]
) -> None:
    """Where sparing it would leave tasks without a node, it is used with the others."""
    frozen = make_snapshot(make_node("a", 2000, zone="x"), make_node("closing", 4000, zone="y"))

    assert expected == counts(frozen, make_waiting(kind, tasks))


def test_what_can_only_run_there_lands_there() -> None:
    """An instance of a service with one on each node."""
    service = make_class(100, selector={HOSTNAME: "closing"})

    assert {"closing": 1} == counts(
        make_snapshot(make_node("a"), make_node("closing")), make_waiting(service)
    )


def test_room_of_a_daemonset_is_kept_there_too() -> None:
    agent = snapshot.DaemonSet("default", "agent", "uid", make_class(600).request)
    frozen = make_snapshot(make_node("closing", 1000), agent)

    assert {"closing": 1} == counts(frozen, make_waiting(make_class(400), 2))


def test_a_share_there_does_not_count_but_a_hold_does() -> None:
    """What the optimiser wished is older than the decision to close; the hold was proven."""
    kind = make_class(1000)
    frozen = make_snapshot(make_node("a"), make_node("closing"))

    def planned(**more: object) -> Backlog:
        return Backlog(**{"closing": CLOSING.closing, **more})  # type: ignore[arg-type]

    share = {kind: {"closing": 1}}
    assert {"a": 1} == counts(frozen, make_waiting(kind), planned=planned(shares=share))
    assert {"closing": 1} == counts(frozen, make_waiting(kind), planned=planned(held=share))


def test_a_starving_task_gets_a_hold_there_last() -> None:
    """Although it lacks less there."""
    frozen = make_state(
        make_node("a"),
        make_node("closing"),
        make_pod("r1", "a", 3000, owner_uid="job", owner_kind="BatchJob"),
        make_pod("r2", "closing", 500, owner_uid="job", owner_kind="BatchJob"),
    ).snapshot()
    large = make_waiting(make_class(4000), 1, since=NOON - 99)

    assert {large.keys[0]: "closing"} == solve(frozen, [large], NOON, Policy()).holds
    assert {large.keys[0]: "a"} == solve(frozen, [large], NOON, Policy(), planned=CLOSING).holds


def test_a_name_that_no_node_has_changes_nothing() -> None:
    frozen = make_snapshot(make_node("a"), make_node("b"))
    gone = Backlog(closing=frozenset({"gone"}), held={make_class(500): {"gone": 1}})
    waiting = make_waiting(make_class(500), 5)

    assert solve(frozen, [waiting], NOON, Policy()) == solve(
        frozen, [waiting], NOON, Policy(), planned=gone
    )
