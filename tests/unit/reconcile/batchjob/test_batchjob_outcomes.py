"""What counts as success or failure of a run, what is tried again, what is held back for it."""

from dataclasses import replace
from typing import Any

import pytest

from bayplan.api import names
from bayplan.api.run_names import slot_run
from bayplan.api.times import rfc3339
from bayplan.cluster.pods import pod_from_dict
from bayplan.model.pods import FRESH, Ending, Phase
from tests.jobs import START, World, ended

HOUR = 3600
HOURLY = {"schedule": "0 * * * *", "retryPolicy": {"limit": 0}}
NOT_RETRIED = {"retryPolicy": {"limit": 3, "delaySeconds": 1}, "noRetryExitCodes": [4, 5]}


def run_of(world: World, exit_code: int = 0, **more: Any) -> tuple[str, str]:
    """Outcome and reason of a one-shot's run whose first attempt ends so."""
    world.settle()
    world.finish(exit_code, **more)
    world.settle()
    [run] = world.status.get("history", [{"outcome": "Unfinished", "reason": ""}])
    return run["outcome"], run["reason"]


def ran(world: World, exit_code: int = 0) -> None:
    """The job's next slot comes, and its run ends so."""
    world.wait(HOUR)
    world.finish(exit_code)
    world.settle()


@pytest.mark.parametrize(
    ("codes", "code", "expected"),
    [
        ([], 3, ("Failed", "Error")),
        ([3], 3, ("Succeeded", "Completed")),
        ([0, 3], 0, ("Succeeded", "Completed")),
        ([3], 0, ("Failed", "ExitCode")),
        ([0, 3], 4, ("Failed", "Error")),
    ],
)
def test_the_codes_that_mean_success(
    codes: list[int], code: int, expected: tuple[str, str]
) -> None:
    """A run has succeeded when its exit code is one of `successExitCodes`, 0 alone unless set."""
    world = World({"retryPolicy": {"limit": 0}, "successExitCodes": codes})

    assert expected == run_of(world, code)


def test_what_others_ended_has_failed_whatever_its_code() -> None:
    """The code of a container that the kernel or the kubelet ended says nothing."""
    spec = {"retryPolicy": {"limit": 0}, "successExitCodes": [137]}
    killed = Ending(exit_code=137, reason="OOMKilled", started_at=START)
    late = Ending(exit_code=137, reason="Error", started_at=START)
    init = Ending(exit_code=137, reason="Error")

    assert [("Failed", "OOMKilled"), ("Failed", "DeadlineExceeded"), ("Failed", "Error")] == [
        run_of(World(spec), 137, ending=killed),
        run_of(World(spec), 137, ending=late, reason="DeadlineExceeded"),
        run_of(World(spec), 137, ending=init),
    ]


def test_a_success_by_code_keeps_its_pod_among_the_successes() -> None:
    """`history` counts by outcome, not by the pod's phase."""
    world = World({"successExitCodes": [3], "history": {"successful": 1, "failed": 0}})
    run_of(world, 3)

    assert 1 == len(world.pods)


@pytest.mark.parametrize(("code", "expected"), [(4, "Failed"), (5, "Failed"), (6, "Unfinished")])
def test_the_codes_after_which_nothing_is_tried_again(code: int, expected: str) -> None:
    """A code of `noRetryExitCodes` ends the run at its first failure."""
    assert expected == run_of(World(NOT_RETRIED), code)[0]


LOST = [
    ("evicted", {"disrupted": "EvictionByEvictionAPI"}, "Failed"),
    ("collected", {"disrupted": "DeletionByPodGC", "ending": FRESH}, "Failed"),
    ("refused by the kubelet", {"reason": "OutOfcpu", "ending": FRESH}, "Unfinished"),
    ("rebooted", {"ending": Ending(137, "ContainerStatusUnknown")}, "Failed"),
]


@pytest.mark.parametrize(("how", "fields", "expected"), LOST, ids=[one[0] for one in LOST])
def test_on_lost_fail_begins_at_most_once(how: str, fields: dict[str, Any], expected: str) -> None:
    """With `onLost: Fail` only an attempt that certainly never began is tried again."""
    world = World({"onLost": "Fail", "retryPolicy": {"limit": 0}})

    assert (how, expected) == (how, run_of(world, 137, **fields)[0])


