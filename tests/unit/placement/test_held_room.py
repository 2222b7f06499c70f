"""Room that is held for pods of a class: they land there, and nobody else does."""

from collections import Counter
from typing import Any

import pytest

from bayplan.model import requirements, snapshot
from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.nodes import DRAINING, HOSTNAME, ZONE, Node, Taint
from bayplan.model.pods import HostPort, PodTerm, Spread, Toleration
from bayplan.model.reasons import Reason
from bayplan.model.workloads import (
    EXCLUSIVE,
    Backlog,
    PlacementRules,
    Plan,
    PodClass,
    Strategy,
    Waiting,
)
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


def placed(
    frozen: snapshot.Snapshot, planned: Backlog, *waiting: Waiting
) -> tuple[Plan, dict[str, dict[str, int]]]:
    """The plan, and node -> class (by the name of its tasks) -> tasks."""
    plan = solve(frozen, waiting, NOON, Policy(), planned=planned)
    found: dict[str, Counter[str]] = {}
    for (_, task), node in plan.placements.items():
        found.setdefault(node, Counter())[task.partition("-")[0]] += 1
    return plan, {node: dict(counts) for node, counts in found.items()}


def held_for(kind: PodClass, **places: int) -> Backlog:
    return Backlog(held={kind: places})


def other(cpu: int = 100, count: int = 1, **more: Any) -> Waiting:
    """Tasks of another class, which have waited longer."""
    return make_waiting(make_class(cpu, labels={"app": "other"}, **more), count, "other", since=1)


HOLDER = make_class(500, labels={"app": "web"})


def test_held_room_waits_for_its_pod() -> None:
    """Nobody waits for it: others fill what is left of the node, and are told why it is short."""
    frozen = make_snapshot(make_node("a", 1000))
    plan, where = placed(frozen, held_for(HOLDER, a=1), other(250, 4))

    assert {"a": {"other": 2}} == where
    assert [Reason.HELD] == [one.reason for one in plan.refused[0].funnel.refusals]


def test_the_holder_lands_before_those_that_wait_longer() -> None:
    """Its room is neither given to others nor kept twice."""
    frozen = make_snapshot(make_node("a", 1000), make_node("b", 1000))
    holder = make_waiting(HOLDER, 2, "holder", since=9)
    planned = held_for(HOLDER, a=1, b=1)

    assert {"a": {"other": 2, "holder": 1}, "b": {"other": 2, "holder": 1}} == placed(
        frozen, planned, other(250, 4), holder
    )[1]


def test_more_tasks_of_the_class_than_places_go_where_there_is_room() -> None:
    """A place is taken once; two groups of the class share the places."""
    frozen = make_snapshot(make_node("a", 1000), make_node("b", 500), make_node("c", 500))
    groups = [make_waiting(HOLDER, 2, f"h{number}", since=number) for number in (0, 2)]
    plan, where = placed(frozen, held_for(HOLDER, a=2), *groups, other(500, 1))

    assert {"a": {"h0": 2}, "b": {"other": 1}, "c": {"h2": 1}} == where
    assert [1] == [len(one.keys) for one in plan.refused]


def test_a_place_that_no_filter_allows_keeps_its_room_and_takes_nobody() -> None:
    """The node was cordoned after the hold: the pod goes elsewhere."""
    frozen = make_snapshot(make_node("a", unschedulable=True), make_node("b", 500))

    assert {"b": {"holder": 1}} == placed(
        frozen, held_for(HOLDER, a=1), make_waiting(HOLDER, 1, "holder")
    )[1]


def test_more_is_never_held_than_there_is() -> None:
    """Two holds of 500 on a node of 1000 that somebody else has filled to 700: none is kept."""
    frozen = make_snapshot(make_node("a", 1000), make_pod("foreign", "a", 700))

    assert {"a": {"other": 3}} == placed(frozen, held_for(HOLDER, a=2, gone=3), other(100, 3))[1]


def test_a_more_urgent_task_takes_held_room_only_if_it_would_wait() -> None:
    """With another node it goes there; without, the hold gives way."""
    urgent = make_waiting(make_class(1000, priority=5), 1, "urgent")
    nodes = make_node("a", 1000), make_node("b", 1000)
    planned = held_for(HOLDER, a=1)

    assert {"b": {"urgent": 1}} == placed(make_snapshot(*nodes), planned, urgent)[1]
    assert {"a": {"urgent": 1}} == placed(make_snapshot(nodes[0]), planned, urgent)[1]


def test_an_urgent_hold_does_not_give_way_to_less() -> None:
    """Nor to a task of the same priority."""
    frozen = make_snapshot(make_node("a", 1000))
    kind = make_class(1000, priority=5)

    for priority in (0, 5):
        waiting = make_waiting(make_class(500, priority=priority), 1)
        assert {} == placed(frozen, held_for(kind, a=1), waiting)[1]


def test_a_hold_stays_where_the_urgent_task_would_wait_anyway() -> None:
    """It asks for a device that nobody has."""
    frozen = make_snapshot(make_node("a", 1000))
    urgent = make_waiting(make_class(100, priority=5, extended={"x/gpu": 1}), 1, "urgent")

    assert {} == placed(frozen, held_for(HOLDER, a=2), urgent, other(100))[1]


