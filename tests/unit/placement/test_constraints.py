"""Marathon's operators on nodes: the table of their rules, case by case."""

from collections import Counter

import pytest

from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.label_values import same_number
from bayplan.model.nodes import Node
from bayplan.model.pods import Pod
from bayplan.model.reasons import Reason, Refusal
from bayplan.model.workloads import EXCLUSIVE, PlacementRules, Plan, PodClass, Strategy
from bayplan.placement.solve import Policy, solve
from tests.builders import NOON, make_class, make_node, make_pod, make_snapshot, make_term
from tests.builders import make_waiting as make_group

PEERS = make_term(service="web", revision="2")
MATES = make_term(service="web")
LABELS = {"service": "web", "revision": "2"}


def web(*constraints: tuple[str, Operator, str], **more: object) -> PodClass:
    rules = PlacementRules(
        tuple(PlaceConstraint(*constraint) for constraint in constraints),
        peers=PEERS,
        mates=MATES,
        **more,  # type: ignore[arg-type]
    )
    exclusive = {EXCLUSIVE: "true"} if rules.strategy is Strategy.EXCLUSIVE else {}
    return make_class(labels={**LABELS, **exclusive}, placement=rules)


def plan_of(kind: PodClass, count: int, *things: Node | Pod) -> Plan:
    return solve(make_snapshot(*things), [make_group(kind, count)], NOON, Policy())


def counts(kind: PodClass, count: int, *things: Node | Pod) -> dict[str, int]:
    return dict(Counter(plan_of(kind, count, *things).placements.values()))


@pytest.mark.parametrize(
    ("operator", "value", "label", "accepted"),
    [
        (Operator.LIKE, "zone-[ab]", "zone-a", True),
        (Operator.LIKE, "zone-[ab]", "zone-a1", False),
        (Operator.LIKE, "rack-1", "rack-10", False),
        (Operator.LIKE, ".*", None, False),
        (Operator.LIKE, "(", "(", False),
        (Operator.LIKE, "a" * 257, "a" * 257, False),
        (Operator.UNLIKE, "m4.*", "m5.large", True),
        (Operator.UNLIKE, "m4.*", "m4.large", False),
        (Operator.UNLIKE, "m4.*", None, True),
        (Operator.UNLIKE, "(", "x", False),
        (Operator.UNLIKE, "(", None, False),
        (Operator.CLUSTER, "a", "a", True),
        (Operator.CLUSTER, "0.8", "0.80", False),
        (Operator.CLUSTER, "a", None, False),
        (Operator.IS, "0.8", "0.8001", True),
        (Operator.IS, "0.8", "0.80", True),
        (Operator.IS, "0.8", "0.801", False),
        (Operator.IS, "ssd", "ssd", True),
        (Operator.IS, "ssd", "SSD", False),
        (Operator.IS, "", None, False),
        (Operator.UNIQUE, "", None, False),
        (Operator.MAX_PER, "2", None, False),
        (Operator.MAX_PER, "two", "a", False),
        (Operator.GROUP_BY, "", None, False),
        (Operator.GROUP_BY, "", "a", True),
    ],
)
def test_one_operator_one_label(
    operator: Operator, value: str, label: str | None, accepted: bool
) -> None:
    """As Marathon's docs/docs/constraints.md says; a missing label is accepted by Unlike alone."""
    node = make_node(labels={} if label is None else {"attribute": label})
    plan = plan_of(web(("attribute", operator, value)), 1, node)

    assert accepted is bool(plan.placements)
    if not accepted:
        refusal = Refusal(Reason.CONSTRAINT, f"attribute {operator.value}", 1)
        assert (refusal,) == plan.refused[0].funnel.refusals


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("0.8", "0.8001", True),
        ("0.0005", "0", True),
        ("0.0015", "0.002", True),
        ("1", "1.0", True),
        ("-1", "1", False),
        ("1e3", "1000", False),
        ("", "", False),
        ("1" * 30, "1" * 30, False),
    ],
)
def test_numbers_at_three_decimals(one: str, other: str, equal: bool) -> None:
    """Plain decimal numbers, halves rounded to even; anything else is text."""
    assert equal is same_number(one, other)


def two_zones() -> tuple[Node, ...]:
    return (
        make_node("a1", zone="a"),
        make_node("a2", zone="a"),
        make_node("b1", 300, zone="b"),
    )


def test_unique_by_alias() -> None:
    """`hostname` and `zone` are aliases; peers that run hold their place."""
    mine = make_pod("p", "a1", labels=LABELS)
    former = make_pod("q", "a2", labels={"service": "web", "revision": "1"})

    assert {"a2": 1, "b1": 1} == counts(
        web(("hostname", Operator.UNIQUE, "")), 5, *two_zones(), mine, former
    )
    assert {"b1": 1} == counts(web(("zone", Operator.UNIQUE, "")), 5, *two_zones(), mine)


def test_max_per() -> None:
    """Counts a=2, b=1 with MaxPer 2: a is refused, b takes one more."""
    there = [make_pod(f"p{node}", node, labels=LABELS) for node in ("a1", "a2", "b1")]

    assert {"b1": 1} == counts(web(("zone", Operator.MAX_PER, "2")), 5, *two_zones(), *there)


