"""Companions: a pod is placed with room for the pods it will make, and that room stays theirs."""

import dataclasses
from typing import Any

import pytest

from bayplan.model import resources, wording
from bayplan.model.companions import Companions
from bayplan.model.pods import Owner, Pod
from bayplan.model.reasons import Reason
from bayplan.model.state import State
from bayplan.model.workloads import Plan, Waiting
from bayplan.placement.solve import Policy, solve
from bayplan.scheduler import classes
from tests.builders import GIB, NOON, make_class, make_node, make_pod, make_state, make_waiting


def companions(cpu: int = 1000, count: int = 1, **more: Any) -> Companions:
    request = resources.Vector({"cpu": cpu, "memory": GIB, "pods": 1})
    return Companions(count, request, **more)


def driver(name: str, node: str = "", cpu: int = 1000, **more: Any) -> Pod:
    return make_pod(name, node, cpu, **{"companions": companions(), **more})


def executor(name: str, leader: str, node: str = "", cpu: int = 1000, **more: Any) -> Pod:
    owner = Owner("Pod", leader, f"uid-{leader}")
    return make_pod(name, node, cpu, memory=1, **{"owner": owner, **more})


def placed(book: State, **more: Any) -> Plan:
    """What one solve makes of all pods that wait."""
    waiting = classes.groups((), book.unplaced.values(), lambda _: None, book.aversions)
    return solve(book.snapshot(), waiting, NOON, Policy(), **more)


def test_without_companions_drivers_fill_the_cluster() -> None:
    """The deadlock: four drivers have a node, and no executor of any of them ever will."""
    drivers = [driver(f"d{at}", companions=None) for at in range(4)]
    book = make_state(make_node("a", 2000), make_node("b", 2000), *drivers)

    assert 4 == len(placed(book).placements)


def test_with_companions_as_many_drivers_start_as_can_work() -> None:
    """Two of the four, and the room of one executor is held for each."""
    nodes = [make_node("a", 2000), make_node("b", 2000)]
    plan = placed(make_state(*nodes, *(driver(f"d{at}") for at in range(4))))

    assert {("default", "d0"), ("default", "d1")} == plan.placements.keys()
    assert plan.placements.keys() == plan.rooms.keys()
    assert [1, 1] == [sum(room.values()) for room in plan.rooms.values()]
    [refused] = plan.refused
    assert 2 == len(refused.keys)


def test_a_driver_waits_for_room_for_all_of_its_companions() -> None:
    """All or nothing, wherever they may be; the funnel names what is lacking."""
    nodes = [make_node("a", 2000), make_node("b", 2000)]
    three = driver("d", companions=companions(count=3))
    four = driver("d", companions=companions(count=4))
    plan = placed(make_state(*nodes, four))

    assert {"a": 1, "b": 2} == placed(make_state(*nodes, three)).rooms["default", "d"]
    assert {} == plan.placements
    [refused] = plan.refused
    assert [(Reason.COMPANIONS, 2)] == [(one.reason, one.nodes) for one in refused.funnel.refusals]
    assert (
        "0/2 nodes: 2 without room left for its companions (4 × 1 cpu, 1Gi memory)"
        in wording.sentence(refused.funnel)
    )


def test_a_driver_leaves_the_only_node_that_holds_its_companion() -> None:
    """It would go to the larger node, which is in use; but its executor fits nowhere else."""
    book = make_state(
        make_node("large", 4000),
        make_node("small", 1000),
        make_pod("web", "large", 1000),
        driver("d", companions=companions(3000)),
    )
    plan = placed(book)

    assert {("default", "d"): "small"} == plan.placements
    assert {("default", "d"): {"large": 1}} == plan.rooms


def test_held_room_is_for_nobody_else() -> None:
    """A pod that would fit in it waits, and says that the room is held."""
    book = make_state(make_node("a", 2000), driver("d", "a"), make_pod("other"))
    plan = placed(book)

    assert {} == plan.placements
    assert [Reason.HELD] == [one.reason for one in plan.refused[0].funnel.refusals]


def test_the_executor_gets_the_room() -> None:
    """Before pods that have waited for longer; and what it was held for is over."""
    book = make_state(
        make_node("a", 2000),
        driver("d", "a"),
        make_pod("other", created_at=1),
        executor("e1", "d", created_at=2),
        executor("e2", "d", created_at=3),
    )
    plan = placed(book)

    assert {("default", "e1"): "a"} == plan.placements
    assert {} == plan.rooms