def test_a_host_port_is_held_too() -> None:
    """The other pod with the port goes to the next node, though it has room here."""
    port = (HostPort(80),)
    holder = make_class(labels={"app": "web"}, host_ports=port)
    frozen = make_snapshot(make_node("a"), make_node("b"))

    assert {"b": {"other": 1}} == placed(frozen, held_for(holder, a=1), other(host_ports=port))[1]


def shy_of(app: str) -> tuple[PodTerm, ...]:
    return (PodTerm(make_term(app=app), HOSTNAME),)


@pytest.mark.parametrize("who", ["holder", "other"])
def test_nobody_comes_beside_whom_the_held_pod_would_not_stand(who: str) -> None:
    """Anti-affinity of the held pod towards others, and of others towards it."""
    holder, shy = make_class(labels={"app": "web"}), {}
    if who == "holder":
        holder = make_class(labels={"app": "web"}, pod_anti_affinity=shy_of("other"))
    else:
        shy = {"pod_anti_affinity": shy_of("web")}
    frozen = make_snapshot(make_node("a"), make_node("b"))

    assert {"b": {"other": 1}} == placed(frozen, held_for(holder, a=1), other(**shy))[1]


def test_a_node_is_held_for_a_pod_that_wants_it_alone() -> None:
    """Strategy Exclusive: no pod of another workload joins, though there is room."""
    rules = PlacementRules(strategy=Strategy.EXCLUSIVE, mates=make_term(app="web"))
    holder = make_class(labels={"app": "web", EXCLUSIVE: "true"}, placement=rules)
    frozen = make_snapshot(make_node("a"), make_node("b"))

    assert {"b": {"other": 1}} == placed(frozen, held_for(holder, a=1), other())[1]
    assert {"a": {"holder": 1}, "b": {"other": 1}} == placed(
        frozen, held_for(holder, a=1), other(), make_waiting(holder, 1, "holder", since=9)
    )[1]


def test_no_pod_is_drawn_to_a_pod_that_is_not_there_yet() -> None:
    """Required affinity: the held pod may never come."""
    near = other(pod_affinity=(PodTerm(make_term(app="web"), HOSTNAME),))
    frozen = make_snapshot(make_node("a"))

    assert {} == placed(frozen, held_for(HOLDER, a=1), near)[1]


GROUP_BY = PlacementRules(
    constraints=(PlaceConstraint(ZONE, Operator.GROUP_BY, "2"),), peers=make_term(app="web")
)


@pytest.mark.parametrize(
    "holder",
    [
        make_class(500, labels={"app": "web"}, placement=GROUP_BY),
        make_class(500, labels={"app": "web"}, placement=PlacementRules(strategy=Strategy.SPREAD)),
        make_class(
            500, labels={"app": "web"}, spread=(Spread(ZONE, make_term(app="web"), hard=False),)
        ),
    ],
    ids=["GroupBy", "Spread", "ScheduleAnyway"],
)
def test_a_holder_with_wishes_lands_where_its_room_is(holder: PodClass) -> None:
    """The plan has reckoned with its rules; without it the pod would go elsewhere."""
    frozen = make_snapshot(
        make_node("a", zone="x"), make_node("b", zone="y"), make_pod("p", "a", labels={"app": "x"})
    )

    assert {"b": {"holder": 1}} == placed(
        frozen, held_for(holder, b=1), make_waiting(holder, 1, "holder")
    )[1]


def test_a_holder_keeps_to_its_constraints() -> None:
    """Two in a zone are there already: its place in that zone does not count."""
    rules = PlacementRules(
        constraints=(PlaceConstraint(ZONE, Operator.MAX_PER, "2"),), peers=make_term(app="web")
    )
    holder = make_class(labels={"app": "web"}, placement=rules)
    frozen = make_snapshot(
        make_node("a", zone="x"),
        make_node("b", zone="y"),
        *(make_pod(f"p{index}", "a", labels={"app": "web"}) for index in range(2)),
    )

    assert {"b": {"holder": 1}} == placed(
        frozen, held_for(holder, a=1), make_waiting(holder, 1, "holder")
    )[1]


def test_a_gang_uses_its_own_room_and_no_other() -> None:
    """Nothing of it lands ahead; the room held for it is free for it, all at once."""
    gang = make_class(500, labels={"app": "web"}, placement=PlacementRules(gang=True))
    frozen = make_snapshot(make_node("a", 1000))

    assert {"a": {"gang": 2}} == placed(
        frozen, held_for(gang, a=2), other(250), make_waiting(gang, 2, "gang", since=9)
    )[1]
    assert {"a": {"other": 1}} == placed(
        frozen, held_for(HOLDER, a=1), other(250), make_waiting(gang, 2, "gang")
    )[1]


