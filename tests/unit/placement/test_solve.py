"""Where tasks go: used and cheap nodes first, preferences within that, spread kept."""

from collections import Counter

import pytest

from bayplan.model import snapshot
from bayplan.model.nodes import HOSTNAME, ZONE, Taint
from bayplan.model.pods import HostPort, PodTerm, Spread
from bayplan.model.workloads import Plan, PodClass, Waiting
from bayplan.placement.solve import Memo, Policy, solve
from tests.builders import (
    NOON,
    make_class,
    make_constraints,
    make_node,
    make_pod,
    make_snapshot,
    make_state,
    make_term,
    make_waiting,
)


def counts(
    frozen: snapshot.Snapshot, *waiting: Waiting, memo: Memo | None = None
) -> dict[str, int]:
    """How many tasks each node got."""
    return dict(Counter(solve(frozen, waiting, NOON, Policy(), memo).placements.values()))


def test_a_used_node_comes_before_an_empty_one() -> None:
    """An empty node is not opened while a used one has room, however cheap it is."""
    frozen = make_snapshot(
        make_node("a", price_microdollars=1),
        make_node("b", price_microdollars=9),
        make_pod("p", "b"),
    )

    assert {"b": 3} == counts(frozen, make_waiting(count=3))


def test_the_cheapest_empty_node_for_the_whole_class() -> None:
    """Dollars for what lands count: one large node is cheaper than four small ones."""
    frozen = make_snapshot(
        make_node("large", 8000, price_microdollars=300),
        *(make_node(f"small{index}", 2000, 4, price_microdollars=100) for index in range(4)),
    )

    assert {"large": 8} == counts(frozen, make_waiting(make_class(1000), 8))


def test_what_is_left_over_goes_where_its_shape_is() -> None:
    """A task of much memory takes the node whose free room is mostly memory."""
    frozen = make_snapshot(
        make_node("cpu", 8000, 4),
        make_node("memory", 2000, 16),
        make_pod("p", "cpu", 100),
        make_pod("q", "memory", 100),
    )

    assert {"memory": 1} == counts(frozen, make_waiting(make_class(100, memory=4)))
    assert {"cpu": 1} == counts(frozen, make_waiting(make_class(1500, memory=1)))


def test_higher_priority_first_then_the_longer_wait() -> None:
    """Who comes first gets the room; the rest is refused."""
    frozen = make_snapshot(make_node(cpu=1000))
    low = make_waiting(make_class(1000, priority=0), 1, "low", since=1)
    late = make_waiting(make_class(1000, priority=5), 1, "late", since=9)
    early = make_waiting(make_class(1000, priority=5, labels={"a": "b"}), 1, "early", since=2)

    for queue, expected in (
        ([low, late, early], "early-0"),
        ([low, late], "late-0"),
    ):
        assert {("default", expected): "n1"} == solve(frozen, queue, NOON, Policy()).placements


def test_a_misfit_does_not_stop_the_round() -> None:
    """A class without room is refused; the ones behind it are still placed."""
    plan = solve(
        make_snapshot(make_node(cpu=1000)),
        [make_waiting(make_class(5000, priority=9), 1, "big"), make_waiting(name="small")],
        NOON,
        Policy(),
    )

    assert {("default", "small-0"): "n1"} == plan.placements
    assert [(("default", "big-0"),)] == [refused.keys for refused in plan.refused]


def test_the_first_tasks_of_a_class_are_the_ones_placed() -> None:
    """Tasks get room in the order in which they want it."""
    plan = solve(
        make_snapshot(make_node(cpu=1000)), [make_waiting(make_class(400), 5)], NOON, Policy()
    )

    assert [("default", "w-0"), ("default", "w-1")] == list(plan.placements)
    assert (("default", "w-2"), ("default", "w-3"), ("default", "w-4")) == plan.refused[0].keys


def test_a_resource_that_no_node_has_refuses_everywhere() -> None:
    """A GPU task in a cluster without GPUs is told so by every node."""
    plan = solve(
        make_snapshot(make_node("a"), make_node("b")),
        [make_waiting(make_class(extended={"nvidia.com/gpu": 1}))],
        NOON,
        Policy(),
    )

    assert ["nvidia.com/gpu"] == [one.detail for one in plan.refused[0].funnel.refusals]


