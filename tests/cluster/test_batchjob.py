"""BatchJob from apply to status on a real API server."""

import time
from collections.abc import Mapping
from typing import Any

import pytest

from bayplan.api import run_names
from bayplan.api.times import rfc3339
from tests.cluster import read
from tests.cluster.manifests import make_job
from tests.cluster.under_test import Site

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def nodes(site: Site) -> list[str]:
    return site.nodes("m5.xlarge:us-east-1a=2", pool="jobs")


POD = {"nodeSelector": {"pool": "jobs"}}


def test_a_one_shot_runs_once_and_completes(site: Site, namespace: str) -> None:
    """A job without a schedule runs once; its status tells the outcome and stays `Complete`."""
    site.kube.apply(make_job("once", namespace, seconds=1, pod=POD))
    done = site.kube.until(
        read.jobs(namespace), lambda found: read.holds(found, "once", "Complete") and found["once"]
    )

    assert [("Succeeded", 0)] == [
        (run["outcome"], run["exitCode"]) for run in done["status"]["history"]
    ]
    assert 1 == done["status"]["statistics"]["successes"]
    assert "True" == read.condition(done, "Ready")["status"]


def test_a_failing_run_is_retried_to_its_limit(site: Site, namespace: str) -> None:
    """A run that fails is tried `limit` times more, by new pods; its last code is reported."""
    policy = {"limit": 1, "delaySeconds": 1}
    site.kube.apply(make_job("bad", namespace, seconds=1, code=7, retryPolicy=policy, pod=POD))
    failed = site.kube.until(
        read.jobs(namespace), lambda found: read.holds(found, "bad", "Failed") and found["bad"]
    )
    [run] = failed["status"]["history"]

    assert ("Failed", 7, 2) == (run["outcome"], run["exitCode"], run["attempts"])
    assert "False" == read.condition(failed, "LastRunSucceeded")["status"]


def test_a_run_is_told_while_it_runs(site: Site, namespace: str) -> None:
    """Its pod, that it runs, and LAST; a pod that waits for its container is told and runs not."""
    site.kube.apply(
        make_job("runs", namespace, pod=POD),
        make_job("waits", namespace, start_seconds=3600, pod=POD),
    )
    jobs = site.kube.until(
        read.jobs(namespace),
        lambda found: all(found[name].get("status", {}).get("active") for name in found) and found,
        within=60,
    )
    pods = site.kube.listed(read.pods(namespace))
    told = {name: job["status"] for name, job in jobs.items()}

    assert {"runs": 1, "waits": 0} == {name: status["running"] for name, status in told.items()}
    assert pods.keys() == {status["active"][0]["pods"][0] for status in told.values()}
    assert all(status["lastRunTime"] for status in told.values())


def test_a_schedule_runs_slot_after_slot(site: Site, namespace: str) -> None:
    """Every slot of a schedule gets one run, named by its slot, in order."""
    site.kube.apply(make_job("often", namespace, schedule="R3//PT10S", seconds=1, pod=POD))
    done = site.kube.until(
        read.jobs(namespace),
        lambda found: (
            found["often"].get("status", {}).get("statistics", {}).get("successes") == 3
            and found["often"]
        ),
        within=60,
    )
    slots = [run["slotTime"] for run in done["status"]["history"]]

    assert 3 == len(set(slots))
    assert 0 == done["status"]["remainingRuns"]


def test_children_run_when_their_parents_have_succeeded(site: Site, namespace: str) -> None:
    """A chain applied at once, the last first: each runs once, after the one before it."""
    chain = [("load", ["clean"]), ("clean", ["fetch"]), ("fetch", [])]
    for name, parents in chain:
        named = [{"name": parent} for parent in parents]
        site.kube.apply(make_job(name, namespace, seconds=1, parents=named, pod=POD))
    done = site.kube.until(
        read.jobs(namespace),
        lambda found: found["load"].get("status", {}).get("history") and found,
        within=60,
    )
    ends = {name: done[name]["status"]["history"][0]["endTime"] for name, _ in chain}

    assert ends["fetch"] <= ends["clean"] <= ends["load"]
    assert [1, 1, 1] == [done[name]["status"]["statistics"]["runs"] for name, _ in chain]
    assert [{"name": "clean", "run": done["clean"]["status"]["fulfilled"][0]["run"]}] == done[
        "load"
    ]["status"]["consumed"]


