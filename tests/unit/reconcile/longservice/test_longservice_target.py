"""Updates that wait, fail, go back: pause, canary steps, deadline, rollback."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.longservice_status import LongServiceStatus
from bayplan.model.pods import Ending, Phase, Pod
from bayplan.model.reasons import Funnel, Nearest, Reason, Refusal
from bayplan.reconcile.view import NoRoom
from tests.services import World, running


def strategy(**more: Any) -> dict[str, Any]:
    return {"updateStrategy": {"maximumSurgePercent": 50, **more}}


def hashes(world: World) -> list[int]:
    return sorted(world.images().values())


def go_on(
    world: World,
    rounds: int = 30,
    working: Callable[[Pod], bool] = bool,
) -> None:
    """Some cycles in which kubelets start what `working` says; time stands still."""
    for _ in range(rounds):
        world.work([pod for pod in world.pods.values() if pod.terminating or working(pod)])
        world.hear()
        world.act()


def update_of(world: World) -> str:
    return str(world.service.status["updateRevision"])


def broken(world: World) -> Callable[[Pod], bool]:
    """Kubelets start everything but pods of the spec's present template."""
    bad = world.service.template_hash
    return lambda pod: pod.labels[names.TEMPLATE_HASH] != bad


def test_pause_holds_what_is_and_repairs_go_on() -> None:
    """A paused update starts nothing new; a lost instance comes back in its old template."""
    world = running(4, **strategy())
    world.edit(image="web:2")
    world.act()
    world.work()
    world.hear()
    world.edit(**strategy(paused=True))
    go_on(world)
    held = hashes(world)
    old = next(pod for pod in world.standing() if broken(world)(pod))
    world.drop(old)
    go_on(world)
    repaired = hashes(world)
    paused = world.condition("Progressing")
    world.edit(**strategy())
    world.settle()

    assert [2, 2] == held == repaired
    assert "Unknown:Paused" == paused
    assert {world.service.template_hash: 4} == world.images()


def test_scaling_goes_on_while_paused() -> None:
    """More replicas in a paused update get the old template."""
    world = running(4, **strategy())
    world.edit(image="web:2", **strategy(paused=True))
    go_on(world)
    world.edit(replicas=6)
    go_on(world)

    assert {4 + 2} == set(world.images().values())
    assert world.service.template_hash not in world.images()


def test_a_cordoned_node_is_emptied_while_paused() -> None:
    """A pause holds no drain up: the old ones there move, in their old template."""
    world = running(4, nodes=4, **strategy())
    old = world.service.template_hash
    world.edit(image="web:2", **strategy(paused=True))
    go_on(world, 3)
    node = world.standing()[0].node
    world.cordon(node)
    go_on(world)

    assert {old: 4} == world.images()
    assert node not in {pod.node for pod in world.standing()}


def test_a_paused_update_gets_no_further_by_moving() -> None:
    """New ones on a cordoned node move, and are as many as before."""
    world = running(6, nodes=6, **strategy())
    world.edit(image="web:2")
    world.act()
    world.work()
    world.hear()
    world.edit(**strategy(paused=True))
    go_on(world)
    held, new = world.images(), world.service.template_hash
    node = next(pod for pod in world.standing() if pod.labels[names.TEMPLATE_HASH] == new).node
    world.cordon(node)
    go_on(world)

    assert 0 < held[new] < 6
    assert held == world.images()
    assert node not in {pod.node for pod in world.standing()}


def test_first_start_knows_no_pause() -> None:
    """A pause holds updates; a service that never ran starts."""
    world = running(3, **strategy(paused=True))

    assert "True:Ready" == world.condition("Ready")


def test_steps_wait_for_time_and_for_people() -> None:
    """10 % for 60 s, then half until promoted, then all."""
    steps = [{"percent": 10, "pauseSeconds": 60}, {"percent": 50, "manual": True}]
    world = running(10, **strategy(steps=steps))
    new = world.edit(image="web:2") or world.service.template_hash
    shares = []
    for happens in (
        lambda: None,
        lambda: setattr(world, "now", world.now + 59),
        lambda: setattr(world, "now", world.now + 1),
        lambda: setattr(world, "now", world.now + 5000),
        lambda: world.annotate(**{names.PROMOTE: "one"}),
    ):
        happens()
        go_on(world, 60)
        shares.append((world.images().get(new, 0), world.condition("Progressing")))

    assert [
        (1, "Unknown:StepReached"),
        (1, "Unknown:StepReached"),
        (5, "Unknown:StepReached"),
        (5, "Unknown:StepReached"),
        (10, "True:RolledOut"),
    ] == shares


