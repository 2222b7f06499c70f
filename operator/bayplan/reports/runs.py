"""The runs of jobs, from what their statuses say and from the pods that are left.

A status has the last ten runs that ended; the pods of failed runs may stay longer (`spec.history`).
Therefore a run is listed if the status or a pod knows it. The statuses given here are to be those
of `live_jobs`, which are never behind.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bayplan.api import run_names
from bayplan.api.times import rfc3339, time_of
from bayplan.model.pods import Phase, Pod
from bayplan.reconcile.batchjob.attempt_outcome import (
    AttemptOutcome,
    Standing,
    by_exit_code,
    outcome_of,
)
from bayplan.reconcile.batchjob.stored_status import MOST_HISTORY

ATTEMPT_FAILED = "AttemptFailed"  # the pod of an attempt is left, and its run is forgotten
_WRONG = frozenset({"Failed", "Missed", "Lost", ATTEMPT_FAILED})
_STATES = {
    Standing.SUCCEEDED: "Succeeded",
    Standing.FAILED: "Failed",
    Standing.LOST: "Lost",
    Standing.CANCELLED: "Cancelled",
}
_WORST_FIRST = (Standing.FAILED, Standing.CANCELLED, Standing.LOST, Standing.SUCCEEDED)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One pod of a run; a run with several tasks has one for each `index`."""

    number: int
    index: int
    pod: Pod


def attempts(body: Mapping[str, Any], pods: Iterable[Pod]) -> dict[str, list[Attempt]]:
    """The pods of a BatchJob by run, in the order of their attempts."""
    about = body["metadata"]
    prefix = run_names.prefix(about["name"], about["uid"])
    found: dict[str, list[Attempt]] = {}
    for pod in pods:
        named = run_names.attempt_of(prefix, pod.name)
        if named is not None and pod.owner is not None and pod.owner.uid == about["uid"]:
            run, number, index = named
            found.setdefault(run, []).append(Attempt(number, index, pod))
    for each in found.values():
        each.sort(key=lambda one: (one.number, one.index))
    return found


def of_job(body: Mapping[str, Any], pods: Collection[Pod] | None, now: int) -> list[dict[str, Any]]:
    """The runs of a BatchJob: unfinished ones, then those that ended, the newest first.

    Each has the fields of the status, and `state`, `wentWrong`, and `logs`: its pods that exist.
    With `pods` None, when it is not known which exist, `logs` is absent.
    """
    about, status = body["metadata"], body.get("status") or {}
    living = attempts(body, pods or ())
    rows = [
        _active(one, None if pods is None else living.get(one["run"], ()))
        for one in status.get("active") or ()
    ]
    known = {row["run"] for row in rows}
    for one in status.get("history") or ():
        rows.append({**_shown(one), "state": one["outcome"]})
        known.add(one["run"])
    rows += [_of_pods(body, run, each, now) for run, each in living.items() if run not in known]
    for row in rows:
        if pods is not None:
            row["logs"] = [one.pod.name for one in living.get(row["run"], ())]
        row["wentWrong"] = row["state"] in _WRONG or (
            not _ended(row) and bool(row.get("failures") or row.get("retryTime"))
        )
    rows.sort(key=lambda row: (_ended(row), -(ended_at(row) or 0)))
    where = {"namespace": about["namespace"], "job": about["name"]}
    return [{**where, **row} for row in rows]


def of_jobs(
    bodies: Iterable[Mapping[str, Any]], pods: Collection[Pod] | None, now: int
) -> list[dict[str, Any]]:
    """The runs of several BatchJobs: unfinished ones, then those that ended, each by time."""
    by_owner: dict[str, list[Pod]] = {}
    for pod in pods or ():
        if pod.owner is not None:
            by_owner.setdefault(pod.owner.uid, []).append(pod)
    rows = [
        row
        for body in bodies
        for row in of_job(
            body, None if pods is None else by_owner.get(body["metadata"]["uid"], []), now
        )
    ]
    return sorted(rows, key=lambda row: (_ended(row), -(ended_at(row) or _begun_at(row) or 0)))


def since(rows: Iterable[dict[str, Any]], moment: int) -> list[dict[str, Any]]:
    """The runs that have not ended, or have ended since then."""
    return [row for row in rows if not _ended(row) or (ended_at(row) or 0) >= moment]


