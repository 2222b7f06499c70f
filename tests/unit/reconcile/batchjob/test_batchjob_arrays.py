"""A run of several tasks: arrays, whose indexes are tried again alone, and gangs."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bayplan.api.run_names import slot_run
from tests.builders import make_node
from tests.jobs import PREFIX, START, World

HOURLY = {"schedule": "30 * * * *"}
SLOT = START + 1800
RUN = slot_run(SLOT)
RETRY = {"limit": 1, "delaySeconds": 60, "backoffPercent": 0}


def begun(**spec: Any) -> World:
    """A job whose first run has begun."""
    world = World({**HOURLY, "retryPolicy": RETRY, **spec})
    world.wait(SLOT - world.now)
    return world


def end(world: World, attempt: int, index: int, exit_code: int = 0, **more: Any) -> None:
    world.finish(exit_code, name=f"{PREFIX}{RUN}-{attempt}-{index}", **more)


def created(world: World) -> list[tuple[int, str]]:
    """(seconds after the slot, attempt-index) of every pod created."""
    return [(at - SLOT, name.removeprefix(f"{PREFIX}{RUN}-")) for at, name in world.created]


def alive(world: World) -> set[str]:
    return {
        pod.name.removeprefix(f"{PREFIX}{RUN}-")
        for pod in world.pods.values()
        if not pod.terminal and not pod.terminating
    }


def test_every_index_has_a_pod_of_its_own() -> None:
    """The index is in the name, in a label and in the environment."""
    world = World({**HOURLY, "tasks": 3})
    world.now = SLOT
    tasks = world.step().tasks

    assert [f"{PREFIX}{RUN}-0-{index}" for index in range(3)] == [task.name for task in tasks]
    assert ["0", "1", "2"] == [task.labels["bayplan.dev/task-index"] for task in tasks]
    assert [("0", "3"), ("1", "3"), ("2", "3")] == [
        (task.environment["BAYPLAN_TASK_INDEX"], task.environment["BAYPLAN_TASKS"])
        for task in tasks
    ]
    assert 1 == len({task.since for task in tasks})


def test_a_run_has_succeeded_when_all_its_tasks_have() -> None:
    """Two of three are not enough; the run counts once."""
    world = begun(tasks=3)
    end(world, 0, 0)
    end(world, 0, 2)
    world.settle()

    assert [] == world.history()

    world.now += 5
    end(world, 0, 1)
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()
    assert 3 == world.status["history"][0]["tasks"]
    assert (1, 1) == tuple(world.status["statistics"][word] for word in ("runs", "successes"))


def test_an_index_that_fails_is_tried_again_alone() -> None:
    """Index 1 has attempt 1 after its delay; the others go on as they are."""
    world = begun(tasks=3)
    world.now += 5
    end(world, 0, 1, exit_code=7)
    world.wait(60)

    assert [(0, "0-0"), (0, "0-1"), (0, "0-2"), (65, "1-1")] == created(world)
    assert {"0-0", "0-2", "1-1"} == alive(world)

    for attempt, index in ((0, 0), (0, 2), (1, 1)):
        end(world, attempt, index)
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()


def test_an_index_that_fails_for_good_fails_the_run_when_the_others_have_ended() -> None:
    """The rest goes on to its end; the history names the index, its reason and its code."""
    world = begun(tasks=3, retryPolicy={"limit": 0})
    end(world, 0, 1, exit_code=7)
    world.settle()

    assert [] == world.history()
    assert {"0-0", "0-2"} == alive(world)

    end(world, 0, 0)
    end(world, 0, 2)
    world.settle()
    [told] = world.status["history"]

    assert (RUN, "Failed", "1", 7) == tuple(
        told[word] for word in ("run", "outcome", "failedTasks", "exitCode")
    )


def test_each_index_has_the_full_budget() -> None:
    """Limit 1: both indexes may fail once each."""
    world = begun(tasks=2)
    for index in (0, 1):
        end(world, 0, index, exit_code=1)
    world.wait(60)
    for index in (0, 1):
        end(world, 1, index)
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()


def test_what_ended_is_kept_when_the_operator_forgets_its_pods() -> None:
    """Pods of ended indexes go after the status says so, and no index begins again."""
    world = begun(tasks=2, history={"successful": 0, "failed": 0})
    end(world, 0, 0)
    world.wait(120)
    del world.pods["default", f"{PREFIX}{RUN}-0-0"]
    world.wait(120)

    assert 2 == len(world.created)

    end(world, 0, 1)
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()


def test_an_edit_of_tasks_is_for_the_next_run() -> None:
    """A run that has begun keeps the number of its tasks."""
    world = begun(tasks=2)
    world.spec["tasks"] = 5
    world.generation += 1
    world.wait(30)

    assert {"0-0", "0-1"} == alive(world)

    end(world, 0, 0)
    end(world, 0, 1)
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()


def test_a_gang_is_asked_for_as_one() -> None:
    """All tasks name the gang; those of an array name none."""
    for gang in (True, False):
        world = World({**HOURLY, "tasks": 3, "gang": gang})
        world.now = SLOT

        assert {RUN if gang else ""} == {task.gang for task in world.step().tasks}


def test_a_gang_fails_as_a_whole_and_is_tried_again_as_a_whole() -> None:
    """One task fails: the others are ended, and when none lives all have attempt 1."""
    world = begun(tasks=3, gang=True)
    world.now += 5
    end(world, 0, 1, exit_code=7)
    world.settle()

    assert set() == alive(world)

    world.wait(60)

    assert not any(name.startswith("1-") for _, name in created(world))  # 0 and 2 still stop

    world.stop()
    world.settle()

    assert {"1-0", "1-1", "1-2"} == alive(world)

    for index in range(3):
        end(world, 1, index)
    world.settle()

    assert [(RUN, "Succeeded")] == world.history()
    assert 2 == world.status["history"][0]["attempts"]


def test_a_lost_task_of_a_gang_costs_no_budget() -> None:
    """Limit 0: an eviction has all tried again."""
    world = begun(tasks=2, gang=True, retryPolicy={"limit": 0})
    end(world, 0, 0, exit_code=143, disrupted="EvictionByEvictionAPI")
    world.settle()
    world.stop()
    world.wait(120)

    assert {"1-0", "1-1"} == alive(world)


def test_a_failure_of_an_index_is_not_its_nodes_fault() -> None:
    """Lost once, then failed: it is tried again on the same node when it is due."""
    world = begun(tasks=2)
    world.nodes["n2"] = make_node("n2")
    end(world, 0, 0, exit_code=1, reason="OutOfcpu")
    world.wait(600)
    world.nodes["n1"] = replace(world.nodes["n1"], ready=False, ready_changed_at=world.now)
    end(world, 1, 0, exit_code=1)
    world.wait(60)

    assert [(0, "0-0"), (0, "0-1"), (1, "1-0"), (660, "2-0")] == created(world)
    assert "n2" == world.pods["default", f"{PREFIX}{RUN}-2-0"].node


@pytest.mark.parametrize(
    ("first", "node"), [({"reason": "OutOfcpu"}, ""), ({"reason": "Error"}, "n2")]
)
def test_a_gang_avoids_the_node_that_ended_it(first: dict[str, Any], node: str) -> None:
    """Where one is lost and the others fail upon it that is a loss; else the node is as good."""
    world = begun(tasks=2, gang=True, retryPolicy={**RETRY, "limit": 3})
    world.nodes["n2"] = make_node("n2")
    end(world, 0, 0, exit_code=1, reason="OutOfcpu")
    world.settle()
    world.stop()
    world.wait(10)
    del world.nodes["n1"]
    end(world, 1, 0, exit_code=1, **first)
    end(world, 1, 1, exit_code=1)
    world.wait(60 if node else 2)

    assert {"2-0", "2-1"} == alive(world)
    assert {node} == {world.pods["default", f"{PREFIX}{RUN}-2-{index}"].node for index in (0, 1)}


@pytest.mark.parametrize("gang", [False, True])
def test_the_status_of_a_thousand_tasks_is_small(gang: bool) -> None:
    """Every second index has failed once: still far below what an object may weigh."""
    world = begun(tasks=1000, gang=gang, retryPolicy={"limit": 3, "delaySeconds": 600})
    for index in range(0, 1000, 2):
        end(world, 0, index, exit_code=1)
    world.settle()

    assert 16_000 > len(json.dumps(world.status))
