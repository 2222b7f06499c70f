"""What people ask of runs by annotation, and that it stays so when the annotation stays or goes."""

import json

import pytest

from bayplan.api import names, pod_builder
from bayplan.api.run_names import slot_run, token_run
from bayplan.reconcile.batchjob import requests
from tests.jobs import PREFIX, START, World, make_job

HOUR = 3600
HOURLY = {"schedule": "0 * * * *", "retryPolicy": {"limit": 0}}
GIVEN = json.dumps({"args": ["-v", "2026"], "env": {"DAY": "31", "BAYPLAN_JOB": "mine"}})


def asked(**annotations: str) -> World:
    """A yearly job with a run-now, at rest."""
    notes = {f"{names.GROUP}/{verb.replace('_', '-')}": told for verb, told in annotations.items()}
    world = World({"schedule": "@yearly"}, annotations={names.RUN_NOW: "one", **notes})
    world.step()
    return world


def test_a_run_gets_its_arguments_whatever_becomes_of_the_annotation() -> None:
    """Arguments and environment are the run's, over retries and restarts; ours win over theirs."""
    world = asked(run_now_args=GIVEN)
    [first] = world.outcome.tasks
    world.annotations.clear()
    world.finish(1)
    world.wait(60)
    pod = max(world.pods.values(), key=lambda pod: pod.name)

    assert (("-v", "2026"), "31", "report") == (
        first.arguments,
        first.environment["DAY"],
        first.environment["BAYPLAN_JOB"],
    )
    assert f"{PREFIX}{token_run('one')}-1" == pod.name
    assert GIVEN == pod.annotations[names.RUN_NOW_ARGS]


def test_arguments_survive_a_crash_before_the_status() -> None:
    """The pod keeps them until the status does."""
    world = World(
        {"schedule": "@yearly", "retryPolicy": {"limit": 1, "delaySeconds": 0}},
        annotations={names.RUN_NOW: "one", names.RUN_NOW_ARGS: GIVEN},
        lost_status=True,
    )
    world.step()
    world.lost_status = False
    world.annotations.clear()
    world.settle()

    assert [GIVEN] == [one["arguments"] for one in world.status["active"]]


def test_arguments_take_the_place_of_the_first_containers() -> None:
    """`args` is replaced, the command and the other containers stay."""
    containers = [{"name": "a", "args": ["x"], "command": ["c"]}, {"name": "b", "args": ["y"]}]
    plan = pod_builder.blueprint(make_job(template={"spec": {"containers": containers}}))
    more = {"labels": {}, "annotations": {}, "environment": {}}
    given = plan.pod("p", **more, arguments=("1", "2"))["spec"]["containers"]
    kept = plan.pod("p", **more)["spec"]["containers"]

    assert [(["1", "2"], ["c"]), (["y"], None)] == [
        (one["args"], one.get("command")) for one in given
    ]
    assert [["x"], ["y"]] == [one["args"] for one in kept]


@pytest.mark.parametrize(
    "text",
    [
        *("{", "[]", "3", '{"arg": []}', '{"args": "a"}', '{"args": [1]}', '{"env": []}'),
        *('{"env": {"A": 1}}', '{"env": {"A B": "1"}}', '{"env": {"": "1"}}', "[" * 4000),
        *('{"args": ["\\u0000"]}', json.dumps({"args": ["a"] * 65}), " " * 5000),
    ],
)
def test_arguments_that_cannot_be_read_refuse_the_run(text: str) -> None:
    """No run with other arguments than were meant: an event says what to write."""
    world = asked(run_now_args=text)
    world.settle()

    assert [] == world.created
    assert ["RunNowRefused"] == [event.reason for event in world.events]
    assert [token_run("one")] == world.status["handledTokens"]


@pytest.mark.parametrize("text", ["", "{}", '{"args": []}', '{"env": {}}'])
def test_nothing_given_is_nothing_wrong(text: str) -> None:
    """Empty is fine; an empty list of arguments is one."""
    read = requests.arguments(text)

    assert read is not None
    assert (() if "args" in text else None) == read.args


def test_a_run_is_cancelled_on_request() -> None:
    """Its pod goes, it is counted once, nothing is tried again; the next slot runs as always."""
    world = World(HOURLY)
    world.settle()
    world.annotations[names.CANCEL_RUN] = slot_run(START)
    world.settle()
    world.stop()
    world.wait(HOUR)

    assert [(slot_run(START), "Cancelled")] == world.history()
    assert "Requested" == world.status["history"][0]["reason"]
    assert [slot_run(START), slot_run(START + HOUR)] == [
        name.removeprefix(PREFIX).partition("-")[0] for _, name in world.created
    ]
    assert 1 == world.status["statistics"]["cancelled"]


def test_what_waits_begins_when_the_cancelled_pod_has_gone() -> None:
    """The next run does not overlap with the one that is being ended."""
    world = World(HOURLY)
    world.settle()
    world.annotations.update({names.RUN_NOW: "one"})
    world.settle()
    world.annotations[names.CANCEL_RUN] = slot_run(START)
    world.settle()
    during = len(world.created)
    world.stop()
    world.settle()

    assert (1, 2) == (during, len(world.created))


def test_a_run_that_waits_for_its_retry_is_cancelled() -> None:
    """There is no pod to delete: the run ends all the same."""
    world = World({**HOURLY, "retryPolicy": {"limit": 9, "delaySeconds": 3000}})
    world.settle()
    world.finish(1)
    world.settle()
    world.annotations[names.CANCEL_RUN] = slot_run(START)
    world.settle()

    assert [(slot_run(START), "Cancelled")] == world.history()


def test_cancelling_what_has_ended_changes_nothing() -> None:
    """The annotation may stay for ever."""
    world = World(HOURLY)
    world.settle()
    world.finish()
    world.settle()
    writes = len(world.writes)
    world.annotations[names.CANCEL_RUN] = slot_run(START)
    world.settle()

    assert writes == len(world.writes)


def test_a_running_run_is_called_a_success() -> None:
    """Its pod goes and the run has succeeded."""
    world = World(HOURLY)
    world.settle()
    world.annotations[names.MARK_SUCCESS] = slot_run(START)
    world.settle()
    world.stop()
    world.settle()

    assert [(slot_run(START), "Succeeded")] == world.history()
    assert [slot_run(START)] == [one["run"] for one in world.status["fulfilled"]]


def test_a_failed_run_is_called_a_success() -> None:
    """Children may run on it, the row of failures is over; what was counted stays counted."""
    world = World({**HOURLY, "suspendAfterFailures": 1})
    world.settle()
    world.finish(3)
    world.settle()
    before = world.condition("Suspended"), world.condition("LastRunSucceeded")
    world.annotations[names.MARK_SUCCESS] = slot_run(START)
    world.settle()
    writes = len(world.writes)
    world.settle()
    [told] = world.status["history"]

    assert (("True", "TooManyFailures"), ("False", "Failed")) == before
    assert ("Succeeded", "MarkedSuccess", 3) == (
        told["outcome"],
        told["reason"],
        told["exitCode"],
    )
    assert ("False", "NotSuspended") == world.condition("Suspended")
    assert ("True", "Succeeded") == world.condition("LastRunSucceeded")
    assert [slot_run(START)] == [one["run"] for one in world.status["fulfilled"]]
    assert (1, 0) == tuple(
        world.status["statistics"][name] for name in ("failures", "consecutiveFailures")
    )
    assert writes == len(world.writes), "once"
    assert 1 == [event.reason for event in world.events].count("RunMarked")
