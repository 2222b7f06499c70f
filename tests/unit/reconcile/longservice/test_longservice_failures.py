"""Pods that end, nodes that fall silent or leave: what follows them, and when."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api.longservice import RestartBackoff
from bayplan.api.times import rfc3339
from bayplan.model import intents
from bayplan.model.pods import Ending, Phase, Pod
from tests.services import World, running

FAILED = Phase.FAILED


def make_fail(world: World, index: int = 0, **fields: Any) -> Pod:
    """The instance ends now; heard at once."""
    pod = world.standing()[index]
    ending = fields.pop("ending", Ending(exit_code=1, finished_at=world.now))
    ended = replace(pod, phase=FAILED, ready=False, ready_since=None, ending=ending, **fields)
    world.put(ended)
    world.hear()
    return ended


@pytest.mark.parametrize(
    ("failures", "milliseconds"),
    [
        (1, 1000),
        (2, 1150),
        (3, 1322),
        (10, 3517),
        (20, 14231),
        (30, 57575),
        (41, 267863),
        (42, 300_000),
        (10_000, 300_000),
    ],
)
def test_marathons_backoff(failures: int, milliseconds: int) -> None:
    """1 s · 1.15ⁿ up to 300 s, in whole milliseconds (exact, rounded down)."""
    assert milliseconds == RestartBackoff().delay_milliseconds_after(failures)


def test_factor_of_100_percent_keeps_the_delay() -> None:
    """A factor of 100 % is a constant delay."""
    rules = RestartBackoff(initialSeconds=7, factorPercent=100)

    assert {7000} == {rules.delay_milliseconds_after(failures) for failures in range(1, 50)}


def test_ended_pod_is_counted_then_deleted_then_replaced() -> None:
    """The status counts the failure first; the pod goes when that is stored, the next one waits."""
    world = running(3, restartBackoff={"initialSeconds": 10})
    ended = make_fail(world)

    counted, deleted = world.act(), world.act()
    world.now += 10
    replaced = world.act()

    assert ((), ()) == (counted.tasks, counted.deletes)
    assert 1 == world.service.status["restartBackoff"]["failures"]
    assert [ended.name] == [delete.name for delete in deleted.deletes]
    assert () == deleted.tasks
    assert world.now == deleted.wake_at
    assert 1 == len(replaced.tasks)


def test_failures_in_a_row_wait_longer_and_are_forgotten() -> None:
    """Each failure after a retry counts on; maxSeconds without one forget them all."""
    world = running(1, restartBackoff={"initialSeconds": 10, "factorPercent": 200})
    waits = []
    for _ in range(3):
        make_fail(world)
        waits.append((world.act().wake_at or 0) - world.now)
        world.act()
        world.now += waits[-1]
        world.act()
        world.hear()
        world.work()
        world.hear()
        world.act()
    failures = world.service.status["restartBackoff"]["failures"]
    world.now += 300
    world.act()

    assert [10, 20, 40] == waits
    assert 3 == failures
    assert "restartBackoff" not in world.service.status


def test_instances_that_fail_together_count_once() -> None:
    """Ten instances that end in the same waiting time are one failure, not ten."""
    world = running(10)
    for _ in range(10):
        make_fail(world)
    world.act()

    assert 1 == world.service.status["restartBackoff"]["failures"]
    assert 10 == len(world.act().deletes)


def test_lost_status_write_counts_again_but_not_twice() -> None:
    """A crash before the status is stored repeats the same answer."""
    world = running(3)
    make_fail(world)
    before = world.service
    first = world.act().status
    world.service = before

    assert first == world.act().status


def test_new_template_starts_without_back_off() -> None:
    """The back-off belongs to a revision."""
    world = running(1, restartBackoff={"initialSeconds": 300})
    make_fail(world)
    world.act()
    world.act()
    world.edit(image="web:2")

    assert 1 == len(world.act().tasks)
    assert "restartBackoff" not in world.service.status


@pytest.mark.parametrize(
    "fields",
    [
        {"disrupted": "EvictionByEvictionAPI"},
        {"disrupted": "PreemptionByScheduler"},
        {"reason": "NodeLost"},
    ],
)
def test_what_was_done_to_a_pod_does_not_count(fields: dict[str, str]) -> None:
    """A drained, preempted or lost pod is replaced at once and counts as no failure."""
    world = running(3)
    ended = make_fail(world, **fields)

    outcome = world.act()

    assert 1 == len(outcome.tasks)
    assert [ended.name] == [delete.name for delete in outcome.deletes]
    assert "restartBackoff" not in world.service.status


@pytest.mark.parametrize("reason", ["OutOfcpu", "OutOfpods", "NodeAffinity", "NodeShutdown"])
def test_node_that_refused_is_avoided_until_it_cooled_down(reason: str) -> None:
    """A kubelet's refusal is answered elsewhere at once; the pod tells of it for 60 s."""
    world = running(3)
    ended = make_fail(world, reason=reason, ending=Ending(finished_at=world.now))

    outcome = world.act()
    wake_at = outcome.wake_at
    world.now += 60

    assert [frozenset({ended.node})] == [task.avoid for task in outcome.tasks]
    assert () == outcome.deletes
    assert world.now == wake_at
    assert [ended.name] == [delete.name for delete in world.act().deletes]


def test_eviction_for_its_own_excess_counts() -> None:
    """A pod over its own storage limit (evicted without DisruptionTarget) backs off."""
    world = running(3)
    make_fail(world, reason="Evicted")
    world.act()

    assert 1 == world.service.status["restartBackoff"]["failures"]