def test_an_old_promotion_passes_no_step() -> None:
    """A token that was there before the update began lets nothing pass."""
    world = running(4, **strategy(steps=[{"percent": 25, "manual": True}]))
    world.annotate(**{names.PROMOTE: "old"})
    world.edit(image="web:2")
    go_on(world)

    assert 1 == world.images()[world.service.template_hash]


def test_update_without_progress_goes_back() -> None:
    """No progress for 600 s: the last good revision again, the reason kept; nothing follows."""
    world = running(4, **strategy())
    good = update_of(world)
    world.edit(image="broken")
    started = broken(world)
    go_on(world, working=started)
    bad = update_of(world)
    world.now += 599
    go_on(world, working=started)
    before = update_of(world)
    world.now += 1
    go_on(world, working=started)
    events = [event.reason for event in world.last.events]
    status = json.loads(json.dumps(world.service.status))
    world.writes = 0
    world.now += 5000
    go_on(world)

    assert bad == before
    assert good == update_of(world) == world.service.status["currentRevision"]
    assert [(bad, "ProgressDeadlineExceeded")] == [
        (one["revision"], one["reason"]) for one in status["badRevisions"]
    ]
    assert "False:RolledBack" == world.condition("Ready") == world.condition("Progressing")
    assert "True:RolledBack" == world.condition("Stalled")
    assert "True:MinimumHealthy" == world.condition("Available")
    assert world.service.template_hash not in world.images()
    assert [] == events
    assert 0 == world.writes
    assert status == LongServiceStatus.model_validate(status).model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )


def test_the_crash_is_the_reason() -> None:
    """What is kept of a failed update is its crash, with the exit code; told once."""
    world = running(4, **strategy())
    world.edit(image="broken")
    world.act()
    world.hear()
    for pod in world.standing():
        if not pod.ready:
            crash = Ending(exit_code=3, finished_at=world.now, restarts=5)
            world.put(replace(pod, phase=Phase.RUNNING, ending=crash))
    world.hear()
    world.act()
    world.now += 600
    events = [(one.reason, "exit code 3" in one.message) for one in world.act().events]

    assert ("RolledBack", True) in events
    assert "InstancesFailing" == world.service.status["badRevisions"][0]["reason"]


def test_next_template_is_the_next_try() -> None:
    """After a roll-back another template is rolled out, and so is the same one restarted."""
    world = running(2, **strategy())
    world.edit(image="broken")
    go_on(world, working=broken(world))
    world.now += 600
    go_on(world, working=broken(world))
    back = world.condition("Ready")
    world.annotate(**{names.RESTARTED_AT: "again"})
    go_on(world)
    again = world.images()[world.service.template_hash]
    world.edit(image="fixed")
    world.settle()

    assert "False:RolledBack" == back
    assert 2 == again
    assert {world.service.template_hash: 2} == world.images()
    assert "True:Ready" == world.condition("Ready")


def test_without_auto_rollback_it_goes_on_trying() -> None:
    """`autoRollback: false` says that the deadline has passed, and nothing else."""
    world = running(2, **strategy(autoRollback=False))
    world.edit(image="broken")
    go_on(world, working=broken(world))
    world.now += 600
    go_on(world, working=broken(world))

    assert "False:ProgressDeadlineExceeded" == world.condition("Progressing")
    assert "badRevisions" not in world.service.status
    assert world.service.template_hash in world.images()


