"""`runs` and `logs`: what failed last night, in all jobs, and what is left to read of it."""

import datetime as dt
from typing import Any

import pytest

from bayplan.api import names, run_names
from bayplan.api.times import rfc3339
from tests.recorded import Recorded, make_job, run, told

DAY = "2026-01-01T00:00:00Z"
FAILED = {"run": "s1", "outcome": "Failed", "reason": "ExitCode", "exitCode": 3, "attempts": 3,
          "startTime": DAY, "endTime": "2026-01-01T00:01:05Z", "slotTime": DAY}  # fmt: skip
GOOD = {**FAILED, "run": "s2", "outcome": "Succeeded", "reason": "Completed", "exitCode": 0}
ACTIVE = {"run": "r12345678", "attempt": 1, "startTime": DAY, "retryTime": None}
STATUS = {"active": [ACTIVE], "history": [GOOD, FAILED]}


def ago(hours: float) -> str:
    return rfc3339(int(dt.datetime.now(dt.UTC).timestamp() - 3600 * hours))


def ended(run_: str, hours: float, outcome: str = "Failed") -> dict[str, Any]:
    return {**FAILED, "run": run_, "outcome": outcome, "startTime": ago(hours + 0.1),
            "endTime": ago(hours), "slotTime": ago(hours + 0.1)}  # fmt: skip


def pod(run_: str, attempt: int = 0, code: int | None = 1, *, hours: float = 1, job: str = "report",
        uid: str = "uid-0", namespace: str = "default") -> dict[str, Any]:  # fmt: skip
    """An attempt's pod; it runs if it has no exit code."""
    times = {"startedAt": ago(hours + 0.1), "finishedAt": ago(hours)}
    state = {"running": times} if code is None else {"terminated": {"exitCode": code, **times}}
    phase = "Running" if code is None else "Failed" if code else "Succeeded"
    owner = {"apiVersion": names.API_VERSION, "kind": "BatchJob", "name": job, "uid": uid,
             "controller": True}  # fmt: skip
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"{run_names.prefix(job, uid)}{run_}-{attempt}",
            "namespace": namespace,
            "labels": {names.JOB: job},
            "ownerReferences": [owner],
            "finalizers": [names.RUN_TRACKING] if code is None else [],
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "main"}]},
        "status": {"phase": phase, "containerStatuses": [{"name": "main", "state": state}]},
    }


def texts(*pods: dict[str, Any]) -> dict[str, str]:
    return {
        f"/api/v1/namespaces/default/pods/{one['metadata']['name']}/log": f"{number}\n"
        for number, one in enumerate(pods)
    }


def stated(cluster: Recorded, *words: str) -> list[tuple[str, str]]:
    return [(one["run"], one["state"]) for one in told(cluster, "runs", *words)["runs"]]


def test_what_failed_last_night() -> None:
    """Runs of all jobs and namespaces by time, those that went wrong, since a moment."""
    load = make_job("load", schedule="@daily", status={"history": [
        ended("s4", 1, "Succeeded"), ended("s3", 5), ended("s2", 30)]})  # fmt: skip
    clean = make_job("clean", schedule="@daily", status={"history": [
        ended("s9", 2), {**ended("s8", 3, "Missed"), "endTime": None}]})  # fmt: skip
    clean["metadata"]["namespace"] = "prod"
    retrying = {"run": "s7", "attempt": 0, "failures": 1, "retryTime": ago(-1), "startTime": ago(1)}
    busy = make_job("busy", status={"active": [retrying]})
    cluster = Recorded(load, clean, busy)
    lines = run(cluster, "runs", "-A", "--failed", "--since", "12h").output.splitlines()

    assert ["NAMESPACE", "JOB", "STATE", "ENDED"] == lines[0].split()[:4]
    assert ["busy", "clean", "clean", "load"] == [line.split()[1] for line in lines[1:]]
    assert ["s9", "s8", "s3"] == [line.split()[-1] for line in lines[2:]]
    assert [("s7", f"Retrying at {retrying['retryTime']}"), ("s4", "Succeeded"), ("s3", "Failed"),
            ("s2", "Failed")] == stated(cluster)  # fmt: skip
    assert [("s4", "Succeeded"), ("s3", "Failed"), ("s2", "Failed")] == stated(cluster, "load")
    assert {("default", "load"), ("prod", "clean")} == {
        (one["namespace"], one["job"])
        for one in told(cluster, "runs", "-A", "--failed", "--since", "12h")["runs"]
        if one["run"] != "s7"
    }


