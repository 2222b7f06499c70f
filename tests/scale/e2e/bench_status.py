"""How far the statuses of BatchJobs are behind the pods, seen from outside on an API server.

36 jobs are due once a minute, each in a second of its own: two thirds run five seconds, nine run 45
seconds, and three wait 40 seconds for their containers. Six more runs go on to the end. Pods and
jobs are listed twice a second. A state of a job's pods that lasts longer than half a minute has to
be in its status soon: how many runs there are and how many of them run, by their pods; that LAST
is not before the newest run, and NEXT is after it; that the runs that ended are in the history.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bayplan.api import names
from bayplan.api.times import time_of
from localcluster import Cluster
from tests.cluster import read
from tests.cluster.manifests import make_job
from tests.scale.e2e import budgets, ground
from tests.scale.e2e.bench_crs import QUICK, settled, stored

CRONS, MINUTES = 36, 4
_LASTS = 30.0  # seconds: a shorter state need not be told
_LONG_RUNS = 6
_SHORT, _LONG, _WAIT = 5, 45, 40  # seconds
_SPACE = "default"
_LOOK_SECONDS = 0.5
_OVER = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class State:
    """What the pods of one job show at one moment."""

    running: frozenset[str]
    waiting: frozenset[str]
    ended: frozenset[str]  # names of runs
    newest: int  # the latest scheduled time with a pod


def state_of(pods: Iterable[Mapping[str, Any]]) -> State:
    """The state that these pods of a job show."""
    by: dict[str, set[str]] = {"Running": set(), "Pending": set()}
    ended, newest = set(), -1
    for pod in pods:
        labels, phase = pod["metadata"]["labels"], pod["status"]["phase"]
        newest = max(newest, int(labels.get(names.SLOT, -1)))
        if phase in _OVER:
            ended.add(labels[names.RUN])
        else:
            by[phase].add(pod["metadata"]["name"])
    return State(frozenset(by["Running"]), frozenset(by["Pending"]), frozenset(ended), newest)


def is_told(status: Mapping[str, Any], state: State) -> bool:
    """Whether a job's status says what its pods show."""
    active = {pod for one in status.get("active", ()) for pod in one.get("pods", ())}
    known = {one["run"] for one in status.get("history", ())}
    after = time_of(status.get("nextSlotTime"))
    return (
        active == state.running | state.waiting
        and status.get("running") == len(state.running)
        and (time_of(status.get("lastRunTime")) or -1) >= state.newest
        and (after is None or after > state.newest)
        and state.ended <= known
    )


def most_behind(looks: Sequence[tuple[float, State, bool]]) -> float:
    """The longest time in seconds until a state that lasted was told; looks are of one job."""
    most, begun, told_at = 0.0, looks[0][0], None
    for number, (at, state, told) in enumerate(looks):
        if number and state != looks[number - 1][1]:
            begun, told_at = at, None
        if told and told_at is None:
            told_at = at
        lag = (at if told_at is None else told_at) - begun
        if at - begun > _LASTS:
            most = max(most, lag)
    return most


async def run(minutes: int) -> dict[str, float]:
    with ground.site("m5.2xlarge:us-east-1a=10") as (site, local):
        first = int(time.time()) + 45
        jobs = [_cron(number, first) for number in range(CRONS)]
        jobs += [make_job(f"long{number}", _SPACE) for number in range(_LONG_RUNS)]
        await stored(local, jobs, read.jobs(_SPACE))
        ground.ahead(local)
        with ground.Operator(site, QUICK) as operator:
            await asyncio.to_thread(operator.until_leading)
            await settled(operator, len(jobs), first - time.time())
            looks = await asyncio.to_thread(_watched, local, first + 60 * minutes)
    behind = {name: most_behind(of_job) for name, of_job in looks.items()}
    runs = {run for of_job in looks.values() for run in of_job[-1][1].ended}
    worst = max(behind, key=lambda name: behind[name])
    print(f"{len(looks)} jobs, {len(runs)} ended runs seen at the end, worst: {worst}")
    return {"behind_seconds": round(behind[worst], 1)}


def _watched(local: Cluster, until: float) -> dict[str, list[tuple[float, State, bool]]]:
    looks: dict[str, list[tuple[float, State, bool]]] = {}
    while time.time() < until:
        at = time.monotonic()
        pods: dict[str, list[dict[str, Any]]] = {}
        # The jobs first: a pod that ended in between would make the status look late, not early.
        jobs = local.request("GET", read.jobs(_SPACE))["items"]
        for pod in local.request("GET", read.pods(_SPACE))["items"]:
            pods.setdefault(pod["metadata"]["labels"][names.JOB], []).append(pod)
        for job in jobs:
            name = job["metadata"]["name"]
            state = state_of(pods.get(name, ()))
            looks.setdefault(name, []).append((at, state, is_told(job.get("status", {}), state)))
        time.sleep(max(0.0, at + _LOOK_SECONDS - time.monotonic()))
    return looks


def _cron(number: int, first: int) -> dict[str, Any]:
    at = first + number * 60 // CRONS
    start = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return make_job(
        f"cron{number:02}",
        _SPACE,
        schedule=f"R/{start}/PT1M",
        start_seconds=0 if number % 12 else _WAIT,
        seconds=_LONG if number % 3 == 0 and number % 4 else _SHORT,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=MINUTES)
    figures = asyncio.run(run(parser.parse_args().minutes))
    failed = budgets.judged("bench-status", figures)
    print(budgets.last_line("bench-status", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
