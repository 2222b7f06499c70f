"""Instances that do not become ready, and the brake when much of the cluster falls silent."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.reconcile import mass_loss
from tests.builders import NOON, make_node
from tests.services import World, running


def turn_unready(world: World, *which: int) -> None:
    for index in which:
        pod = world.standing()[index]
        world.put(replace(pod, ready=False, ready_since=world.now))
    world.hear()


def cycle(world: World) -> None:
    """New pods become ready, sick ones do not; what terminates goes."""
    world.work([pod for pod in world.pods.values() if pod.terminating or not pod.ready_since])
    world.hear()
    world.act()


def test_replacement_comes_first() -> None:
    """After `replaceAfterSeconds`, not before, one more starts; the sick one goes once it is up."""
    world = running(3, unhealthy={"replaceAfterSeconds": 60})
    turn_unready(world, 0)
    sick = world.standing()[0].name
    world.now += 59
    early = world.act().tasks
    world.now += 1
    due = world.act()
    before = [pod.name for pod in world.standing()]
    for _ in range(3):
        cycle(world)

    assert () == early
    assert (1, ()) == (len(due.tasks), due.deletes)
    assert sick in before
    assert 4 == len(before)
    assert sick not in [pod.name for pod in world.standing()]
    assert "True:Ready" == world.condition("Ready")


def test_all_unready_are_replaced_a_few_at_a_time() -> None:
    """However many are sick, no more than `maxConcurrent` replacements run beside them."""
    world = running(
        6,
        unhealthy={"replaceAfterSeconds": 60, "maxConcurrent": 2},
        updateStrategy={"maximumSurgePercent": 100},
    )
    turn_unready(world, *range(6))
    world.now += 60
    most = 0
    for _ in range(12):
        cycle(world)
        most = max(most, len(world.standing()))

    assert 8 == most
    assert 6 == len(world.standing())
    assert all(pod.ready for pod in world.standing())


def test_replacements_that_fail_too_are_no_stampede() -> None:
    """While the replacement does not get ready either, nothing more starts and nobody goes."""
    world = running(3, unhealthy={"replaceAfterSeconds": 60})
    turn_unready(world, 0, 1, 2)
    world.now += 60
    world.act()
    for _ in range(5):
        world.hear()
        world.act()

    assert 4 == len(world.standing())


def test_one_that_recovers_stays() -> None:
    """A sick one that is ready again before its replacement is: the surplus goes."""
    world = running(3, unhealthy={"replaceAfterSeconds": 60})
    turn_unready(world, 0)
    sick = world.standing()[0]
    world.now += 60
    world.act()
    world.put(replace(sick, ready=True, ready_since=world.now))
    world.settle()

    assert sick.name in [pod.name for pod in world.standing()]
    assert 3 == len(world.standing())


def test_scaled_to_none_all_go_at_once() -> None:
    """A sick instance does not wait for a new one that is surplus itself."""
    world = running(3, unhealthy={"replaceAfterSeconds": 60})
    turn_unready(world, 0)
    world.now += 60
    world.put(replace(world.standing()[1], ready=False, ready_since=world.now))
    world.hear()
    world.edit(replicas=0)
    world.act()

    assert [] == world.standing()


def test_without_a_limit_unready_instances_stay() -> None:
    """Unset `replaceAfterSeconds`: kubelets restart, nobody replaces."""
    world = running(3)
    turn_unready(world, 0)
    world.now += 10_000

    assert () == world.act().tasks


def silence(world: World, count: int) -> None:
    for index in range(count):
        world.silence(f"n{index}")
    world.hear()


def test_many_silent_nodes_stop_everything_for_ten_minutes() -> None:
    """3 of 10 nodes at once: nothing is replaced or scaled down, until time says they are lost."""
    world = running(10, nodes=10)
    silence(world, 3)
    world.now += 599
    world.edit(replicas=9)
    held = world.act()
    told = world.condition("Ready"), world.condition("Progressing")
    wakes = held.wake_at
    world.now += 1
    world.act()

    assert ((), ()) == (held.tasks, held.deletes)
    assert ("False:MassLossBrake", "Unknown:MassLossBrake") == told
    assert world.now == wakes
    assert 2 == len(world.last.tasks)


def test_two_silent_nodes_of_ten_are_replaced() -> None:
    """20 % and no more: replaced after `unreachable.replaceAfterSeconds`."""
    world = running(10, nodes=10)
    silence(world, 2)
    lost = sum(pod.node in {"n0", "n1"} for pod in world.standing())
    world.now += 60

    assert lost == len(world.act().tasks) > 0


def test_a_person_lets_one_service_go_on() -> None:
    """The annotation `ignore-mass-loss: "true"` takes the brake off this service."""
    world = running(10, nodes=10)
    silence(world, 3)
    world.now += 60
    held = world.act().tasks
    world.annotate(**{names.IGNORE_MASS_LOSS: "true"})

    assert () == held
    assert world.act().tasks


def test_holes_are_filled_in_spite_of_the_brake() -> None:
    """An instance that is certainly gone comes back; an update fills with what is known to work."""
    world = running(10, nodes=10)
    old = world.service.template_hash
    silence(world, 3)
    world.edit(image="web:2")
    world.drop(next(pod for pod in world.standing() if pod.ready))
    world.hear()
    world.act()

    assert [old] == [task.labels[names.TEMPLATE_HASH] for task in world.last.tasks]
    assert () == world.last.deletes


def test_the_brake_does_not_surge() -> None:
    """An update's old instance that is going on a silent node still runs: none starts."""
    bounds = {"minimumHealthyPercent": 0, "maximumSurgePercent": 0}
    world = running(1, nodes=4, updateStrategy=bounds)
    [old] = world.standing()
    world.edit(image="web:2")
    world.silence(old.node)
    world.hear()
    world.act()
    for name in [name for name in world.nodes if name != old.node][:2]:
        world.silence(name)
    world.hear()
    world.act()

    assert world.pods[old.key].terminating
    assert () == world.last.tasks


@pytest.mark.parametrize(
    ("silent", "total", "more", "expected"),
    [
        (3, 14, {}, 600),
        (3, 15, {}, None),  # 20 % is not more than 20 %
        (2, 4, {}, None),  # too few to speak of the cluster
        (4, 14, {}, 600),
        (3, 10, {"created_at": NOON - 5}, None),  # they never were ready
    ],
)
def test_brake(silent: int, total: int, more: dict[str, Any], expected: int | None) -> None:
    """More than 20 % and at least three, fallen silent within ten minutes."""
    gone = [
        make_node(f"s{index}", ready=False, ready_changed_at=NOON, **more)
        for index in range(silent)
    ]
    well = [make_node(f"w{index}") for index in range(total - silent)]
    until = mass_loss.braked_until([*gone, *well], NOON)

    assert (None if expected is None else NOON + expected) == until


def test_brake_ends_when_enough_are_old() -> None:
    """What fell silent earlier leaves the window earlier; the rest may be few enough by then."""
    gone = [
        make_node(f"s{index}", ready=False, ready_changed_at=NOON - 100 * index)
        for index in range(4)
    ]
    well = [make_node(f"w{index}") for index in range(6)]

    assert NOON - 200 + 600 == mass_loss.braked_until([*gone, *well], NOON)
