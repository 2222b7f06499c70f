"""What a consolidation asks and plans, case by case."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bayplan.model.movability import PER_NODE
from bayplan.model.nodes import DRAINING, Node, Taint
from bayplan.model.pods import EXPECTED_SECONDS, Ending, Pod, PodTerm, Spread
from bayplan.model.snapshot import DaemonSet
from bayplan.model.workloads import Backlog
from bayplan.provisioning.consolidation.plan import plan
from bayplan.provisioning.consolidation.question import question
from bayplan.provisioning.consolidation.scene import Plan, Scene, with_margin
from bayplan.provisioning.demand import class_of
from tests.builders import (
    NOON,
    make_class,
    make_constraints,
    make_term,
    make_vector,
    make_waiting,
)
from tests.consolidation_scenes import (
    ZONES,
    answered,
    given_back,
    moves,
    offer,
    planned,
    pool_node,
    scene,
    settled,
)

BIG, SMALL = pool_node("big", 8000), pool_node("small", 2000)
APART = make_constraints(
    pod_anti_affinity=(PodTerm(make_term(app="web"), "kubernetes.io/hostname"),)
)


def run(name: str, node: str, seconds: int | None, **more: Any) -> Pod:
    """A run that began a minute ago and is expected to take so many seconds in all."""
    expected = {} if seconds is None else {EXPECTED_SECONDS: str(seconds)}
    stated = {
        "owner": "job",
        "owner_kind": "BatchJob",
        "annotations": expected,
        "ending": Ending(started_at=NOON - 60),
    }
    return settled(name, node, **{**stated, **more})


def two(pod: Pod, *others: Node | Pod | DaemonSet, **more: Any) -> Plan:
    """The plan for a big node with room, and a small node with this pod."""
    return planned(scene(BIG, SMALL, settled("a", "big", 3000), pod, *others, **more))


# -- what moves ------------------------------------------------------------------------------------


def test_a_node_whose_pods_have_room_elsewhere_is_given_back() -> None:
    found = two(settled("c", "small", 500))

    assert {"small"} == given_back(found)
    assert {"c": "big"} == moves(found)
    (group,) = found.groups
    assert (100_000, 2000) == (group.saving, group.cost)


def test_a_move_says_what_moves_and_as_what() -> None:
    pod = settled("c", "small", 500)

    (group,) = two(pod).groups
    (vacating,) = group.vacatings
    (move,) = vacating.moves

    assert ("small", "uid-small", 100_000) == (vacating.node, vacating.uid, vacating.price)
    assert (pod.key, pod.uid, "web") == (move.pod, move.uid, move.owner)
    assert class_of(pod) == move.kind


def test_nothing_is_done_where_every_node_is_full() -> None:
    full = [settled("x", "a", 2000), settled("y", "b", 2000)]

    assert () == planned(scene(pool_node("a", 2000), pool_node("b", 2000), *full)).groups


def test_an_empty_node_is_given_back_at_no_cost() -> None:
    found = planned(scene(BIG, SMALL, settled("a", "big", 3000)))

    assert {"small": ()} == {
        each.node: each.moves for group in found.groups for each in group.vacatings
    }
    assert [0] == [group.cost for group in found.groups]


def test_no_node_no_question() -> None:
    for node in (
        pool_node("a", ready=False),
        pool_node("a", unschedulable=True),
        pool_node("a", taints=(Taint(DRAINING, "moving"),)),
        pool_node("a", price_microdollars=None),
    ):
        assert question(scene(node)) is None


def test_dear_moves_are_not_made() -> None:
    """Ten moves of $0.02 each cost more than a cheap node saves in an hour."""
    pods = [settled(f"p{number}", "small", 100) for number in range(10)]
    seen = scene(BIG, SMALL, settled("a", "big", 3000), *pods, move_microdollars=20_000)

    assert set() == given_back(planned(seen))
    assert {"small"} == given_back(planned(replace(seen, terms=scene().terms)))


def test_pods_of_a_daemonset_and_of_each_node_do_not_keep_a_node() -> None:
    agents = [
        settled("agent-big", "big", 100, "agent", owner_kind="DaemonSet"),
        settled("agent-small", "small", 100, "agent", owner_kind="DaemonSet"),
        settled("log-small", "small", 100, "logs", annotations={PER_NODE: "true"}),
    ]

    found = two(settled("c", "small", 500), *agents)

    assert {"c": "big"} == moves(found)


def test_room_of_daemonset_pods_to_come_is_kept() -> None:
    agent = DaemonSet("kube-system", "agent", "agent", make_vector(3000))
    here = settled("agent-small", "small", 100, "agent", owner_kind="DaemonSet")

    assert {} == moves(two(settled("c", "small", 1000), agent, here, settled("b", "big", 1500)))


# -- who stays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "said"),
    [
        (settled("c", "small", 500, stays="volume logs (hostPath)"), "volume logs (hostPath)"),
        (settled("c", "small", 500, "lone", owner_kind="ReplicaSet"), "the only pod of"),
        (settled("c", "small", 500, "spark", owner_kind="SparkApplication"), "may not replace it"),
        (settled("c", "small", 500, constraints=make_constraints(claims=("d",))), "volume claim d"),
        (run("c", "small", None), "is a run of BatchJob job, which is not interrupted"),
        (run("c", "small", 4000), "is a run of BatchJob job, which is not interrupted"),
    ],
)
def test_a_node_that_cannot_go_for_one_pod_is_told(pod: Pod, said: str) -> None:
    found = two(pod)

    assert {} == moves(found)
    (told,) = found.blocked
    assert ("small", "default/c", 100_000) == (told.node, told.pod, told.price)
    assert said in told.reason


def test_a_node_that_a_person_keeps_is_told_with_its_reason() -> None:
    kept = replace(SMALL, kept="bayplan.dev/keep")
    found = planned(scene(BIG, kept, settled("a", "big", 3000), settled("c", "small", 500)))

    (told,) = found.blocked
    assert ("small", "", "is kept by its annotation bayplan.dev/keep") == (
        told.node,
        told.pod,
        told.reason,
    )


def test_several_pods_that_stay_are_counted() -> None:
    bare = settled("d", "small", 100, owner=None, owner_uid=None)
    found = two(run("c", "small", None, cpu=100), bare)

    assert found.blocked[0].reason.endswith("; the node has 1 more pod that stays")


def test_what_would_have_no_room_elsewhere_is_not_blocked() -> None:
    assert () == two(run("c", "small", None, cpu=1500), settled("b", "big", 4500)).blocked


def test_a_young_pod_stays_for_a_while_and_nobody_is_told() -> None:
    found = two(settled("c", "small", 500, placed_at=NOON - 60))

    assert ({}, ()) == (moves(found), found.blocked)


def test_a_young_node_stays() -> None:
    young = replace(SMALL, created_at=NOON - 60)

    assert {} == moves(
        planned(scene(BIG, young, settled("a", "big", 3000), settled("c", "small", 500)))
    )


def test_a_node_whose_pods_found_no_room_before_is_left_alone() -> None:
    seen = scene(BIG, SMALL, settled("a", "big", 3000), settled("c", "small", 500))

    assert {} == moves(planned(replace(seen, unproven=frozenset({"small"}))))


def test_a_run_that_may_be_interrupted_costs_the_work_that_is_lost() -> None:
    """An hour of half a node: $0.05."""
    mine = {"owner": "checkpointed", "ending": Ending(started_at=NOON - 3600)}
    seen = scene(BIG, SMALL, settled("a", "big", 3000), run("c", "small", None, cpu=1000, **mine))

    (group,) = planned(replace(seen, terms=replaced(seen, horizon_seconds=7200))).groups

    assert 52_000 == group.cost
    assert () == planned(replace(seen, terms=replaced(seen, horizon_seconds=600))).groups


def replaced(seen: Scene, **terms: int) -> Any:
    return seen.terms.model_copy(update=terms)


# -- runs ------------------------------------------------------------------------------------------


def test_a_node_whose_runs_end_soon_closes_without_moves() -> None:
    (group,) = two(run("c", "small", 660)).groups

    assert [("small", ())] == [(each.node, each.moves) for each in group.vacatings]
    assert 600 == group.empties_in


def test_a_run_that_is_late_is_expected_to_take_as_long_again() -> None:
    late = {"ending": Ending(started_at=NOON - 1000)}

    assert 400 == two(run("c", "small", 600, **late)).groups[0].empties_in
    late = {"ending": Ending(started_at=NOON - 10_000)}
    assert () == two(run("c", "small", 600, **late)).groups


def test_room_of_runs_that_end_is_not_free_now() -> None:
    """The big node has 7,500 in use for ten more minutes."""
    busy = run("b", "big", 600, cpu=4500)

    assert {} == moves(two(settled("c", "small", 1000), busy))


def test_what_is_saved_only_after_the_last_run_counts_less() -> None:
    """Half of $0.10 within the hour is not worth moves for $0.06 with their margin."""
    pods = [settled("c", "small", 100), run("d", "small", 1860, cpu=100)]
    seen = scene(BIG, SMALL, settled("a", "big", 3000), *pods, move_microdollars=40_000)

    assert {} == moves(planned(seen))
    ends = [settled("c", "small", 100), run("d", "small", 120, cpu=100)]
    sooner = scene(BIG, SMALL, settled("a", "big", 3000), *ends, move_microdollars=40_000)
    assert {"c": "big"} == moves(planned(sooner))


# -- who leaves ------------------------------------------------------------------------------------


def service(**on: int) -> list[Pod]:
    """So many instances of the service `web` on each node."""
    return [
        settled(f"{node}-{number}", node, 500)
        for node, count in on.items()
        for number in range(count)
    ]


def test_the_surplus_leaves_from_the_node_that_is_given_back() -> None:
    stays = settled("a", "big", 3000, "other")
    found = planned(scene(BIG, SMALL, stays, *service(big=3, small=2), wanted={"web": 3}))

    assert {"web": {"small": 2}} == found.departures
    assert {"small"} == given_back(found)
    assert {} == moves(found)
    assert 0 == found.ranks["small"]


def test_young_instances_leave_too() -> None:
    pods = [replace(pod, placed_at=NOON - 5) for pod in service(big=3, small=2)]
    seen = scene(BIG, SMALL, *pods, wanted={"web": 3})

    assert {"web": {"small": 2}} == planned(seen).departures
    assert {"web": {"small": 2}} == planned(replace(seen, leavers_only=True)).departures


def test_if_only_leavers_are_asked_nothing_moves() -> None:
    pods = [*service(big=3, small=2), settled("c", "small", 100, "other")]
    pods.append(settled("a", "big", 3000, "other"))
    seen = scene(BIG, SMALL, *pods, wanted={"web": 3})

    assert {"c": "big"} == moves(planned(seen))
    assert {} == moves(planned(replace(seen, leavers_only=True)))
    assert 2 == sum(planned(replace(seen, leavers_only=True)).departures["web"].values())


def test_instances_that_are_not_ready_leave_first_and_need_no_plan() -> None:
    pods = service(big=3, small=2)
    pods[0] = replace(pods[0], ready=False)

    found = planned(scene(BIG, SMALL, *pods, wanted={"web": 3}))

    assert {"web": 1} == {uid: sum(there.values()) for uid, there in found.departures.items()}


def test_instances_with_volumes_leave_by_their_number_not_by_plan() -> None:
    pods = [
        replace(pod, constraints=make_constraints(claims=(f"data-{pod.name}",)))
        for pod in service(big=3, small=2)
    ]

    assert {} == planned(scene(BIG, SMALL, *pods, wanted={"web": 3})).departures


def test_a_plan_of_departures_falls_if_there_are_fewer_too_many_by_now() -> None:
    seen = scene(BIG, SMALL, *service(big=3, small=2), wanted={"web": 3})
    asked, answer = answered(seen)

    assert {} == plan(asked, answer, replace(seen, wanted={"web": 5})).departures


def test_even_shares_hold_when_instances_leave() -> None:
    """One of each zone leaves, although both of one zone would free a node."""
    spread = Spread("topology.kubernetes.io/zone", make_term(app="web"))
    nodes = [pool_node("a", zone=ZONES[0]), pool_node("b", zone=ZONES[1])]
    pods = [
        replace(pod, constraints=make_constraints(spread=(spread,))) for pod in service(a=2, b=2)
    ]

    found = planned(scene(*nodes, *pods, wanted={"web": 2}))

    assert {"web": {"a": 1, "b": 1}} == found.departures


# -- what is bought --------------------------------------------------------------------------------


def halves() -> list[Node | Pod]:
    """Three nodes that are a quarter full."""
    nodes = [pool_node(name, 8000) for name in "abc"]
    return [*nodes, *(settled(f"p{name}", name, 2000) for name in "abc")]


def test_dear_nodes_are_replaced_by_a_cheaper_one() -> None:
    """6,000 milli-CPU: one of the nodes for $0.40 is dearer than a new one for $0.25."""
    found = planned(scene(*halves(), menu=[offer("m", 6000, 250_000)]))

    (group,) = found.groups
    assert {"a", "b", "c"} == given_back(found)
    assert {"pa": "~0", "pb": "~0", "pc": "~0"} == moves(found)
    assert 1_200_000 - 250_000 == group.saving
    assert [3] == [sum(order.pods.values()) for order in group.orders]
    assert 3 * 2000 + 20_834 == group.cost  # and five minutes of the new node


def test_a_new_node_that_saves_too_little_is_not_bought() -> None:
    assert (
        ()
        == planned(
            scene(pool_node("a"), settled("p", "a"), menu=[offer("m", 2000, 195_000)])
        ).groups
    )


def test_groups_are_small() -> None:
    """Each new node has the pods of few old nodes, and stands for itself with them."""
    nodes = [pool_node(f"n{number:02}", 8000) for number in range(12)]
    pods = [settled(f"p{number:02}", f"n{number:02}", 2000) for number in range(12)]

    found = planned(scene(*nodes, *pods, menu=[offer("m", 4000, 120_000)]))

    assert 12 == len(given_back(found))
    assert max(len(group.vacatings) for group in found.groups) <= 2


# -- what the real filters say ---------------------------------------------------------------------


def test_pods_that_shun_each_other_do_not_come_together() -> None:
    pods = [
        settled("a", "big", 500, constraints=APART),
        settled("c", "small", 500, constraints=APART),
    ]

    assert {} == moves(planned(scene(BIG, SMALL, *pods)))


def test_a_spread_over_nodes_looks_at_those_that_remain() -> None:
    """One pod on each of three nodes: with two nodes, two and one are even."""
    spread = Spread("kubernetes.io/hostname", make_term(app="web"))
    nodes = [pool_node(name) for name in "abc"]
    pods = [
        settled(f"p{name}", name, 1500, constraints=make_constraints(spread=(spread,)))
        for name in "abc"
    ]

    found = planned(scene(*nodes, *pods))

    assert 1 == len(given_back(found)) == len(moves(found))


def test_pods_that_are_even_stay_even() -> None:
    """When the planned room is taken, the other zone would do only while the old pod is there."""
    even = make_constraints(spread=(Spread("topology.kubernetes.io/zone", make_term(app="web")),))
    nodes = [pool_node("a1", 2000), pool_node("a2"), pool_node("b1", 8000, zone=ZONES[1])]
    where = {"p1": "a1", "p2": "a2", "p3": "b1", "p4": "b1"}
    pods = [settled(name, node, 500, constraints=even) for name, node in where.items()]
    kept = {"stays": "volume v (hostPath)"}
    full = [
        settled("x", "a2", 1500, "other", **kept),
        settled("y", "b1", 5000, "other", **kept),
    ]
    seen = scene(*nodes, *pods, *full)
    asked, answer = answered(seen)
    taken = Backlog(frozenset({"a2"}), {}, {make_class(2000): {"a2": 1}})

    assert {"p1": "a2"} == moves(plan(asked, answer, seen))
    later = plan(asked, answer, replace(seen, planned=taken))
    assert ({}, frozenset({"a1"})) == (moves(later), later.unproven)


def test_nodes_that_are_given_back_take_no_pods_of_each_other() -> None:
    seen = scene(
        BIG,
        SMALL,
        pool_node("other", 2000),
        settled("a", "big", 3000),
        settled("c", "small", 500),
        settled("d", "other", 500),
    )
    asked, answer = answered(seen)
    taken = Backlog(frozenset({"big"}), {}, {make_class(5000): {"big": 1}})

    assert {"c": "big", "d": "big"} == moves(plan(asked, answer, seen))
    assert {} == moves(plan(asked, answer, replace(seen, planned=taken)))


def test_what_is_refused_by_the_filters_is_unproven_and_stops_no_other() -> None:
    """A pod that shuns pods of another service is not known to the engine."""
    shuns = make_constraints(
        pod_anti_affinity=(PodTerm(make_term(app="loud"), "kubernetes.io/hostname"),)
    )
    things = [
        BIG,
        SMALL,
        pool_node("other", 2000),
        settled("a", "big", 3000, "loud"),
        settled("c", "small", 500, "quiet", constraints=shuns),
        settled("d", "other", 500),
    ]

    found = planned(scene(*things))

    assert {"d": "big"} == moves(found)
    assert {"small"} == found.unproven


def test_a_node_whose_pods_find_no_room_is_named_unless_instances_still_leave() -> None:
    """The pod shuns a service whose instance is on the other node: the engine does not know."""
    shuns = make_constraints(
        pod_anti_affinity=(PodTerm(make_term(app="loud"), "kubernetes.io/hostname"),)
    )
    things = [
        BIG,
        SMALL,
        settled("a", "big", 3000, "loud"),
        settled("c", "small", 500, "quiet", constraints=shuns),
    ]
    too_many = [settled(f"w{number}", "big", 100) for number in range(2)]

    assert {"small"} == planned(scene(*things)).unproven
    leaving = planned(scene(*things, *too_many, wanted={"web": 1}))
    assert ({}, frozenset()) == (moves(leaving), leaving.unproven)


def test_nothing_lands_on_a_node_that_is_given_back() -> None:
    nodes = [pool_node(name, 4000) for name in "abcd"]
    pods = [settled(f"p{name}", name, 900) for name in "abcd"]

    found = planned(scene(*nodes, *pods))

    assert 3 == len(given_back(found))
    assert given_back(found).isdisjoint(moves(found).values())


def test_room_that_is_held_for_others_is_not_used() -> None:
    seen = scene(BIG, SMALL, settled("a", "big", 3000), settled("c", "small", 1500))
    kind = make_class(6000)
    held = Backlog(frozenset({"big"}), {}, {kind: {"big": 1}})

    assert {"c": "big"} == moves(planned(seen))
    assert {} == moves(planned(replace(seen, planned=held)))


def test_room_that_is_held_for_pods_alike_is_not_used() -> None:
    """Held since the question, for other pods of the very class of the pod that would move."""
    seen = scene(BIG, SMALL, settled("a", "big", 3000), settled("c", "small", 1500))
    asked, answer = answered(seen)
    (kind,) = (
        move.kind
        for group in plan(asked, answer, seen).groups
        for vacating in group.vacatings
        for move in vacating.moves
    )
    full = replace(seen, planned=Backlog(held={kind: {"big": 3}}))
    roomy = replace(seen, planned=Backlog(held={kind: {"big": 2}}))

    assert {"c": "big"} == moves(plan(asked, answer, roomy))
    assert {} == moves(plan(asked, answer, full))


def test_room_for_what_is_expected_is_kept() -> None:
    """Headroom, or a run that begins soon, needs what the small node has free."""
    seen = scene(BIG, SMALL, settled("a", "big", 6500), settled("c", "small", 500))
    soon = make_waiting(make_class(1200), 1, "soon")

    assert {"c": "big"} == moves(planned(seen))
    assert {} == moves(planned(replace(seen, expected=[soon])))


def test_moves_within_an_hour_are_limited() -> None:
    nodes = [pool_node(name, 4000) for name in "abcd"]
    pods = [settled(f"p{name}", name, 900) for name in "abcd"]

    assert 2 == len(moves(planned(scene(*nodes, *pods, most_moves=2))))
    assert {} == moves(planned(scene(*nodes, *pods, most_moves=0)))


def test_what_has_changed_since_the_question_is_seen() -> None:
    """A pod that has come meanwhile, and may not move, keeps its node."""
    things = [BIG, SMALL, settled("a", "big", 3000), settled("c", "small", 500)]
    asked, answer = answered(scene(*things))

    came = scene(*things, run("r", "small", None, cpu=100))
    gone = scene(*things[:-1])

    assert () == plan(asked, answer, came).groups
    assert {"small"} == given_back(plan(asked, answer, gone))
    assert {} == moves(plan(asked, answer, gone))


def test_a_small_saving_for_a_large_pool_is_left() -> None:
    """Less than three thousandths of what the nodes cost is not worth a move."""
    full = [pool_node(f"f{number:02}", 8000, pods=1) for number in range(60)]
    pods = [settled(f"p{number:02}", f"f{number:02}", 8000) for number in range(60)]
    tiny = pool_node("tiny", 1000, price_microdollars=40_000)
    things = [*full, *pods, BIG, settled("a", "big", 3000), tiny, settled("c", "tiny", 500)]

    assert {} == moves(planned(scene(*things)))
    assert {"c": "big"} == moves(planned(scene(*things[-4:])))


def test_moves_that_were_made_for_the_same_pods_must_be_paid_too() -> None:
    """Another plan for the same pods mends the one before: it saves a hundred thousand an hour."""
    things = BIG, settled("a", "big", 3000), SMALL, settled("c", "small")

    assert {"c": "big"} == moves(planned(scene(*things, spent=60_000)))
    assert {} == moves(planned(scene(*things, spent=70_000)))


def test_what_costs_nothing_is_given_back_whatever_was_spent() -> None:
    found = planned(scene(BIG, SMALL, settled("a", "big", 3000), spent=1_000_000))

    assert {"small"} == given_back(found)


# -- ranks -----------------------------------------------------------------------------------------


def test_ranks_name_what_goes_next() -> None:
    """Of four equal nodes one is not needed with three quarters of the pods, and two with half."""
    nodes = [pool_node(name, 4000) for name in "abcd"]
    pods = [settled(f"p{name}{number}", name, 1000) for name in "abcd" for number in range(4)]
    seen = scene(*nodes, *pods)

    ranks = planned(seen).ranks

    assert [0, 1] == sorted(ranks.values())
    kept = planned(replace(seen, ranks={"a": 0, "b": 1})).ranks
    assert {"a", "b"} == set(kept)


def test_what_goes_now_has_the_first_ranks() -> None:
    found = two(settled("c", "small", 500))

    assert 0 == found.ranks["small"]


# -- the question ----------------------------------------------------------------------------------


def test_pods_that_are_alike_are_one_row() -> None:
    pods = [settled(f"p{number}", "big", 500, f"service-{number}") for number in range(5)]
    asked = question(scene(BIG, SMALL, *pods))

    assert asked is not None
    assert [[5], [0]] == asked.holding.held.tolist()
    assert [5] == asked.holding.wanted.tolist()


def test_a_move_costs_its_price_with_the_margin_in_each_hour_of_the_horizon() -> None:
    asked = question(scene(BIG, settled("a", "big"), horizon_seconds=1800))

    assert asked is not None
    assert [2 * with_margin(2000)] == asked.holding.move_price.tolist()


def test_a_node_that_was_to_go_leans_to_go() -> None:
    asked = question(replace(scene(BIG, SMALL), given_back={"small"}))

    assert asked is not None
    assert [0, 2000] == asked.holding.lean.tolist()
    assert [True, False] == asked.holding.former.tolist()


def test_room_is_what_pods_that_may_go_have() -> None:
    asked = question(scene(BIG, settled("a", "big", 1000), run("r", "big", 600, cpu=2000)))

    assert asked is not None
    assert 6000 == asked.holding.room[0, 0]
    assert np.array_equal([False], asked.holding.stays)
