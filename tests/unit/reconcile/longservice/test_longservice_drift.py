"""Instances that break edited constraints: who counts, who moves, and how many an hour."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.api import names
from bayplan.api.longservice import Rebalance
from bayplan.model import intents
from bayplan.model.constraints import Operator, PlaceConstraint
from bayplan.model.nodes import HOSTNAME, Taint
from bayplan.model.pods import Constraints, Pod
from bayplan.model.workloads import PlacementRules
from bayplan.placement.solve import Policy, solve
from bayplan.reconcile.longservice import drift
from tests.builders import (
    NOON,
    make_class,
    make_node,
    make_pod,
    make_snapshot,
    make_term,
    make_waiting,
)
from tests.services import World, running

NODES = {
    "a1": make_node("a1", zone="a", labels={"size": "8"}),
    "a2": make_node("a2", zone="a", labels={"size": "16"}),
    "b1": make_node("b1", zone="b", labels={"size": "8.0"}),
    "c1": make_node("c1", zone="c"),
}


def make_instances(*nodes: str) -> list[Pod]:
    """One on each of these nodes, the first the oldest."""
    return [
        make_pod(f"web-{number}", node, created_at=NOON + number)
        for number, node in enumerate(nodes)
    ]


@pytest.mark.parametrize(
    ("operator", "key", "value", "nodes", "expected"),
    [
        ("Like", "zone", "[ab]", "a1 b1 c1", [2]),
        ("Like", "size", ".*", "a1 c1", [1]),
        ("Unlike", "size", "8", "a1 a2 c1", [0]),
        ("Is", "size", "8", "a1 a2 b1 c1", [1, 3]),
        ("Cluster", "zone", "b", "a1 b1", [0]),
        ("Cluster", "zone", "", "a1 b1 b1", [0]),
        ("Unique", "hostname", "", "a1 a1 b1 a1", [1, 3]),
        ("Unique", "size", "", "a1 c1", [1]),
        ("MaxPer", "zone", "2", "a1 a2 a1 b1", [2]),
        ("GroupBy", "zone", "2", "a1 a1 a2 b1", [2]),
        ("GroupBy", "zone", "999999999", "a1 b1 b1", [2]),
        ("GroupBy", "zone", "3", "a1 a1 b1 b1 c1", []),
        ("GroupBy", "zone", "3", "a1 a1 a1 a1 a1 b1 b1 c1 c1", [3, 4]),
        ("GroupBy", "zone", "", "a1 a1 a1", [1, 2]),
        ("GroupBy", "zone", "2", "a1 a1 b1 b1 c1", [4]),
    ],
)
def test_who_breaks_a_constraint(
    operator: str, key: str, value: str, nodes: str, expected: list[int]
) -> None:
    """As few as the others need; of a group with too many the youngest."""
    pods = make_instances(*nodes.split())
    wanted = [PlaceConstraint(key, Operator(operator), value)]

    found = drift.drifted(pods, NODES, wanted, len(pods))

    assert [f"web-{number}" for number in expected] == [pod.name for pod in found]


@pytest.mark.parametrize(
    "shut",
    [
        {"unschedulable": True},
        {"ready": False},
        {"taints": (Taint("dedicated", "ml"),)},
    ],
    ids=str,
)
def test_a_group_that_takes_nobody_is_none(shut: dict[str, Any]) -> None:
    """GroupBy without a number spreads over the groups that would take an instance."""
    nodes = {**NODES, "c1": replace(NODES["c1"], **shut)}
    pods = make_instances("a1", "b1")
    wanted = [PlaceConstraint("zone", Operator.GROUP_BY)]

    assert [] == drift.drifted([*pods], nodes, wanted, 2)


@given(
    operator=st.sampled_from([Operator.UNIQUE, Operator.MAX_PER, Operator.LIKE, Operator.IS]),
    placed=st.lists(st.sampled_from(sorted(NODES)), min_size=1, max_size=8),
)
def test_without_the_drifted_the_packer_would_place_the_same(
    operator: Operator, placed: list[str]
) -> None:
    """Law: the packer accepts each that stays beside the others, and the first that drifted not."""
    values = {Operator.MAX_PER: "2", Operator.LIKE: "[ab]", Operator.IS: "a"}
    one = PlaceConstraint("zone", operator, values.get(operator, ""))
    pods = [replace(pod, labels={"app": "web"}) for pod in make_instances(*placed)]
    gone = {pod.key for pod in drift.drifted(pods, NODES, [one], len(pods))}

    def accepts(pod: Pod) -> bool:
        kind = make_class(
            1,
            labels={"app": "web"},
            constraints=Constraints(selector=((HOSTNAME, pod.node),)),
            placement=PlacementRules((one,), peers=make_term(app="web")),
        )
        others = [other for other in pods if other.key not in {*gone, pod.key}]
        snapshot = make_snapshot(*NODES.values(), *others)
        return bool(solve(snapshot, [make_waiting(kind)], NOON, Policy()).placements)

    assert {pod.key for pod in pods} - gone == {pod.key for pod in pods if accepts(pod)}


UNIQUE = {"constraints": [{"key": "hostname", "operator": "Unique"}]}


def crowded(replicas: int = 4, nodes: int = 4, **spec: Any) -> World:
    """All instances on one node, and then the constraint that they be on one each."""
    world = running(replicas, nodes, **spec)
    for pod in world.standing():
        world.put(replace(pod, node="n0"))
    world.hear()
    world.edit(**spec, replicas=replicas, placement=UNIQUE)
    return world


def place(world: World) -> None:
    """What the packer would do: an instance that is new goes to a node without one."""
    taken = Counter(pod.node for pod in world.pods.values() if pod.ready)
    free = [name for name in world.nodes if not taken[name]]
    for pod in world.standing():
        if not pod.ready and free:
            world.put(replace(pod, node=free.pop(0)))


def step(world: World) -> intents.Outcome:
    """One cycle, and everybody else does their work."""
    outcome = world.act()
    place(world)
    world.work()
    world.hear()
    world.now += 1
    return outcome


def test_an_edit_moves_nobody_and_is_counted() -> None:
    """Without `rebalance` the status counts, nothing goes, and then nothing is written."""
    world = crowded()
    first = world.act()
    quiet = world.act()

    assert 3 == world.service.status["driftedReplicas"]
    assert ((), ()) == (first.tasks, first.deletes)
    assert intents.Outcome() == quiet


def test_without_constraints_there_is_no_count() -> None:
    """A service that asks for nothing has nothing to break."""
    assert "driftedReplicas" not in running(2).service.status


def test_the_move_is_stored_then_made_replacement_first() -> None:
    """Written down, then started elsewhere, then healthy, and only then the old one goes."""
    world = crowded(rebalance={"maxMovesPerHour": 1})
    stored, started = world.act(), world.act()
    unready = world.act()
    place(world)
    world.work()
    world.hear()
    gone = world.act()

    assert ((), ()) == (stored.tasks, stored.deletes)
    assert world.now + 1 == stored.wake_at
    assert ["Rebalancing"] == [event.reason for event in stored.events]
    assert (1, ()) == (len(started.tasks), started.deletes)
    assert ((), ()) == (unready.tasks, unready.deletes)
    moved = [move["uid"] for move in world.service.status["recentMoves"]]
    assert moved == [delete.uid for delete in gone.deletes]


def test_a_move_that_is_not_stored_is_not_made() -> None:
    """While the status cannot be written, nothing begins."""
    world = crowded(rebalance={"maxMovesPerHour": 2})
    world.status_lost = True
    outcomes = [world.act() for _ in range(3)]

    assert [((), ())] * 3 == [(one.tasks, one.deletes) for one in outcomes]


@pytest.mark.parametrize(("age", "count"), [(0, 1), (3599, 1), (3600, 2)])
def test_an_hour_is_an_hour(age: int, count: int) -> None:
    """A move counts for 3,600 seconds, also one that is over; then it is the next one's turn."""
    over = drift.Move("web-9", "uid-9", NOON - age).wire()
    candidates = make_instances("a1", "a1", "a1")
    rules = Rebalance(maxMovesPerHour=2)

    after = drift.moves({"recentMoves": [over]}, rules, candidates, NOON, calm=True)

    assert count == sum(move.begun_at == NOON for move in after.stored if move.uid != "uid-9")