def test_cluster_stays_with_the_first() -> None:
    """Without a value the pods that run fix it; without any, the zone that holds most."""
    mine = make_pod("p", "b1", labels=LABELS)

    assert {"b1": 2} == counts(web(("zone", Operator.CLUSTER, "")), 5, *two_zones(), mine)
    assert 60 == sum(counts(web(("zone", Operator.CLUSTER, "")), 60, *two_zones()).values())


def test_group_by_known_zones() -> None:
    """Without a number the zones of the nodes that could take a pod are the groups."""
    kind = web(("zone", Operator.GROUP_BY, ""), instances=6)
    cordoned = make_node("c1", zone="c", unschedulable=True)

    assert 3 == counts(kind, 6, *two_zones(), cordoned)["b1"]
    assert 6 == sum(counts(kind, 6, *two_zones(), cordoned).values())


def test_group_by_counts_a_zone_that_only_has_pods() -> None:
    """A zone whose nodes take nothing new keeps the share of the pod that still runs there."""
    kind = web(("zone", Operator.GROUP_BY, ""), instances=6)
    cordoned = make_node("c1", zone="c", unschedulable=True)
    peer = make_pod("p", "c1", labels=LABELS)
    placed = counts(kind, 5, *two_zones(), cordoned, peer)

    assert (2, 4) == (placed["b1"], sum(placed.values()))


def test_leaving_peers_hold_their_host_but_no_share() -> None:
    """A pod that is being deleted still stands in the way of Unique, no longer of GroupBy."""
    zones = make_node("a1", zone="a"), make_node("b1", zone="b")
    leaving = [make_pod(f"p{one}", "b1", labels=LABELS, deleted_at=3) for one in range(2)]
    unique = web(("zone", Operator.UNIQUE, ""))
    grouped = web(("zone", Operator.GROUP_BY, ""), instances=4)

    assert {"a1": 1} == counts(unique, 2, *zones, *leaving)
    assert {"a1": 2, "b1": 2} == counts(grouped, 4, *zones, *leaving)


def test_all_constraints_must_hold() -> None:
    """Like a zone, one a host, at most two a zone."""
    kind = web(
        ("zone", Operator.LIKE, "[ab]"),
        ("hostname", Operator.UNIQUE, ""),
        ("zone", Operator.MAX_PER, "1"),
    )

    assert [1, 1] == list(counts(kind, 9, *two_zones(), make_node("c1", zone="c")).values())


def test_exclusive_wants_the_node_to_itself() -> None:
    """It avoids others' nodes, others avoid its own; residents and its own revisions may stay."""
    daemon = make_pod("d", "a1", owner_uid="d", owner_kind="DaemonSet")
    former = make_pod("q", "a1", labels={"service": "web", "revision": "1", EXCLUSIVE: "true"})
    other = make_pod("o", "a2")
    kind = web(strategy=Strategy.EXCLUSIVE)

    assert {"a1": 38, "b1": 3} == counts(kind, 90, *two_zones(), daemon, former, other)
    assert "a1" not in counts(make_class(), 90, *two_zones(), daemon, former, other)
    plan = solve(
        make_snapshot(make_node()), [make_group(kind), make_group(name="x")], NOON, Policy()
    )
    assert {("default", "w-0"): "n1"} == plan.placements
    refusal = Refusal(Reason.CONSTRAINT, "Exclusive", 1)
    assert (refusal,) == plan.refused[0].funnel.refusals


def test_spread_goes_over_zones_then_nodes() -> None:
    """The strategy Spread opens nodes for it, and gives way where it cannot hold."""
    kind = web(strategy=Strategy.SPREAD)

    assert {"a1": 1, "a2": 1, "b1": 2} == counts(kind, 4, *two_zones())
    assert 30 == sum(counts(kind, 30, *two_zones()).values())


def test_a_gang_is_searched_for_in_every_zone() -> None:
    """A node in use comes first, but its zone has one rack; the gang needs two, in one zone."""
    rules = PlacementRules(
        (
            PlaceConstraint("zone", Operator.CLUSTER),
            PlaceConstraint("rack", Operator.MAX_PER, "1"),
        ),
        gang=True,
        peers=make_term(job="g"),
    )
    kind = make_class(1000, labels={"job": "g"}, placement=rules)
    nodes = [
        make_node("a1", 9000, zone="a", labels={"rack": "1"}),
        make_node("a2", 9000, zone="a", labels={"rack": "1"}),
        make_node("b1", 1000, zone="b", labels={"rack": "2"}),
        make_node("b2", 1000, zone="b", labels={"rack": "3"}),
    ]
    used = make_pod("p", "a1")

    assert {"b1": 1, "b2": 1} == counts(kind, 2, *nodes, used)
    assert {} == counts(kind, 3, *nodes, used)


def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    """Four of five find room: none is placed, the room is free for the next, the truth is told."""
    gang = make_class(1000, placement=PlacementRules(gang=True))
    node = make_node(cpu=4000)
    plan = solve(
        make_snapshot(node),
        [make_group(gang, 5, "gang", since=1), make_group(make_class(4000), 1, "next", since=2)],
        NOON,
        Policy(),
    )

    assert {("default", "next-0"): "n1"} == plan.placements
    assert 5 == len(plan.refused[0].keys)
    assert {"cpu": 1000} == dict(plan.refused[0].funnel.nearest.lacks)  # type: ignore[union-attr]
    assert 4 == len(plan_of(gang, 4, node).placements)