def known_since(body: Mapping[str, Any]) -> int | None:
    """Since when the status knows all runs that ended; None if it knows all that ever did."""
    status = body.get("status") or {}
    history = status.get("history") or ()
    runs = (status.get("statistics") or {}).get("runs")
    if len(history) < MOST_HISTORY or (runs is not None and runs <= len(history)):
        return None
    return ended_at(list(history)[-1])


def ended_at(row: Mapping[str, Any]) -> int | None:
    """When a run ended, in epoch seconds; of a missed one the scheduled time."""
    return time_of(row.get("endTime")) or (time_of(row.get("slotTime")) if _ended(row) else None)


def attempts_of(row: Mapping[str, Any]) -> int | None:
    """How many attempts a run has had; None if nothing says so."""
    if "attempt" in row:
        return int(row["attempt"]) + 1
    return row.get("attempts")


def _begun_at(row: Mapping[str, Any]) -> int | None:
    return time_of(row.get("startTime")) or time_of(row.get("since"))


def _ended(row: Mapping[str, Any]) -> bool:
    return "state" not in row or row["state"] in {*_STATES.values(), "Missed", ATTEMPT_FAILED}


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    """The run without a start at the epoch: older operators stored that for runs never started."""
    never = "startTime" in one and not time_of(one["startTime"])
    return {name: value for name, value in one.items() if not (never and name == "startTime")}


def unfinished(
    body: Mapping[str, Any], pods: Collection[Pod] | None, now: int
) -> list[dict[str, Any]]:
    """The runs of a BatchJob that have not ended, as `of_job` tells them."""
    return [row for row in of_job(body, pods, now) if not _ended(row)]


def _active(one: Mapping[str, Any], pods: Collection[Attempt] | None) -> dict[str, Any]:
    """An unfinished run; `startTime` may be of an earlier attempt, so its pods say if it runs."""
    row = _shown(one)
    if row.get("retryTime"):
        return {**row, "state": f"Retrying at {row['retryTime']}"}
    runs = bool(row.get("startTime"))
    if pods and runs:
        newest = {each.index: each.pod for each in pods}
        runs = any(pod.phase is Phase.RUNNING for pod in newest.values())
    return {**row, "state": "Running" if runs else "Starting"}


def _of_pods(
    body: Mapping[str, Any], run: str, pods: Collection[Attempt], now: int
) -> dict[str, Any]:
    """A run that only its pods tell of: it has just begun, or the status has forgotten it."""
    spec = body.get("spec") or {}
    last = {one.index: one for one in pods}  # pods are in the order of their attempts
    verdicts = {index: _verdict(one.pod, spec, now) for index, one in last.items()}
    slot = run_names.slot_of(run) or run_names.backfilled(run)
    starts = [one.pod.ending.started_at for one in pods if one.pod.ending.started_at is not None]
    row: dict[str, Any] = {"run": run}
    if slot is not None:
        row["slotTime"] = rfc3339(slot)
    if starts:
        row["startTime"] = rfc3339(min(starts))
    alive = [index for index, found in verdicts.items() if found.standing is Standing.LIVE]
    if alive:
        pod = last[alive[0]].pod
        begun = pod.phase is Phase.RUNNING or pod.ending.started_at is not None
        return {**row, "attempt": last[alive[0]].number, "node": pod.node,
                "state": "Running" if begun else "Starting"}  # fmt: skip
    standing = next(
        one for one in _WORST_FIRST if any(v.standing is one for v in verdicts.values())
    )
    index = next(at for at, found in verdicts.items() if found.standing is standing)
    verdict, attempt = verdicts[index], last[index]
    limit = (spec.get("retryPolicy") or {}).get("limit", 0)
    retried = standing is Standing.FAILED and attempt.number < limit
    row |= {
        "state": ATTEMPT_FAILED if retried else _STATES[standing],
        "endTime": rfc3339(max(one.pod.ended_at(now) for one in last.values())),
        "attempts": max(one.number for one in pods) + 1,
        "reason": verdict.reason,
        "node": attempt.pod.node,
    }
    return row if verdict.exit_code is None else {**row, "exitCode": verdict.exit_code}


def _verdict(pod: Pod, spec: Mapping[str, Any], now: int) -> AttemptOutcome:
    """How an attempt ended; a pod that has not ended lives, whatever its node does."""
    if not pod.terminal:
        return AttemptOutcome(Standing.LIVE)
    found = outcome_of(pod, {}, 0, pod.grace_seconds or 0, now)
    return by_exit_code(found, pod, spec.get("successExitCodes") or ())
