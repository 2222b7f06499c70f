"""More replicas, and losses, while an update gets no further: the revision that works gets them."""

from collections.abc import Collection
from typing import Any

import pytest

from bayplan.api import names
from bayplan.model.pods import Pod
from bayplan.reconcile.longservice.reconcile import STUCK_SECONDS
from tests.pernode import running_on_each
from tests.services import World, running
from tests.unit.reconcile.longservice.test_longservice_ordinals import CLAIMS


def cycles(world: World, count: int = 8, *, broken: Collection[str] = (), seconds: int = 0) -> None:
    """Instances of `broken` templates never get ready."""

    def works(pod: Pod) -> bool:
        return pod.terminating or pod.labels[names.TEMPLATE_HASH] not in broken

    for _ in range(count):
        world.now += seconds
        world.act()
        world.work([pod for pod in world.pods.values() if works(pod)])
        world.bind()
        world.hear()


def stuck(replicas: int = 4, **spec: Any) -> tuple[World, str, str]:
    """An update whose instances do not get ready; (world, old template, new template)."""
    world = running(replicas, 4, **spec)
    return stuck_of(world)


def stuck_of(world: World) -> tuple[World, str, str]:
    old = world.service.template_hash
    world.edit(image="web:2")
    new = world.service.template_hash
    cycles(world, broken={new})
    return world, old, new


def ready(world: World) -> int:
    return sum(pod.ready for pod in world.standing())


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        # As a Deployment with the same shares does (proportional scaling, 4 to 8).
        ({}, {"old": 8, "new": 2}),
        ({"minimumHealthyPercent": 50, "maximumSurgePercent": 0}, {"old": 4, "new": 4}),
        ({"minimumHealthyPercent": 50, "maximumSurgePercent": 25}, {"old": 4, "new": 6}),
        ({"minimumHealthyPercent": 100, "maximumSurgePercent": 0}, {"old": 8, "new": 1}),
    ],
)
def test_growth_goes_to_the_revision_that_works(
    rules: dict[str, int], expected: dict[str, int]
) -> None:
    world, old, new = stuck(updateStrategy=rules)
    world.edit(replicas=8)
    cycles(world, broken={new})

    assert expected == {"old": world.images()[old], "new": world.images()[new]}
    assert world.service.status["availableReplicas"] == expected["old"]


def test_an_update_that_gets_ready_after_it_was_scaled_ends_on_the_new_template() -> None:
    world, _, new = stuck()
    world.edit(replicas=8)
    cycles(world, broken={new})
    least = []
    for _ in range(40):
        cycles(world, 1)
        least.append(ready(world))
    world.settle()

    assert 8 <= min(least)
    assert {new: 8} == world.images()


def test_growth_goes_to_the_new_template_once_one_of_it_is_healthy() -> None:
    """It is known to work: nothing is made that would have to go again."""
    world, old, new = stuck()
    world.work()
    world.hear()
    world.edit(replicas=8)
    outcome = world.act()

    assert {new} == {task.labels[names.TEMPLATE_HASH] for task in outcome.tasks}
    assert 4 >= world.images()[old]


def test_scaled_in_the_same_edit_the_old_revision_grows_once_the_new_one_is_stuck() -> None:
    """Those that do not get ready within a minute make room, but for the update's own share."""
    world = running(4)
    old = world.service.template_hash
    world.edit(image="web:2", replicas=8)
    new = world.service.template_hash
    cycles(world, broken={new})
    before = world.images()
    cycles(world, seconds=STUCK_SECONDS // 4, broken={new})

    assert {old: 4, new: 6} == before
    assert {old: 8, new: 2} == world.images()
    assert 8 == world.service.status["availableReplicas"]


def test_scaled_in_the_same_edit_a_new_template_that_works_is_all_there_is_made() -> None:
    world = running(4)
    world.edit(image="web:2", replicas=8)
    made = []
    for _ in range(40):
        made += [task.labels[names.TEMPLATE_HASH] for task in world.act().tasks]
        world.work()
        world.hear()

    assert {world.service.template_hash} == set(made)
    assert {world.service.template_hash: 8} == world.images()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, {"old": 4, "new": 1}),
        ({"minimumHealthyPercent": 50, "maximumSurgePercent": 0}, {"old": 2, "new": 2}),
    ],
)
def test_fewer_replicas_take_those_that_are_not_ready(
    rules: dict[str, int], expected: dict[str, int]
) -> None:
    """The service is no larger than it may be, and the healthy minimum holds at each step."""
    world, old, new = stuck(8, updateStrategy=rules)
    minimum = 4 * rules.get("minimumHealthyPercent", 100) // 100
    world.edit(replicas=4)
    for _ in range(6):
        cycles(world, 1, broken={new})
        assert ready(world) >= minimum

    assert expected == {"old": world.images()[old], "new": world.images()[new]}


def test_what_is_lost_of_the_old_revision_is_made_of_it() -> None:
    world, old, new = stuck()
    world.drop(next(pod for pod in world.standing() if pod.ready))
    world.hear()
    cycles(world, 3, broken={new})

    assert (4, 4) == (world.images()[old], ready(world))


def test_steps_count_of_the_new_number_and_the_rest_grows() -> None:
    """A quarter of eight may have the new template; all that must be healthy are the old one's."""
    steps = [{"percent": 25, "pauseSeconds": 86_400}]
    world, old, new = stuck(updateStrategy={"steps": steps})
    world.edit(replicas=8)
    cycles(world, broken={new})

    assert {old: 8, new: 2} == world.images()
    cycles(world, 12)
    assert {old: 6, new: 2} == world.images()


def test_a_paused_update_grows_by_the_old_revision() -> None:
    world, old, new = stuck()
    rules = {"paused": True}
    world.edit(replicas=8, updateStrategy=rules)
    cycles(world, broken={new})

    assert {old: 8, new: 1} == world.images()


def test_a_new_ordinal_gets_the_revision_that_works() -> None:
    """One place may be without; whoever comes beyond it gets what is known to run."""
    world, old, new = stuck(**CLAIMS)
    world.edit(replicas=8)
    cycles(world, broken={new})
    before = world.images()
    cycles(world, 60)

    assert {old: 7, new: 1} == before
    assert {new: 8} == world.images()


def test_a_new_node_gets_the_revision_that_works() -> None:
    world, old, new = stuck_of(running_on_each(4))
    for name in ("n7", "n8"):
        world.label(name, "web")  # type: ignore[attr-defined]
    cycles(world, broken={new})
    before = world.images()
    cycles(world, 60)

    assert {old: 5, new: 1} == before
    assert {new: 6} == world.images()