def test_suspend_holds_and_run_now_runs(site: Site, namespace: str) -> None:
    """A suspended job starts nothing by itself; a run-now token runs it exactly once."""
    site.kube.apply(
        make_job("held", namespace, schedule="* * * * *", suspend=True, seconds=1, pod=POD)
    )
    site.kube.until(read.jobs(namespace), lambda found: read.holds(found, "held", "Suspended"))
    note = {"metadata": {"annotations": {"bayplan.dev/run-now": "one"}}}
    site.kube.patch(f"{read.jobs(namespace)}/held", note)
    ran = site.kube.until(
        read.jobs(namespace),
        lambda found: (
            found["held"].get("status", {}).get("statistics", {}).get("runs") == 1 and found["held"]
        ),
    )

    assert ["Succeeded"] == [run["outcome"] for run in ran["status"]["history"]]


def test_what_passed_while_suspended_does_not_run(site: Site, namespace: str) -> None:
    """Resumed a few seconds after a slot: that one is left out, the next ones run.

    Two other jobs are the clock: they run between its slots.
    """
    first = int(time.time()) + 15
    slots = [first + 12 * number for number in range(4)]
    every = {"schedule": f"R4/{rfc3339(first)}/PT12S", "missedRunPolicy": "RunAll"}
    site.kube.apply(
        make_job("held", namespace, seconds=1, pod=POD, **every),
        *(
            make_job(name, namespace, schedule=f"R1/{rfc3339(at)}/PT1H", seconds=1, pod=POD)
            for name, at in (("before", slots[0] + 4), ("after", slots[1] + 2))
        ),
    )
    job = f"{read.jobs(namespace)}/held"
    site.kube.until(read.jobs(namespace), lambda found: _runs(found["before"]) == 1)
    site.kube.patch(job, {"spec": {"suspend": True}})
    site.kube.until(read.jobs(namespace), lambda found: _runs(found["after"]) == 1)
    site.kube.patch(job, {"spec": {"suspend": False}})
    done = site.kube.until(
        read.jobs(namespace), lambda found: _runs(found["held"]) == 3 and found["held"]
    )

    assert {rfc3339(slots[number]) for number in (0, 2, 3)} == {
        one["slotTime"] for one in done["status"]["history"]
    }
    assert 0 == done["status"]["statistics"]["missed"]


def _runs(job: Mapping[str, Any]) -> int:
    """How many runs have ended."""
    found: int = job.get("status", {}).get("statistics", {}).get("runs", 0)
    return found


def test_a_backfill_runs_each_time_once(site: Site, namespace: str) -> None:
    """Three full hours before the job was made: a run for each, by its name; asked again, none."""
    hour = int(time.time()) // 3600 * 3600
    span = "/".join(rfc3339(at) for at in (hour - 7200, hour))
    more = {"history": {"successful": 10}}  # the full hour may strike meanwhile
    site.kube.apply(make_job("past", namespace, schedule="0 * * * *", seconds=1, pod=POD, **more))
    note = {"metadata": {"annotations": {"bayplan.dev/backfill": span}}}
    site.kube.patch(f"{read.jobs(namespace)}/past", note)
    wanted = {run_names.backfill_run(hour - n * 3600) for n in range(3)}
    site.kube.until(
        read.jobs(namespace),
        lambda found: (
            wanted <= {run["run"] for run in found["past"].get("status", {}).get("history", ())}
        ),
        within=60,
    )
    again = {"metadata": {"annotations": {"bayplan.dev/backfill": f"{span[:-1]}.0Z"}}}
    site.kube.patch(f"{read.jobs(namespace)}/past", again)
    refused = site.kube.until(
        read.events(namespace),
        lambda found: [one for one in found.values() if one["reason"] == "BackfillRefused"],
    )
    done = site.kube.listed(read.jobs(namespace))["past"]["status"]

    assert "left without a run" in refused[0]["note"]
    assert 3 == sum(run["run"].startswith("b") for run in done["history"])