def test_a_hold_of_a_starving_task_does_not_keep_a_holder_off() -> None:
    """Nor does such a hold begin where it would need held room."""
    large = make_waiting(make_class(4000, labels={"app": "large"}), 1, "large", since=NOON - 99)
    run = make_pod("r", "a", 3000, owner_uid="job", owner_kind="BatchJob")
    frozen = make_state(make_node("a", 4000), run).snapshot()
    holder = make_waiting(HOLDER, 1, "holder", since=NOON)
    planned = held_for(HOLDER, a=1)
    key = large.keys[0]

    assert {key: "a"} == solve(frozen, [large], NOON, Policy()).holds
    assert {} == solve(frozen, [large], NOON, Policy(), planned=planned).holds
    assert "a" == solve(
        frozen, [large, holder], NOON, Policy(), holds={key: "a"}, planned=planned
    ).placements.get(holder.keys[0])


def test_room_of_daemonsets_comes_first() -> None:
    """A hold takes nothing of what an agent needs that is still to come."""
    agent = snapshot.DaemonSet("default", "agent", "uid", make_class(600).request)
    frozen = make_snapshot(make_node("a", 1000), agent)

    assert {"a": {"other": 1}} == placed(frozen, held_for(HOLDER, a=1), other(400))[1]


class TestBothPlans:
    def test_holds_of_two_plans_add_up(self) -> None:
        both = held_for(HOLDER, a=1) | held_for(HOLDER, a=1, b=1)

        assert {HOLDER: {"a": 2, "b": 1}} == both.held

    def test_nothing_is_lost_where_either_names_no_nodes(self) -> None:
        kind = make_class(100)
        both = Backlog(shares={kind: {"a": 1}}, closing=frozenset({"c"})) | Backlog(
            frozenset({"b"}), {kind: {"b": 2}}
        )

        assert {kind: {"a": 1, "b": 2}} == both.shares
        assert {"b"}, {"c"} == (both.nodes, both.closing)


TOLERANT = (Toleration("", "Exists"),)


def given_back(name: str, value: str) -> Node:
    return make_node(name, taints=(Taint(DRAINING, value),))


class TestNodesGivenBack:
    """C8: the freed room of a node that a Pool gives back is not filled again."""

    @pytest.mark.parametrize("plain", [True, False])
    @pytest.mark.parametrize("value", ["moving", "retiring"])
    def test_it_takes_no_pod_whatever_the_pod_tolerates(self, value: str, *, plain: bool) -> None:
        kind = make_class(plain=plain, tolerations=TOLERANT)
        plan, where = placed(make_snapshot(given_back("a", value)), Backlog(), make_waiting(kind))

        assert {} == where
        assert [Reason.LEAVING] == [one.reason for one in plan.refused[0].funnel.refusals]

    def test_it_takes_a_plain_pod_that_asks_for_it_by_name(self) -> None:
        """A DaemonSet's pod; not a pod that names it as one of several ways."""
        name = requirements.Term(name=requirements.requirement("In", ["a"]))
        agent = make_class(plain=True, tolerations=TOLERANT, affinity=(name,))
        either = make_class(plain=True, tolerations=TOLERANT, affinity=(name, make_term(x="y")))
        frozen = make_snapshot(given_back("a", "moving"))

        assert {"a": {"w": 1}} == placed(frozen, Backlog(), make_waiting(agent))[1]
        assert {} == placed(frozen, Backlog(), make_waiting(either))[1]

    def test_a_person_drains_as_ever(self) -> None:
        """A plain pod tolerates the taint of a person, as in Kubernetes."""
        kind = make_class(plain=True, tolerations=TOLERANT)

        assert {"a": {"w": 1}} == placed(
            make_snapshot(given_back("a", "maintenance")), Backlog(), make_waiting(kind)
        )[1]


def test_the_first_of_a_series_goes_where_room_is_held_for_others_of_it() -> None:
    """Required affinity to themselves: elsewhere it would draw the series away from its places."""
    near = (PodTerm(make_term(app="web"), ZONE),)
    holder = make_class(labels={"app": "web"}, pod_affinity=near)
    first = make_waiting(make_class(200, labels={"app": "web"}, pod_affinity=near), 1)
    frozen = make_snapshot(
        make_node("a", zone="x"), make_node("b", zone="y"), make_pod("fills", "a", 3000)
    )

    assert {"a": {"w": 1}} == placed(frozen, Backlog(), first)[1]
    assert {"b": {"w": 1}} == placed(frozen, held_for(holder, b=1), first)[1]


def test_a_hard_spread_leaves_the_held_places_open() -> None:
    """The next revision of a Deployment: a second pod in zone y would bar the held one."""
    even = (Spread(ZONE, make_term(app="web")),)
    holder = make_class(labels={"app": "web"}, spread=even)
    newer = make_waiting(make_class(200, labels={"app": "web"}, spread=even), 1)
    frozen = make_snapshot(
        make_node("a", zone="x", price_microdollars=9),
        make_node("b", zone="y", price_microdollars=1),
    )

    assert {"b": {"w": 1}} == placed(frozen, Backlog(), newer)[1]
    assert {"a": {"w": 1}} == placed(frozen, held_for(holder, b=1), newer)[1]