def test_nothing_failed() -> None:
    """The answer is a sentence, not an empty table."""
    cluster = Recorded(make_job("load", status={"history": [ended("s2", 30)]}))

    assert (
        "Nothing went wrong since 12h.\n"
        == run(cluster, "runs", "-A", "--failed", "--since", "12h").output
    )
    assert "No run yet.\n" == run(Recorded(make_job("new")), "runs").output


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--since", "yesterday"], "--since: 'yesterday' is not a time"),
        (["report", "-A"], "Name a job, or give -A, not both"),
    ],
)
def test_what_cannot_be_listed(words: list[str], part: str) -> None:
    """One line that names the option."""
    assert part in run(Recorded(make_job("report")), "runs", *words, code=2).output


def test_a_run_that_the_status_does_not_know() -> None:
    """One that has just begun, and failed ones whose pods outlive the ten of the status."""
    status = {"history": [ended(f"s{number}", 1, "Succeeded") for number in range(10, 20)]}
    job = make_job("report", schedule="@hourly", status=status, retryPolicy={"limit": 1})
    pods = [pod("s5", 1, 3, hours=9), pod("s5", 0, 2, hours=9.5), pod("s4", 0, 4, hours=10),
            pod("szz", 0, None)]  # fmt: skip
    rows = {one["run"]: one for one in told(Recorded(job, *pods), "runs", "report")["runs"]}

    assert "Running" == rows["szz"]["state"]
    assert ("Failed", 3, "Error", 2) == tuple(
        rows["s5"][name] for name in ("state", "exitCode", "reason", "attempts")
    )
    assert 2 == len(rows["s5"]["logs"])
    # The run may have succeeded at its second attempt: nothing says so any more.
    assert "AttemptFailed" == rows["s4"]["state"]


def test_what_is_not_known_is_said() -> None:
    """A status keeps ten runs: whoever asks about more hears for which jobs that is too few."""
    status = {"history": [ended(f"s{number}", 0.1 * number, "Succeeded") for number in range(10)],
              "statistics": {"runs": 500}}  # fmt: skip
    cluster = Recorded(make_job("often", status=status), make_job("rare", status=STATUS))
    [partly] = told(cluster, "runs", "--since", "12h")["partlyKnown"]
    shown = run(cluster, "runs", "--since", "12h")

    assert ("often", status["history"][-1]["endTime"]) == (partly["job"], partly["knownSince"])
    assert "not all runs are known" in shown.stderr
    assert "default/often" in shown.stderr
    assert "rare" not in shown.stderr
    assert not told(cluster, "runs", "--since", "10m")["partlyKnown"]


def test_a_status_may_be_behind_the_pods() -> None:
    """An attempt that has begun is told as running, though the status says when it is due."""
    waiting = {"run": "s7", "attempt": 0, "failures": 1, "retryTime": ago(1)}
    job = make_job("report", status={"active": [waiting]})

    assert [("s7", "Running")] == stated(Recorded(job, pod("s7", 1, None)), "report")