def test_all_is_well_in_the_end() -> None:
    """An hour after the other, until each has its node; then nothing more is written."""
    world = crowded(rebalance={"maxMovesPerHour": 1})
    waits = 0
    for _ in range(60):
        outcome = step(world)
        if outcome == replace(intents.Outcome(), wake_at=outcome.wake_at) and outcome.wake_at:
            waits += 1
            world.now = max(world.now, outcome.wake_at)
    world.writes = 0
    step(world)

    assert 2 == waits
    assert [1] * 4 == list(Counter(pod.node for pod in world.standing()).values())
    assert (0, 0) == (world.service.status["driftedReplicas"], world.writes)


def test_one_trouble_at_a_time() -> None:
    """An instance that is not healthy, or a node that leaves, comes before any move."""
    for trouble in ("unready", "cordoned"):
        world = crowded(rebalance={"maxMovesPerHour": 2})
        if trouble == "cordoned":
            world.cordon("n0")
        else:
            world.put(replace(world.standing()[0], ready=False, ready_since=None))
            world.hear()
        world.act()

        assert "recentMoves" not in world.service.status, trouble


def test_constraints_taken_back_let_the_surplus_go() -> None:
    """A move that is no longer wanted leaves as many instances as there were."""
    world = crowded(rebalance={"maxMovesPerHour": 1})
    world.act()
    world.act()
    world.edit(replicas=4, placement={"constraints": []}, rebalance={"maxMovesPerHour": 1})
    world.settle()

    assert 4 == len(world.standing())


