"""What commands say of runs that the status does not tell yet: they read the pods."""

from typing import Any

import pytest

from bayplan.api import names, run_names
from bayplan.api.times import time_of
from tests.recorded import Body, Recorded, make_job, make_node, make_pod, run, told

SLOT = "2026-01-01T00:00:00Z"
RUN = run_names.slot_run(time_of(SLOT) or 0)


def job(**status: Any) -> Body:
    return make_job("report", schedule="@yearly", status={"nextSlotTime": SLOT, **status})


def pod(phase: str, **status: Any) -> Body:
    """The pod of the run that began at the job's first slot; the status says nothing of it."""
    found = make_pod(f"{run_names.prefix('report', 'uid-0')}{RUN}-0", node="n1")
    found["metadata"] |= {
        "labels": {names.JOB: "report", names.RUN: RUN, names.SLOT: str(time_of(SLOT))},
        "creationTimestamp": SLOT,
        "finalizers": [names.RUN_TRACKING],
        "ownerReferences": [
            {"kind": "BatchJob", "name": "report", "uid": "uid-0", "controller": True}
        ],
    }
    found["status"] = {"phase": phase, **status}
    return found


RUNNING = {
    "containerStatuses": [
        {"name": "main", "restartCount": 0, "state": {"running": {"startedAt": SLOT}}}
    ]
}


def test_a_run_that_has_just_begun_can_be_cancelled() -> None:
    """Without its name too, for it is the only one."""
    cluster = Recorded(job(), pod("Running", **RUNNING))

    assert RUN == told(cluster, "cancel", "report")["run"]
    assert RUN == cluster.annotations()[names.CANCEL_RUN]


@pytest.mark.parametrize(("phase", "running"), [("Running", 1), ("Pending", 0)])
def test_top_counts_what_runs_and_moves_next(phase: str, running: int) -> None:
    """A pod that waits for its containers does not run; the slot of its run has been."""
    [row] = told(Recorded(job(), pod(phase)), "top", "jobs")["jobs"]

    assert running == row["running"]
    assert row["next"] > SLOT


def test_top_tells_a_result_that_nobody_has_written() -> None:
    """The operator is stopped: the pod says that its run has succeeded."""
    over = {"exitCode": 0, "startedAt": SLOT, "finishedAt": "2026-01-01T00:01:00Z"}
    states = [{"name": "main", "restartCount": 0, "state": {"terminated": over}}]
    cluster = Recorded(job(), pod("Succeeded", containerStatuses=states))
    [row] = told(cluster, "top", "jobs")["jobs"]

    assert ("Succeeded", 0) == (row["result"], row["running"])


def test_without_the_right_to_list_pods_the_status_has_to_do() -> None:
    """It says so where a person asks about one job."""
    stored = job(active=[{"run": "r12345678", "attempt": 0}], running=3)
    pods = {"/api/v1/namespaces/default/pods": 403, "/api/v1/pods": 403}
    result = run(Recorded(stored, refuse=pods), "cancel", "report")

    assert "which may be behind" in result.stderr
    assert "r12345678" in result.stdout
    assert 3 == told(Recorded(stored, refuse=pods), "top", "jobs")["jobs"][0]["running"]


@pytest.mark.parametrize(("phase", "state"), [("Running", "Running"), ("Pending", "Starting")])
def test_an_attempt_that_waits_does_not_run_though_one_before_it_did(
    phase: str, state: str
) -> None:
    """The start in the status is that of the first attempt."""
    second = pod(phase)
    second["metadata"]["name"] = second["metadata"]["name"][:-1] + "1"
    entry = {
        "run": RUN, "trigger": "Schedule", "since": SLOT, "startTime": SLOT, "attempt": 1,
        "pods": [second["metadata"]["name"]], "node": "n1",
    }  # fmt: skip
    cluster = Recorded(job(active=[entry], lastSlotTime=SLOT), second, make_node("n1"))
    runs = told(cluster, "runs", "report")["runs"]
    explained = run(cluster, "explain", "job/report").output

    assert [state] == [one["state"] for one in runs]
    assert ("attempt 2 waits for its containers on n1" in explained) == (state == "Starting")


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (RUNNING, f"run {RUN}: runs on n1 since {SLOT}, attempt 1"),
        ({}, f"run {RUN}: attempt 1 waits for its containers on n1"),
    ],
)
def test_explain_tells_the_runs(status: Body, line: str) -> None:
    """Where each unfinished run stands, as its pod shows it."""
    phase = "Running" if status else "Pending"
    cluster = Recorded(job(), pod(phase, **status), make_node("n1"))

    assert line in run(cluster, "explain", "job/report").output.splitlines()


def test_explain_tells_a_run_whose_start_nobody_knows() -> None:
    """Of a job that is being deleted, with a pod whose containers are not told yet."""
    stored = job()
    stored["metadata"]["deletionTimestamp"] = SLOT
    cluster = Recorded(stored, pod("Running"), make_node("n1"))

    assert f"run {RUN}: runs on n1, attempt 1" in run(cluster, "explain", "job/report").output


def test_top_says_that_statuses_may_be_behind() -> None:
    """Without the right to list pods; on standard error, so that JSON stays JSON."""
    job = make_job("report", schedule="@daily", status={"running": 1})
    refuse = {"/api/v1/namespaces/default/pods": 403}
    for more in (["--once"], ["-o", "json"]):
        result = run(Recorded(job, refuse=refuse), "top", "jobs", *more)

        assert "which may be behind" in result.stderr, more
        assert "report" in result.stdout