def test_a_failed_run_is_run_again(site: Site, namespace: str) -> None:
    """As a new run; the annotation that stays leads to no third."""
    policy = {"limit": 0}
    site.kube.apply(make_job("bad", namespace, seconds=1, code=7, retryPolicy=policy, pod=POD))
    path = f"{read.jobs(namespace)}/bad"
    failed = site.kube.until(
        read.jobs(namespace), lambda found: read.holds(found, "bad", "Failed") and found["bad"]
    )
    [first] = failed["status"]["history"]
    site.kube.patch(path, {"metadata": {"annotations": {"bayplan.dev/retry": first["run"]}}})
    twice = site.kube.until(
        read.jobs(namespace),
        lambda found: len(found["bad"]["status"]["history"]) == 2 and found["bad"]["status"],
    )

    assert run_names.again_run(first["run"]) == twice["history"][0]["run"]
    assert 2 == twice["statistics"]["failures"]


def test_a_deleted_job_leaves_nothing(site: Site, namespace: str) -> None:
    """Deleting a job in mid-run removes its pods, finalizers and all."""
    site.kube.apply(make_job("gone", namespace, seconds=600, pod=POD))
    site.kube.until(read.pods(namespace), read.running)
    site.kube.kubectl("delete", "batchjob", "gone", "-n", namespace, "--cascade=foreground")

    assert not site.kube.listed(read.pods(namespace))


def test_a_finished_run_releases_its_pod(site: Site, namespace: str) -> None:
    """A run pod carries the tracking finalizer until its outcome is in the status, no longer."""
    site.kube.apply(make_job("kept", namespace, seconds=1, pod=POD))
    kept = site.kube.until(
        read.pods(namespace),
        lambda found: [
            pod
            for pod in found.values()
            if pod["status"]["phase"] == "Succeeded" and "finalizers" not in pod["metadata"]
        ],
    )

    assert 1 == len(kept)


def test_an_array_runs_every_index(site: Site, namespace: str) -> None:
    """Three pods, told apart by their index; the run succeeds once, when all have."""
    site.kube.apply(make_job("array", namespace, seconds=1, tasks=3, pod=POD))
    done = site.kube.until(
        read.jobs(namespace),
        lambda found: read.holds(found, "array", "Complete") and found["array"],
    )
    pods = site.kube.listed(read.pods(namespace)).values()

    assert ["0", "1", "2"] == sorted(
        one["value"]
        for pod in pods
        for one in pod["spec"]["containers"][0]["env"]
        if one["name"] == "BAYPLAN_TASK_INDEX"
    )
    assert (1, 3) == (
        done["status"]["statistics"]["successes"],
        done["status"]["history"][0]["tasks"],
    )


def test_a_gang_without_room_for_all_places_none(site: Site, namespace: str) -> None:
    """Three tasks of three CPU on nodes that hold two: all wait; with another node all run."""
    pool = {"nodeSelector": {"pool": namespace}}
    site.nodes("m5.xlarge:us-east-1a=2", pool=namespace)
    gang = make_job("gang", namespace, seconds=60, tasks=3, gang=True, cpu="3", pod=pool)
    site.kube.apply(gang)
    waiting = site.kube.until(
        read.pods(namespace),
        lambda found: (
            list(found.values())
            if len(found) == 3 and all(map(read.unschedulable, found.values()))
            else None
        ),
    )

    assert [] == [pod for pod in waiting if pod["spec"].get("nodeName")]

    site.nodes("m5.xlarge:us-east-1b=1", pool=namespace)
    site.kube.until(read.pods(namespace), lambda found: len(read.running(found)) == 3)