def test_clock_of_a_node_may_be_ahead() -> None:
    """An end in the future neither holds the service back nor is counted for ever."""
    world = running(3)
    make_fail(world, ending=Ending(exit_code=1, finished_at=world.now + 86_400))

    first, second = world.act(), world.act()

    assert 1 == len(first.tasks)
    assert 1 == len(second.deletes)
    assert 1 == world.service.status["restartBackoff"]["failures"]


@pytest.mark.parametrize("ahead", [-86_400, 0, 5, 3600])
def test_back_off_counts_from_the_end_whatever_the_nodes_clock_says(ahead: int) -> None:
    """An instance that ran for long and ended now is replaced after the delay, not at once."""
    world = running(3, restartBackoff={"initialSeconds": 10})
    world.now += 3600
    begun = world.standing()[0].created_at + 1
    clock = Ending(exit_code=1, started_at=begun + ahead, finished_at=world.now + ahead)
    make_fail(world, ending=clock)
    world.act()
    world.act()
    world.now += 8
    early = world.act()
    world.now += 3
    due = world.act()

    assert (0, 1) == (len(early.tasks), len(due.tasks))
    assert 1 == world.service.status["restartBackoff"]["failures"]


def test_last_failure_is_not_of_the_future() -> None:
    """A container that a clock ahead saw crash hides no later failure for as long."""
    world = running(3)
    crashed = Ending(exit_code=1, finished_at=world.now + 3600, restarts=1)
    first, second = world.standing()[:2]
    world.put(replace(first, ready=False, ending=crashed))
    world.hear()
    world.act()
    told = world.service.status["lastFailure"]
    world.now += 5
    world.put(replace(second, phase=FAILED, ending=Ending(exit_code=2, finished_at=world.now)))
    world.hear()
    world.act()

    assert (first.name, 1) == (told["pod"], told["exitCode"])
    assert rfc3339(world.now - 5) == told["time"]
    assert (second.name, 2) == tuple(
        world.service.status["lastFailure"][name] for name in ("pod", "exitCode")
    )


def test_silent_node_is_waited_for_then_replaced_then_the_surplus_goes() -> None:
    """A node silent for replaceAfterSeconds gets replacements: surplus when it returns."""
    world = running(3, unreachable={"replaceAfterSeconds": 60})
    lost = next(pod for pod in world.standing() if pod.node == "n1")
    world.silence("n1")
    world.hear()
    early = world.act()
    world.now += 60
    due = world.act()
    world.hear()
    world.work()
    world.hear()
    world.act()
    quiet = world.act()
    world.revive("n1")
    world.work()
    world.hear()
    surplus = world.act()

    assert ((), (), world.now) == (early.tasks, early.deletes, early.wake_at)
    assert (1, ()) == (len(due.tasks), due.deletes)
    assert intents.Outcome() == quiet
    assert 1 == len(surplus.deletes)
    assert lost.uid not in {delete.uid for delete in surplus.deletes}
    world.settle()
    assert 3 == len(world.standing())


def test_node_that_is_gone_is_replaced_at_once() -> None:
    """Instances of a deleted node are made elsewhere at once, their pods are deleted."""
    world = running(3)
    lost = {pod.uid for pod in world.standing() if pod.node == "n1"}
    world.remove("n1")

    outcome = world.act()

    assert len(lost) == len(outcome.tasks)
    assert lost == {delete.uid for delete in outcome.deletes}


@pytest.mark.parametrize("replicas", [1, 3])
def test_drain_moves_first_and_ends(replicas: int) -> None:
    """A cordon moves every instance once, the replacement first; then nothing more happens.

    Who moves is evicted: whoever else empties the node draws on the same budget.
    """
    world = running(replicas, updateStrategy={"maximumSurgePercent": 0}, disruptionBudget="Strict")
    world.cordon("n0")
    world.cordon("n1")
    fewest = replicas
    evicted = []
    for _ in range(20):
        world.hear()
        world.act()
        evicted += [delete.evict for delete in world.last.deletes]
        fewest = min(fewest, sum(pod.ready for pod in world.standing()))
        world.work()
    world.hear()

    assert replicas == fewest
    assert evicted
    assert all(evicted)
    assert {"n2"} == {pod.node for pod in world.standing()}
    assert replicas == len(world.standing())
    assert intents.Outcome() == world.act()


def test_drain_without_room_asks_for_a_node_and_waits() -> None:
    """When every node is cordoned one replacement waits for room; the instances stay."""
    world = running(2, nodes=1)
    world.cordon("n0")
    world.act()
    world.hear()
    world.act()
    world.hear()

    assert intents.Outcome() == world.act()
    assert [False, True, True] == sorted(bool(pod.node) for pod in world.standing())


def test_broken_update_does_not_cost_the_old_instances() -> None:
    """While every new instance crashes, a lost old one is made again from its own template."""
    world = running(4, nodes=4)
    old_hash = world.service.template_hash
    world.edit(image="web:broken")
    world.act()
    world.hear()
    crash = Ending(exit_code=1, restarts=5, waiting="CrashLoopBackOff")
    for pod in world.standing():
        if not pod.ready:
            world.put(replace(pod, ending=crash))
    world.drop(next(pod for pod in world.standing() if pod.ready))
    world.hear()

    outcome = world.act()

    assert [old_hash] == [task.labels["bayplan.dev/template-hash"] for task in outcome.tasks]
    assert "False:InstancesFailing" == world.condition("Ready")