@pytest.mark.parametrize("moves", [7, "x", [1], [{}], [{"pod": "a", "uid": "b", "time": "now"}]])
def test_a_status_that_says_anything_harms_nothing(moves: object) -> None:
    """What cannot be read counts as no move."""
    world = crowded(rebalance={"maxMovesPerHour": 1})
    world.service = replace(world.service, status={**world.service.status, "recentMoves": moves})
    world.act()

    assert 1 == len(world.service.status["recentMoves"])


@given(
    data=st.data(),
    replicas=st.integers(1, 6),
    most=st.integers(1, 3),
    minimum=st.sampled_from([0, 50, 100]),
)
def test_never_more_an_hour_never_fewer_healthy(
    data: st.DataObject, replicas: int, most: int, minimum: int
) -> None:
    """Law: whatever time and news do, in any hour at most `most` go, with all replicas healthy."""
    rules = {"rebalance": {"maxMovesPerHour": most}}
    strategy = {"updateStrategy": {"minimumHealthyPercent": minimum}}
    world = crowded(replicas, 6, **rules, **strategy)
    begun: list[int] = []
    moved = 0
    for _ in range(30):
        outcome = world.act()
        healthy = sum(pod.ready and not pod.terminating for pod in world.pods.values())
        assert healthy >= replicas
        begun += [
            world.now
            for event in outcome.events
            if event.reason == "Rebalancing"
            for _ in event.message.partition(":")[0].split(", ")
        ]
        moved += len(outcome.deletes)
        assert all(sum(at - 3600 < other <= at for other in begun) <= most for at in begun)
        assert moved <= len(begun)
        if data.draw(st.booleans()):
            place(world)
        if data.draw(st.booleans()):
            world.work()
        world.hear(data.draw(st.sampled_from([None, None, 0, 1])))
        if data.draw(st.integers(0, 9)) == 0:
            world.restart()
        world.now += data.draw(st.sampled_from([0, 1, 900, 3599, 3600]))


def test_instances_outside_of_the_pool_are_counted() -> None:
    """`placement.pool` restarts nobody; who stands on another node counts as drifted."""
    world = running(3, 3)
    world.nodes["n0"] = replace(world.nodes["n0"], labels={names.POOL: "batch"})
    world.edit(replicas=3, placement={"pool": "batch"})
    outcome = world.act()

    outside = [pod for pod in world.standing() if pod.node != "n0"]
    assert ((), ()) == (outcome.tasks, outcome.deletes)
    assert 0 < len(outside) == world.service.status["driftedReplicas"]