def test_disliked_taints_come_last_of_all() -> None:
    """PreferNoSchedule keeps tasks off while any other node has room, even an empty one."""
    soft = Taint("DeletionCandidateOfClusterAutoscaler", effect="PreferNoSchedule")
    frozen = make_snapshot(make_node("a", taints=(soft,)), make_pod("p", "a"), make_node("b", 200))

    assert {"b": 2, "a": 1} == counts(frozen, make_waiting(count=3))


def test_preferences_choose_among_nodes_and_cost_none() -> None:
    """A preferred zone wins between used nodes and between empty ones, never over used ones."""
    prefer = make_class(preferred=((1, make_term(**{ZONE: "b"})),))
    used = make_pod("p", "n1"), make_pod("q", "n2")
    nodes = make_node("n1", zone="a"), make_node("n2", 900, zone="b"), make_node("n3", zone="b")

    assert {"n2": 1} == counts(make_snapshot(*nodes, *used), make_waiting(prefer))
    assert {"n1": 1} == counts(make_snapshot(*nodes, used[0]), make_waiting(prefer))


def test_preferred_company() -> None:
    """Preferred pod affinity draws near, preferred anti-affinity away."""
    term = PodTerm(make_term(app="db"), ZONE, weight=5)
    nodes = make_node("n1", zone="a"), make_node("n2", zone="b")
    frozen = make_snapshot(*nodes, make_pod("db", "n2", labels={"app": "db"}), make_pod("x", "n1"))

    assert {"n2": 1} == counts(frozen, make_waiting(make_class(pod_affinity=(term,))))
    assert {"n1": 1} == counts(frozen, make_waiting(make_class(pod_anti_affinity=(term,))))


def spreading(key: str = ZONE, **more: object) -> PodClass:
    spread = Spread(key, make_term(app="web"), **more)  # type: ignore[arg-type]
    return make_class(spread=(spread,), labels={"app": "web"})


def test_a_hard_spread_stops_at_a_full_zone() -> None:
    """No zone gets more than maxSkew above the one that is full."""
    zones = make_node("n1", zone="a"), make_node("n2", zone="b"), make_node("n3", 200, zone="c")

    assert {"n1": 3, "n2": 3, "n3": 2} == counts(
        make_snapshot(*zones), make_waiting(spreading(), 20)
    )
    assert {"n1": 5, "n2": 5, "n3": 2} == counts(
        make_snapshot(*zones), make_waiting(spreading(max_skew=3), 20)
    )


def test_too_few_zones_count_as_an_empty_one() -> None:
    """With fewer than minDomains zones, none gets more than maxSkew."""
    zones = make_node("n1", zone="a"), make_node("n2", zone="b")

    assert {"n1": 2, "n2": 2} == counts(
        make_snapshot(*zones), make_waiting(spreading(min_domains=3, max_skew=2), 20)
    )


def test_a_soft_spread_is_kept_on_used_nodes_and_opens_none() -> None:
    """ScheduleAnyway spreads over used nodes, then fills them; an empty zone stays empty."""
    nodes = make_node("n1", zone="a"), make_node("n2", 500, zone="b"), make_node("n3", zone="c")
    used = make_pod("p", "n1"), make_pod("q", "n2")

    assert {"n1": 3, "n2": 3} == counts(
        make_snapshot(*nodes, *used), make_waiting(spreading(hard=False), 6)
    )
    assert {"n1": 16, "n2": 4} == counts(
        make_snapshot(*nodes, *used), make_waiting(spreading(hard=False), 20)
    )


def test_leaving_peers_do_not_count_in_a_spread() -> None:
    """A pod that is being deleted makes no zone look full; for anti-affinity it still stands."""
    zones = make_node("n1", zone="a"), make_node("n2", zone="b")
    leaving = make_pod("p", "n1", labels={"app": "web"}, deleted_at=3)
    apart = make_class(
        labels={"app": "web"},
        pod_anti_affinity=(PodTerm(make_term(app="web"), HOSTNAME),),
    )
    frozen = make_snapshot(*zones, leaving)

    assert {"n1": 2, "n2": 2} == counts(frozen, make_waiting(spreading(), 4))
    assert {"n2": 1} == counts(frozen, make_waiting(apart, 4))


