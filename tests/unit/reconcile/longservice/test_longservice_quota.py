"""An update under a full quota: the old instances are what fills it, so they go first."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.model import intents
from bayplan.model.pods import Pod
from tests.builders import NOON
from tests.pernode import running_on_each
from tests.services import World, accepted, refused, running
from tests.unit.reconcile.longservice.test_longservice_ordinals import CLAIMS

WORDS = 'pods "web" is forbidden: exceeded quota: few'
DEADLINE = 600

Worlds = Callable[..., World]


def half(**spec: Any) -> World:
    rules = {"minimumHealthyPercent": 50, "maximumSurgePercent": 0}
    return running(4, updateStrategy={**rules, **spec.pop("updateStrategy", {})}, **spec)


def ordinals(**spec: Any) -> World:
    return running(4, **CLAIMS, **spec)


def per_node(**spec: Any) -> World:
    return running_on_each(4, **spec)


def limited(world: World, pods: int, word: str = "QuotaExceeded") -> None:
    """What the dry run says where so many pods may be there, terminating ones included."""
    held = sum(not pod.terminal for pod in world.pods.values())
    world.admission = (
        replace(refused(world.service, word), message=WORDS, retry_at=NOON + 10**6)
        if held >= pods
        else accepted(world.service)
    )


def play(
    world: World,
    pods: int,
    *,
    rounds: int = 60,
    seconds: int = 0,
    working: Callable[[Pod], bool] = lambda _: True,
) -> list[int]:
    """Cycles under the quota; how many were ready after each. The quota is never exceeded."""
    ready = []
    for _ in range(rounds):
        world.now += seconds
        limited(world, pods)
        world.act()
        assert sum(not pod.terminal for pod in world.pods.values()) <= pods
        world.work([pod for pod in world.pods.values() if pod.terminating or working(pod)])
        world.hear()
        ready.append(sum(pod.ready for pod in world.standing()))
    return ready


@pytest.mark.parametrize(("make", "least"), [(half, 2), (ordinals, 3), (per_node, 3)])
def test_an_update_frees_its_own_quota(make: Worlds, least: int) -> None:
    """Within the healthy minimum the old one goes first, whatever the dry run said before."""
    world = make()
    world.edit(image="web:2")

    ready = play(world, 4)

    assert {world.service.template_hash: 4} == world.images()
    assert least <= min(ready)
    assert world.service.status["currentRevision"] == world.service.status["updateRevision"]


@pytest.mark.parametrize("word", ["TemplateRefused", "InvalidTemplate"])
@pytest.mark.parametrize("make", [half, ordinals, per_node])
def test_another_refusal_ends_nobody(make: Worlds, word: str) -> None:
    """A policy, a LimitRange, a schema: waiting frees nothing, so nothing goes."""
    world = make()
    world.edit(image="web:2")
    limited(world, 4, word)

    outcome = world.act()
    world.now += DEADLINE + 1

    assert () == (*outcome.deletes, *outcome.tasks, *world.act().deletes)
    assert f"False:{word}" == world.condition("Progressing")


def test_where_nothing_may_go_the_deadline_runs_and_says_so() -> None:
    """All have to stay healthy and the quota has no room for one more."""
    world = running(4, updateStrategy={"autoRollback": False})
    world.edit(image="web:2")
    limited(world, 4)
    early = world.act()
    told = world.condition("Progressing")
    wake_at = early.wake_at
    for _ in range(9):
        if world.condition("Progressing") != told or wake_at is None:
            break
        world.now = wake_at
        limited(world, 4)
        wake_at = world.act().wake_at

    assert "False:QuotaExceeded" == told
    assert "False:ProgressDeadlineExceeded" == world.condition("Progressing")
    assert "exceeded quota: few" in world.message("Progressing")
    assert NOON + 1000 + DEADLINE <= world.now
    assert 4 == len(world.standing())


def test_an_update_without_any_room_is_given_up() -> None:
    """With the quota's words; the instances that run are not touched."""
    world = running(4)
    before = {pod.uid for pod in world.standing()}
    world.edit(image="web:2")
    play(world, 4, rounds=DEADLINE // 10 + 2, seconds=10)

    assert before == {pod.uid for pod in world.standing()}
    assert "False:RolledBack" == world.condition("Ready")
    assert "exceeded quota: few" in world.message("Ready")
    assert "QuotaExceeded" == world.service.status["badRevisions"][0]["reason"]


@pytest.mark.parametrize(("make", "least"), [(half, 2), (ordinals, 3), (per_node, 3)])
def test_what_the_quota_can_never_hold_costs_no_more_than_the_minimum(
    make: Worlds, least: int
) -> None:
    """As many go as may, none is made, and after the deadline all of the old ones are back."""
    world = make()
    world.edit(image="web:2")
    counts = []
    for _ in range(DEADLINE // 10 + 10):
        world.now += 10
        limited(world, 0)
        world.act()
        world.work()
        world.hear()
        counts.append(len(world.standing()))

    assert least == min(counts)
    assert (4, 1) == (len(world.standing()), len(world.images()))
    assert world.service.template_hash not in world.images()
    assert "False:RolledBack" == world.condition("Ready")


@pytest.mark.parametrize(("make", "least"), [(half, 2), (ordinals, 3), (per_node, 3)])
def test_what_is_lost_meanwhile_is_made_of_the_old_revision(make: Worlds, least: int) -> None:
    """Up to the healthy minimum: the service does not shrink further while it waits."""
    world = make()
    world.edit(image="web:2")
    for _ in range(4):
        limited(world, 0)
        world.act()
        world.work()
        world.hear()
    world.drop(world.standing()[0])
    world.hear()
    limited(world, 0)
    lost = len(world.standing())
    world.act()
    world.hear()

    assert (least - 1, least) == (lost, len(world.standing()))
    assert world.service.template_hash not in world.images()


def test_the_first_update_of_all_waits_for_its_quota() -> None:
    """Nothing ran before: no pod is made while it is refused, and the deadline runs."""
    world = running(2)
    world.service = replace(world.service, status={})
    for pod in world.standing():
        world.drop(pod)
    world.children.clear()
    world.hear()
    limited(world, 0)
    world.act()
    world.now += DEADLINE
    limited(world, 0)
    world.act()

    assert {} == world.images()
    assert "False:ProgressDeadlineExceeded" == world.condition("Progressing")


def test_a_restart_goes_on_under_a_full_quota() -> None:
    """`restarted-at` asks for a new revision of the same template; a refused CREATE tells."""
    world = half()
    before = {pod.uid for pod in world.standing()}
    world.annotate(**{names.RESTARTED_AT: "t1"})
    ready = play(world, 4)

    assert 2 <= min(ready)
    assert not before & {pod.uid for pod in world.standing()}
    assert 4 == len(world.standing())


def test_more_replicas_under_a_full_quota_end_nobody() -> None:
    """Without an update there is nobody who may go: it waits and says why."""
    world = half()
    world.edit(replicas=6)
    limited(world, 4)
    outcome = world.act()

    assert ((), ()) == (outcome.tasks, outcome.deletes)
    assert "False:QuotaExceeded" == world.condition("Ready")
    assert intents.Outcome(wake_at=outcome.wake_at) == world.act()
