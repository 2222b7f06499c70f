"""What is said of run times: from kept samples, by nearest rank, and what is learned of them."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.api import names
from bayplan.api.times import time_of
from bayplan.model.pods import FRESH, Ending, Phase, expected_seconds
from bayplan.reconcile.batchjob import reconcile
from bayplan.reconcile.batchjob.statistics import Samples, quantile, read
from bayplan.reconcile.batchjob.young import PENDING_SECONDS, QUIET_SECONDS
from tests.builders import make_node
from tests.jobs import World
from tests.schemas import schema_of, violations

MINUTE, HOUR = 60, 3600
HOURLY = {"schedule": "0 * * * *", "retryPolicy": {"limit": 1, "delaySeconds": 1}}


def ran(world: World, seconds: int, exit_code: int = 0) -> None:
    """The run of the present slot ends after this; then the next slot comes."""
    world.wait(seconds)
    world.finish(exit_code)
    world.wait(HOUR - seconds)


def running(spec: dict[str, Any] | None = None, *lengths: int) -> World:
    """An hourly job whose runs took so long; the next has just begun."""
    world = World({**HOURLY, **(spec or {})})
    world.settle()
    for seconds in lengths:
        ran(world, seconds)
    return world


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40), st.integers(1, 100))
def test_a_quantile_is_one_of_the_values(values: list[int], percent: int) -> None:
    """At least so many percent do not exceed it, and no smaller value has that."""
    found = quantile(values, percent)
    enough = math.ceil(len(values) * percent / 100)

    assert found in values
    assert enough <= sum(value <= found for value in values)
    assert enough > sum(value < found for value in values)


def test_times_of_the_last_runs() -> None:
    """Quantiles follow from the samples beside them, which are the last twenty."""
    world = running(None, *range(1, 23))
    statistics, samples = world.status["statistics"], world.status["samples"]

    assert list(range(22, 2, -1)) == samples["runSeconds"]
    assert [0] * 20 == samples["waitSeconds"]
    assert (12, 21, 0, 0) == tuple(
        statistics[f"{what}Seconds{rank}"] for what in ("run", "wait") for rank in ("P50", "P95")
    )
    assert 21 == statistics["usualRunSeconds"]
    assert [] == violations(schema_of("BatchJob", "status"), dict(world.status))


def test_what_was_tried_again_or_failed_is_no_sample() -> None:
    """Chronos mixed waiting and retries into its times; here a sample is one plain success."""
    world = running()
    world.wait(10)
    world.finish(1)
    world.wait(30)
    world.finish()
    world.settle()

    assert 1 == world.status["statistics"]["successes"]
    assert "samples" not in world.status
    assert "runSecondsP50" not in world.status["statistics"]


def test_waiting_is_told_apart_from_running() -> None:
    """A run that the one before held up waited; how long it ran is another matter."""
    world = running()
    world.wait(HOUR + 5 * MINUTE)
    world.finish()
    world.wait(MINUTE)
    world.finish()
    world.settle()

    assert {"runSeconds": [MINUTE, HOUR + 5 * MINUTE], "waitSeconds": [5 * MINUTE, 0]} == (
        world.status["samples"]
    )


def test_little_teaches_nothing() -> None:
    """Four runs do not say what is usual; a fifth does, and one slow run in twenty is ignored."""
    slow = Samples((5000, *([7] * 19)), (0,) * 20)

    assert "usualRunSeconds" not in running(None, *[5] * 4).status["statistics"]
    assert 5 == running(None, *[5] * 5).status["statistics"]["usualRunSeconds"]
    assert 7 == slow.usual_seconds


LONG = {"samples": {"runSeconds": [900] * 5, "waitSeconds": [0] * 5}}
PROTECTED = {names.DO_NOT_DISRUPT: "900s", names.SAFE_TO_EVICT: "false"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, PROTECTED),
        ({"expectedDurationSeconds": 60}, {}),
        ({"activeDeadlineSeconds": 4000}, {}),  # the template's own say it
        ({"placement": {"disruption": "Allow"}}, {}),
        ({"interruptible": True}, {}),
        (
            {
                "template": {
                    "metadata": {"annotations": {names.SAFE_TO_EVICT: "true"}},
                    "spec": {"containers": [{"name": "main"}]},
                }
            },
            {names.DO_NOT_DISRUPT: "900s"},
        ),
    ],
)
def test_what_was_learned_protects_long_runs(
    spec: dict[str, Any], expected: dict[str, str]
) -> None:
    """Ten minutes or more, seen often enough: autoscalers keep off, unless the spec tells."""
    world = World(spec, status=LONG)
    [task] = world.step().tasks

    assert expected == {name: told for name, told in task.annotations.items() if name in PROTECTED}


def test_a_protection_without_a_time() -> None:
    """Where autoscalers do not understand one, it lasts as long as the pod."""
    world = World({}, status=LONG)
    world.look()
    view = replace(world.view(), timed=False)
    [task] = reconcile.reconcile(world.job, {}, view, world.now).tasks

    assert "true" == task.annotations[names.DO_NOT_DISRUPT]


@pytest.mark.parametrize(
    ("spec", "status", "expected"),
    [
        ({}, {}, None),
        ({}, LONG, 900),
        ({"expectedDurationSeconds": 60}, LONG, 60),
        ({"activeDeadlineSeconds": 4000}, LONG, 900),
        ({"activeDeadlineSeconds": 4000}, {}, 4000),
    ],
)
def test_a_run_says_how_long_it_will_take(
    spec: dict[str, Any], status: dict[str, Any], expected: int | None
) -> None:
    """As the spec expects, else as was learned, else what it may take at most."""
    [task] = World(spec, status=status).step().tasks

    assert expected == expected_seconds(task.annotations)


@pytest.mark.parametrize(
    ("spec", "lengths", "quiet"),
    [
        ({}, [], 10),
        ({}, [3] * 5, 10),
        ({}, [12] * 5, 16),
        ({}, [20] * 5, 26),
        ({}, [30] * 5, 32),
        ({}, [31] * 5, 10),
        ({}, [400] * 5, 10),
        ({"expectedDurationSeconds": 20}, [], 20),
        ({"expectedDurationSeconds": 45}, [20] * 5, 10),
        ({"onLost": "Fail"}, [20] * 5, 10),
    ],
)
def test_a_start_is_told_when_a_short_run_should_have_ended(
    spec: dict[str, Any], lengths: list[int], quiet: int
) -> None:
    """So that a run of up to 30 seconds costs four writes; a longer run is told after ten seconds.

    The same where a pod removed by force must not start its run again.
    """
    world = running(spec, *lengths)
    world.wait(quiet - 1)
    before = world.status.get("running")
    world.wait(1)

    assert (0, 1) == (before, world.status["running"])


@pytest.mark.parametrize("seconds", [5, 9, 15, 20, 30])
def test_a_short_run_of_usual_length_costs_four_writes(seconds: int) -> None:
    """CREATE, status, finalizer, DELETE."""
    world = running({"history": {"successful": 0, "failed": 0}}, *[seconds] * 5)
    writes = len(world.writes)
    ran(world, seconds)

    assert ["status", "release", "delete", "create"] == [
        write.split(" ")[0] for write in world.writes[writes:]
    ]


@pytest.mark.parametrize("seconds", [31, 90, 480, 3000])
def test_a_long_run_costs_five_writes(seconds: int) -> None:
    """The fifth tells its start, so that the status is true while it runs."""
    world = running({"history": {"successful": 0, "failed": 0}}, *[seconds] * 5)
    writes = len(world.writes)
    ran(world, seconds)

    assert ["status", "status", "release", "delete", "create"] == [
        write.split(" ")[0] for write in world.writes[writes:]
    ]


def test_a_usual_wait_for_the_start_is_not_taken_for_a_long_run() -> None:
    """Four writes for a run of 15 seconds, though its image takes nine seconds each time."""
    world = running({"history": {"successful": 0, "failed": 0}})
    for _ in range(6):
        writes = len(world.writes)
        _waited(world, 9)
        world.wait(15)
        world.finish()
        world.wait(HOUR - 9 - 15)

    assert ["status", "release", "delete", "create"] == [
        write.split(" ")[0] for write in world.writes[writes:]
    ]


def test_a_pod_that_waits_is_told_and_does_not_run() -> None:
    """The run is unfinished, the next slot and the last run are told, and nothing runs."""
    world = running({}, *[3] * 5)
    begun = world.now
    pod = world.live()
    world.pods[pod.key] = replace(pod, phase=Phase.PENDING, ending=FRESH)
    world.wait(PENDING_SECONDS)
    told = world.status
    world.pods[pod.key] = replace(pod, phase=Phase.RUNNING, ending=Ending(started_at=world.now))
    world.step()

    assert [pod.name] == told["active"][0]["pods"]
    assert (0, 1) == (told["running"], world.status["running"])
    assert begun == time_of(told["lastRunTime"]) < world.now < (time_of(told["nextSlotTime"]) or 0)


@pytest.mark.parametrize("usual", [20, 60, 400])
def test_after_a_lost_node_the_status_names_the_attempt_that_runs(usual: int) -> None:
    """Ten seconds after its start, whatever is usual; the old pod may still say Running."""
    world = running({}, *[usual] * 5)
    world.nodes["n2"] = make_node("n2")
    world.wait(15)
    [lost] = [pod for pod in world.pods.values() if not pod.terminal]
    del world.nodes[lost.node]
    world.wait(1)
    pending = world.status
    world.wait(QUIET_SECONDS)
    [entry] = world.status["active"]

    assert (0, 1) == (pending["running"], world.status["running"])
    assert 1 == entry["attempt"]
    assert [f"{lost.name[:-1]}1"] == entry["pods"]
    assert lost.node != entry["node"]


def _waited(world: World, seconds: int) -> None:
    """The pod of the present run waits so long for its container to start."""
    pod = replace(world.live(), phase=Phase.PENDING, ending=FRESH)
    world.pods[pod.key] = pod
    world.wait(seconds)
    ending = Ending(started_at=world.now)
    world.pods[pod.key] = replace(pod, phase=Phase.RUNNING, ending=ending)
    world.step()


def test_a_node_whose_clock_is_ahead_does_not_hide_a_run() -> None:
    """Soon after its creation it is told, by the clock of the API server."""
    world = running()
    pod = world.live()
    ahead = Ending(started_at=world.now + 24 * HOUR)
    world.pods[pod.key] = replace(pod, ending=ahead)
    world.wait(PENDING_SECONDS)

    assert 1 == world.status["running"]


def test_writes_of_runs_of_uneven_length() -> None:
    """A hundred runs of up to half a minute, once five have taught what is usual: four each."""
    lengths = [8 + number * 7 % 23 for number in range(105)]
    world = running({"history": {"successful": 0, "failed": 0}}, *lengths[:5])
    writes = len(world.writes)
    for seconds in lengths[5:]:
        ran(world, seconds)

    assert 4 * 100 == len(world.writes) - writes


def test_a_late_run_is_counted_once() -> None:
    """One event and one count for an attempt that outlives what was expected."""
    world = running({"expectedDurationSeconds": 600})
    world.wait(599)
    before = world.status.get("statistics", {}).get("late", 0)
    world.wait(1000)

    assert (0, 1) == (before, world.status["statistics"]["late"])
    assert ["RunLate"] == [event.reason for event in world.events]


@pytest.mark.parametrize(
    "stored",
    [
        *(None, 3, [], {"runSeconds": [1]}, {"runSeconds": [1], "waitSeconds": [1, 2]}),
        *({"runSeconds": ["1"], "waitSeconds": [1]}, {"runSeconds": [-1], "waitSeconds": [0]}),
        {"runSeconds": [True], "waitSeconds": [1]},
    ],
)
def test_samples_that_make_no_sense_are_none(stored: object) -> None:
    """A person may have edited the status."""
    assert Samples() == read(stored)