def test_on_lost_fail_of_a_silent_node() -> None:
    """A silent node may still run it: the run has failed and no other attempt begins."""
    world = World({"onLost": "Fail", "unreachable": {"retryAfterSeconds": 100}})
    world.settle()
    world.nodes["n1"] = replace(world.nodes["n1"], ready=False, ready_changed_at=START)
    world.wait(HOUR)

    assert 1 == len(world.created)
    assert [(slot_run(START), "Failed")] == world.history()
    assert 1 == world.status["statistics"]["lost"]


@pytest.mark.parametrize("wrong", [-365 * 24 * HOUR, 0, 365 * 24 * HOUR])
def test_a_wrong_clock_keeps_no_place_in_the_history(wrong: int) -> None:
    """The newest run's pod is kept, whatever the node of one before it said of the time."""
    world = World({**HOURLY, "history": {"successful": 1, "failed": 1}})
    for hour, skew in enumerate((wrong, 0, -wrong)):
        world.wait(START + hour * HOUR - world.now)
        pod = world.live()
        clock = Ending(started_at=world.now + skew)
        world.pods[pod.key] = replace(pod, ending=clock)
        world.wait(60)
        world.pods[pod.key] = ended(world.pods[pod.key], world.now + skew)
        world.settle()

    assert [slot_run(START + 2 * HOUR)] == [pod.labels[names.RUN] for pod in world.pods.values()]


def test_pods_go_when_their_time_is_over() -> None:
    """`ttlSecondsAfterFinished` after its end a pod goes; the status keeps the run."""
    world = World({"ttlSecondsAfterFinished": 90})
    run_of(world)
    world.wait(89)
    before = len(world.pods)
    world.wait(1)

    assert (1, 0) == (before, len(world.pods))
    assert [(slot_run(START), "Succeeded")] == world.history()


def test_a_clock_ahead_keeps_no_pod_for_ever() -> None:
    """An end that a node's clock puts into the future counts from the pod's creation."""
    world = World({"ttlSecondsAfterFinished": 90})
    world.settle()
    pod = world.live()
    world.pods[pod.key] = ended(pod, START + 10 * HOUR)
    world.wait(90)

    assert {} == world.pods


@pytest.mark.parametrize("ahead", [-365 * 24 * HOUR, 0, 2, 60, 10 * HOUR])
def test_a_wrong_clock_takes_no_pod_early(ahead: int) -> None:
    """A long run's pod stays for its time after the end, and not after its creation."""
    world = World({"ttlSecondsAfterFinished": 90})
    world.settle()
    pod = world.live()
    clock = Ending(started_at=START + ahead)
    world.pods[pod.key] = replace(pod, phase=Phase.RUNNING, ending=clock)
    world.wait(2 * HOUR)
    world.pods[pod.key] = ended(world.pods[pod.key], START + 2 * HOUR + ahead)
    world.settle()
    world.wait(89)
    before = len(world.pods)
    world.wait(1 + ahead if 0 < ahead < 90 else 1)

    assert (1, 0) == (before, len(world.pods))


@pytest.mark.parametrize(("soft", "expected"), [(False, [1, 3]), (True, [1, 2, 3])])
def test_what_counts_for_children(soft: bool, expected: list[int]) -> None:
    """Successes do, and with `treatFailureAsSuccess` failures; the job's own record is the same."""
    world = World({**HOURLY, "treatFailureAsSuccess": soft})
    for code in (0, 1, 0):
        ran(world, code)

    assert [
        {"run": slot_run(START + (hour - 1) * HOUR), "endTime": rfc3339(START + hour * HOUR)}
        for hour in reversed(expected)
    ] == world.status["fulfilled"]
    assert ["Succeeded", "Failed", "Succeeded"] == [outcome for _, outcome in world.history()]


def test_failures_in_a_row_suspend() -> None:
    """After `suspendAfterFailures` failed runs no slot is taken up, and that is said once."""
    world = World({**HOURLY, "suspendAfterFailures": 2})
    for code in (1, 0, 1, 1):
        ran(world, code)
    writes = len(world.writes)
    world.wait(5 * HOUR)

    assert 4 == len(world.created)
    assert ("True", "TooManyFailures") == world.condition("Suspended")
    assert ("True", "TooManyFailures") == world.condition("Ready")
    assert 1 == [event.reason for event in world.events].count("Suspended")
    assert writes == len(world.writes)
    assert "nextSlotTime" not in world.status


def test_a_success_on_request_ends_the_suspension() -> None:
    """A run-now that succeeds proves it healed: slots count again from then on."""
    world = World({**HOURLY, "suspendAfterFailures": 1})
    ran(world, 1)
    world.wait(3 * HOUR)
    world.annotations[names.RUN_NOW] = "healed"
    world.settle()
    world.finish()
    world.wait(HOUR)

    assert ("False", "NotSuspended") == world.condition("Suspended")
    assert 3 == len(world.created), "one that failed, one on request, one by schedule"
    assert 0 == world.status["statistics"].get("missed", 0)