def test_anti_affinity_to_itself_gives_each_node_one() -> None:
    """Also where a class is asked for in two groups, and where nodes lack the label."""
    apart = make_class(
        labels={"app": "web"}, pod_anti_affinity=(PodTerm(make_term(app="web"), "rack"),)
    )
    nodes = (
        make_node("a", labels={"rack": "1"}),
        make_node("b", labels={"rack": "1"}),
        make_node("c", labels={"rack": "2"}),
        make_node("d", 300),
    )
    placed = counts(make_snapshot(*nodes), make_waiting(apart, 4), make_waiting(apart, 4, "v"))

    assert 3 == placed.pop("d")
    assert [1, 1] == sorted(placed.values())


def test_all_of_a_class_in_one_zone() -> None:
    """Affinity to itself takes the zone that holds most, not the one liked best."""
    together = make_class(
        1000,
        labels={"app": "web"},
        pod_affinity=(PodTerm(make_term(app="web"), ZONE),),
    )
    frozen = make_snapshot(
        make_node("a", 2000, zone="a"),
        make_node("b", 3000, zone="b"),
        make_node("c", 3000, zone="b"),
        make_pod("p", "a"),
    )

    assert {"b": 3, "c": 2} == counts(frozen, make_waiting(together, 5)) or {
        "b": 2,
        "c": 3,
    } == counts(frozen, make_waiting(together, 5))


def test_classes_see_what_landed_before_them() -> None:
    """Host ports and anti-affinity hold between classes of the same plan."""
    port = HostPort(80)
    one = make_waiting(make_class(host_ports=(port,)), 2, "one")
    two = make_waiting(make_class(200, host_ports=(port,)), 2, "two")
    frozen = make_snapshot(*(make_node(f"n{index}") for index in range(3)))

    assert {"n0": 1, "n1": 1, "n2": 1} == counts(frozen, one, two)


def test_a_memo_serves_until_nodes_change() -> None:
    """With a memo kept, a node's new taint is seen at once."""
    book = make_state(make_node("a"), make_node("b", 100))
    memo = Memo()
    first = counts(book.snapshot(), make_waiting(), memo=memo)
    gone = Taint("dedicated", "x")
    book.set_node(make_node("b", 100, taints=(gone,)))
    second = counts(book.snapshot(), make_waiting(), memo=memo)

    assert ({"b": 1}, {"a": 1}) == (first, second)


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_few_tasks_go_where_many_would_begin(count: int) -> None:
    """The shortcut for few tasks picks the same nodes as the full order."""
    nodes = [make_node(f"n{index:03}", 100, price_microdollars=index // 7) for index in range(400)]
    frozen = make_snapshot(*nodes)
    many = solve(frozen, [make_waiting(count=400)], NOON, Policy()).placements
    few = solve(frozen, [make_waiting(count=count)], NOON, Policy()).placements
    cheapest = sorted(nodes, key=lambda node: (node.price_microdollars, node.name))[:count]

    assert 400 == len(many)
    assert {node.name for node in cheapest} == set(few.values())


def test_nothing_waits_and_nothing_exists() -> None:
    """No tasks, no nodes: an empty plan, no error."""
    assert Plan() == solve(make_snapshot(), [], NOON, Policy())
    plan = solve(make_snapshot(), [make_waiting(spreading(), 2)], NOON, Policy())
    assert 0 == plan.refused[0].funnel.considered


def test_constraints_on_absent_labels() -> None:
    """Required company and spread refuse a node without the label; anti-affinity does not."""
    frozen = make_snapshot(make_node("a", labels={}), make_pod("p", "a", labels={"app": "web"}))
    apart = make_constraints(
        pod_anti_affinity=(PodTerm(make_term(app="web"), "rack"),),
    )

    assert {"a": 1} == counts(frozen, make_waiting(make_class(constraints=apart)))
    assert {} == counts(frozen, make_waiting(spreading("rack")))