@pytest.mark.parametrize("cpu", [600, 1400])
def test_an_executor_of_another_size_gets_it_too(cpu: int) -> None:
    """The annotation says how much is held, not what the executors ask for."""
    book = make_state(
        make_node("a", 2500),
        driver("d", "a"),
        make_pod("other", cpu=1100, created_at=1),
        executor("e", "d", cpu=cpu, created_at=2),
    )

    assert "a" == placed(book).placements["default", "e"]


def test_room_is_held_again_when_an_executor_goes() -> None:
    """The driver can always go on: its executor was lost, and nobody takes the place meanwhile."""
    gone = executor("e", "d", "a")
    book = make_state(make_node("a", 2000), driver("d", "a"), gone)
    full = placed(book)
    book.set_pod(dataclasses.replace(gone, deleted_at=NOON))
    leaving = placed(book)
    book.drop_pod(gone.key)
    book.set_pod(make_pod("other"))
    plan = placed(book)

    assert ({}, {}) == (full.rooms, leaving.rooms)
    assert ({}, {("default", "d"): {"a": 1}}) == (plan.placements, plan.rooms)


@pytest.mark.parametrize("how", ["ends", "is deleted", "goes"])
def test_it_ends_with_the_driver(how: str) -> None:
    """Whether it has ended, is being deleted or is gone, the room is anybody's."""
    there = driver("d", "a")
    book = make_state(make_node("a", 2000), there, make_pod("other"))
    if how == "goes":
        book.drop_pod(there.key)
    elif how == "ends":
        book.set_pod(dataclasses.replace(there, phase=type(there.phase).SUCCEEDED))
    else:
        book.set_pod(dataclasses.replace(there, deleted_at=NOON))

    assert {("default", "other"): "a"} == placed(book).placements


def test_room_stays_on_its_node() -> None:
    """Where it was in the last solve, although another node is fuller by now."""
    book = make_state(make_node("a", 4000), make_node("b", 4000), driver("d", "a"))
    book.set_pod(make_pod("x", "b", 3000))
    book.set_pod(make_pod("other"))
    former = {("default", "d"): {"a": 1}}

    assert {("default", "d"): {"b": 1}} == placed(book).rooms
    assert former == placed(book, rooms=former).rooms


def test_companions_may_have_nodes_of_their_own() -> None:
    """`nodeSelector` in the annotation: a driver on demand, its executors on spot nodes."""
    spot = make_node("spot", 1000, labels={"capacity": "spot"})
    nodes = [make_node("a", 4000), spot]
    asked = companions(selector=(("capacity", "spot"),))
    plan = placed(make_state(*nodes, driver("d1", companions=asked)))

    assert {("default", "d1"): "a"} == plan.placements
    assert {("default", "d1"): {"spot": 1}} == plan.rooms


def test_a_bad_annotation_keeps_the_pod_waiting() -> None:
    """One sentence with the field; an autoscaler is not called, because no node would help."""
    bad = driver("d", companions=Companions(problem="count must be a whole number"))
    plan = placed(make_state(make_node("a"), make_node("b"), bad))

    assert {} == plan.placements
    assert "annotation bayplan.dev/companions: count must be a whole number" == wording.sentence(
        plan.refused[0].funnel
    )
    assert plan.refused[0].funnel.faulty


def test_a_gang_of_drivers_is_placed_whole() -> None:
    """With room for the companions of each of them, or not at all."""
    kind = make_class(1000, companions=companions(), placement=gang())
    book = make_state(make_node("a", 2000), make_node("b", 2000), make_node("c", 1000))

    def tried(count: int) -> Plan:
        waiting: list[Waiting] = [make_waiting(kind, count)]
        return solve(book.snapshot(), waiting, NOON, Policy())

    assert (2, 2) == (len(tried(2).placements), len(tried(2).rooms))
    assert (0, 0) == (len(tried(3).placements), len(tried(3).rooms))


def gang() -> Any:
    return dataclasses.replace(make_class().placement, gang=True)


def test_more_urgent_pods_do_not_wait_for_held_room() -> None:
    """As with all room that is kept for pods to come."""
    book = make_state(make_node("a", 2000), driver("d", "a"), make_pod("urgent", priority=5))
    plan = placed(book)

    assert {("default", "urgent"): "a"} == plan.placements
    assert {} == plan.rooms


def test_a_node_with_room_for_the_driver_alone_is_not_held_for_it() -> None:
    """A hold of a node would keep it empty, and help nobody."""
    run = make_pod("r", "a", 1000, owner_uid="j", owner_kind="BatchJob")
    book = make_state(make_node("a", 2000), run, driver("d", companions=companions(1500)))

    assert {} == placed(book).holds