@pytest.mark.parametrize("stripped", [False, True])
def test_rollback_to_holds_until_the_template_changes(*, stripped: bool) -> None:
    """`rollback-to` brings a kept revision back; taking it off, or leaving it, changes nothing."""
    world = running(3, **strategy())
    first, template = update_of(world), world.service.template_hash
    world.edit(image="web:2")
    world.settle()
    second = world.service.template_hash
    world.annotate(**{names.ROLLBACK_TO: first})
    world.settle()
    back = (world.images(), world.condition("Ready"), world.service.status["pinnedRevision"])
    if stripped:
        world.annotate()
    world.settle()
    stays = world.images()
    world.edit(image="web:3")
    world.settle()

    assert ({template: 3}, "True:Ready", first) == back
    assert {template: 3} == stays
    assert {world.service.template_hash: 3} == world.images()
    assert second != world.service.template_hash
    assert "pinnedRevision" not in world.service.status


def test_rollback_to_before_a_restart_of_the_same_template() -> None:
    """Revisions that differ by a restart alone are one template: steps hold, at each look."""
    world = running(4, **strategy())
    first = update_of(world)
    world.annotate(**{names.RESTARTED_AT: "t1"})
    world.settle()
    second = update_of(world)
    world.edit(**strategy(steps=[{"percent": 25, "manual": True}]))
    world.annotate(**{names.ROLLBACK_TO: first})
    went = world.act()
    again = world.act()

    assert first != second
    assert first == update_of(world)
    assert 1 == len(went.tasks)
    assert ((), ()) == (again.tasks, again.deletes)


def test_a_rollback_that_first_lets_an_instance_go_is_not_forgotten() -> None:
    """Also of one template and with nothing to make yet: the verb is done with once it holds."""
    world = running(1, **strategy(minimumHealthyPercent=0, maximumSurgePercent=0))
    first = update_of(world)
    world.annotate(**{names.RESTARTED_AT: "t1"})
    world.settle()
    world.annotate(**{names.ROLLBACK_TO: first})
    went = world.act()
    again = world.act()
    world.settle()

    assert (1, ()) == (len(went.deletes), went.tasks)
    assert ((), (), ()) == (again.tasks, again.deletes, again.objects)
    assert first == update_of(world)


def test_rollback_to_what_is_not_kept_is_refused_once() -> None:
    """A name that no kept revision has changes nothing and is told once."""
    world = running(2)
    world.annotate(**{names.ROLLBACK_TO: "web-never"})
    events = [[event.reason for event in world.act().events] for _ in range(2)]

    assert [["RollbackRefused"], []] == events
    assert "True:Ready" == world.condition("Ready")


def test_full_cluster_lets_the_old_one_on_the_nearest_node_go_first() -> None:
    """Without room for a surge the update takes its turn on the node that came nearest."""
    world = running(4, nodes=4, **strategy(minimumHealthyPercent=75, maximumSurgePercent=0))
    world.room = 0
    refusal = Refusal(Reason.HOST_PORT, nodes=4)
    world.placement = NoRoom(1, world.now - 60, Funnel(4, (refusal,), Nearest("n2")))
    world.edit(image="web:2")
    world.act()

    assert ["n2"] == [pod.node for pod in world.pods.values() if pod.terminating]


def test_full_cluster_ends_by_itself_as_far_as_the_minimum_allows() -> None:
    """Nodes with room for one each: an update at 75 % goes through, never below three."""
    world = running(4, nodes=4, **strategy(minimumHealthyPercent=75, maximumSurgePercent=0))
    world.room = 0
    world.edit(image="web:2")
    least = 4
    for _ in range(40):
        world.work()
        world.bind()
        world.hear()
        world.act()
        least = min(least, sum(pod.ready and not pod.terminating for pod in world.pods.values()))

    assert 3 == least
    assert {world.service.template_hash: 4} == world.images()


def test_full_cluster_that_cannot_go_on_says_so() -> None:
    """At 100 % no old instance may go first: the sentence says what would help."""
    world = running(4, nodes=4, **strategy())
    world.room = 0
    world.edit(image="web:2")
    world.act()
    refusal = Refusal(Reason.HOST_PORT, nodes=4)
    world.placement = NoRoom(2, world.now - 60, Funnel(4, (refusal,), Nearest("n2")))
    go_on(world, 5)

    assert "False:NoRoom" == world.condition("Ready")
    assert "since minimumHealthyPercent is 100: lower it or add a node" in world.message("Ready")