def test_logs_are_of_the_newest_run_all_attempts_in_order() -> None:
    """Of the newest that failed with --failed; of a run by its name; of others' pods never."""
    pods = [pod("s1", 1), pod("s1", 0), pod("s2", 0, 0), pod("s3", 0, uid="uid-x")]
    report = make_job("report", schedule="@daily", status={
        "history": [ended("s2", 1, "Succeeded"), {**ended("s1", 2), "attempts": 2}]})  # fmt: skip
    cluster = Recorded(report, *pods, texts=texts(*pods))

    assert "2\n" == run(cluster, "logs", "report").stdout
    assert "1\n0\n" == run(cluster, "logs", "report", "--failed").stdout
    assert "1\n0\n" == run(cluster, "logs", "report", "--run", "s1", "--tail", "5").stdout
    assert "0\n" == run(cluster, "logs", "report", "--run", "s1", "--attempt", "2").stdout
    assert "attempt 2, exit code 1" in run(cluster, "logs", "report", "--failed").stderr
    assert "no pod is left of s7" in run(cluster, "logs", "report", "--run", "s7", code=1).output


def test_logs_say_what_is_gone() -> None:
    """Attempts without a pod are named with what the job keeps; no other run is shown instead."""
    pods = [pod("s1", 2)]
    report = make_job("report", schedule="@daily", history={"failed": 1, "successful": 0},
                      status={"history": [ended("s9", 1), ended("s1", 5)]})  # fmt: skip
    cluster = Recorded(report, *pods, texts=texts(*pods))
    newest = run(cluster, "logs", "report", "--failed", code=1).output
    older = run(cluster, "logs", "report", "--run", "s1")

    assert "no pod is left of run s9 (Failed, ExitCode, exit code 3" in newest
    assert "spec.history keeps 1 failed and 0 successful ones" in newest
    assert "--run s1 (Failed) has logs" in newest
    assert "0\n" == older.stdout
    assert "attempts 1, 2 of run s1 left no pod" in older.stderr
    assert (
        "no pod is left of attempt 2 of run s1"
        in run(cluster, "logs", "report", "--run", "s1", "--attempt", "2", code=1).output
    )


@pytest.mark.parametrize(
    ("status", "words", "part"),
    [
        ({}, [], "report has had no run yet"),
        ({}, ["--failed"], "no run of report that is known has failed"),
        (STATUS, ["--run", "s7"], "run s7 of report is not known"),
        ({"history": [GOOD]}, [], "no pod is left of any run of report"),
        ({"history": [GOOD]}, ["--failed"], "no run of report that is known has failed"),
    ],
)
def test_there_is_nothing_to_print(status: dict[str, Any], words: list[str], part: str) -> None:
    """What is said is true: no run, no failure, no such run, or no pod."""
    cluster = Recorded(make_job("report", status=status))

    assert part in run(cluster, "logs", "report", *words, code=1).output


def test_a_log_that_cannot_be_had_does_not_hide_the_others() -> None:
    """A pod's node may be gone; only if no log can be had the command fails."""
    pods = [pod("s1", 0), pod("s1", 1)]
    report = make_job("report", status={"history": [{**ended("s1", 1), "attempts": 2}]})
    first = f"/api/v1/namespaces/default/pods/{pods[0]['metadata']['name']}/log"
    one = run(Recorded(report, *pods, texts=texts(*pods), refuse={first: 404}), "logs", "report")

    assert "1\n" == one.stdout
    assert "no log: refused" in one.stderr
    nothing = Recorded(report, *pods, refuse={first.rpartition("-")[0]: 404})
    assert "refused" in run(nothing, "logs", "report", code=3).output


def test_without_the_right_to_list_pods() -> None:
    """`runs` has what the status says and claims nothing of logs; `logs` says what is refused."""
    cluster = Recorded(
        make_job("report", status=STATUS), refuse={"/api/v1/namespaces/default/pods": 403}
    )
    listed = run(cluster, "runs", "report")

    assert "gone" not in listed.stdout
    assert "may be behind" in listed.stderr
    assert "refused" in run(cluster, "logs", "report", code=3).output