def test_an_edit_ends_the_suspension_and_counts_anew() -> None:
    """After an edit it takes as many failures again; the counter itself tells the truth."""
    world = World({**HOURLY, "suspendAfterFailures": 2})
    ran(world, 1)
    ran(world, 1)
    world.generation += 1
    ran(world, 1)
    between = world.condition("Suspended")
    ran(world, 1)

    assert ("False", "NotSuspended") == between
    assert ("True", "TooManyFailures") == world.condition("Suspended")
    assert 4 == world.status["statistics"]["consecutiveFailures"]
    assert 2 == world.status["forgivenFailures"]


def test_a_pause_ends_by_itself() -> None:
    """Slots before its end pass by, the first one at it runs; the annotation is needed once."""
    world = World(HOURLY, annotations={names.PAUSED_UNTIL: rfc3339(START + 3 * HOUR)})
    world.settle()
    world.annotations.clear()
    world.wait(2 * HOUR)
    during = len(world.created), world.condition("Suspended"), world.status["pausedUntil"]
    world.wait(HOUR)

    assert (0, ("True", "Paused"), rfc3339(START + 3 * HOUR)) == during
    assert [(START + 3 * HOUR, slot_run(START + 3 * HOUR))] == [
        (at, name.split("-")[-2]) for at, name in world.created
    ]
    assert ("False", "NotSuspended") == world.condition("Suspended")
    assert "pausedUntil" not in world.status


def test_a_pause_that_ends_while_nobody_looks() -> None:
    """An operator that was away meets the slots since the pause's end by the policy."""
    world = World(
        {**HOURLY, "missedRunPolicy": "RunAll"},
        annotations={names.PAUSED_UNTIL: rfc3339(START + 2 * HOUR)},
    )
    world.settle()
    world.now = START + 3 * HOUR + 1
    world.settle()
    world.finish()
    world.settle()

    assert [slot_run(START + 2 * HOUR), slot_run(START + 3 * HOUR)] == [
        name.split("-")[-2] for _, name in world.created
    ]


def test_a_time_that_has_passed_resumes() -> None:
    """A pause is ended by a pause until a time that is over."""
    world = World(HOURLY, annotations={names.PAUSED_UNTIL: rfc3339(START + 9 * HOUR)})
    world.settle()
    world.annotations[names.PAUSED_UNTIL] = "2020-01-01T00:00:00Z"
    world.wait(HOUR)

    assert 1 == len(world.created)


@pytest.mark.parametrize("text", ["soon", "2026-13-01T00:00:00Z", "2026-01-01", "9" * 400])
def test_a_pause_that_is_no_time_is_said_to_be_none(text: str) -> None:
    """It holds nothing back, and a condition says what to write."""
    world = World(HOURLY, annotations={names.PAUSED_UNTIL: text})
    world.wait(HOUR)

    assert ("False", "InvalidPause") == world.condition("Suspended")
    assert 1 == len(world.created)


def test_a_failure_seen_with_an_edit_is_forgiven() -> None:
    """The run that has just ended began before the spec was changed: it holds nothing back."""
    world = World({"schedule": "0 * * * *", "retryPolicy": {"limit": 0}, "suspendAfterFailures": 1})
    world.settle()
    world.finish(1)
    world.generation += 1
    world.settle()

    assert ("False", "NotSuspended") == world.condition("Suspended")
    assert 1 == world.status["forgivenFailures"]


def test_a_container_that_never_started_leaves_no_start_in_the_status() -> None:
    """Its kubelet writes 1970; what an older version stored of it goes with the next write."""
    never = {"startedAt": rfc3339(0), "finishedAt": rfc3339(START + 5)}
    state = {"terminated": {"exitCode": 128, "reason": "StartError", **never}}
    body = {
        "metadata": {"name": "p"},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "a", "state": state}]},
    }
    world = World({"retryPolicy": {"limit": 0}})
    world.settle()
    world.now += 5
    world.finish(128, ending=pod_from_dict(body).ending)
    world.settle()
    [told] = world.status["history"]
    before = {**told, "startTime": rfc3339(0)}
    world.status = {**world.status, "history": [before]}
    world.settle()

    assert ("Failed", "StartError", rfc3339(START + 5)) == (
        told["outcome"],
        told["reason"],
        told["endTime"],
    )
    assert "startTime" not in told
    assert [told] == world.status["history"]
