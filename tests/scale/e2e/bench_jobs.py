"""Thousands of BatchJobs, each due once a minute: how late their runs are and what one costs.

Every job has a second of its own within the minute, hashed from its name, so that some fifty runs
begin each second; each lasts five seconds. A job keeps one finished run, so that from the second
minute on each run costs its four writes: CREATE, status, finalizer, DELETE. Lateness is seen from
outside, on a watch: from the slot that a pod's name tells to the pod's appearance. `--jobs 10000`
is told and not judged.

Then the same with two hundred jobs whose runs last forty seconds, for two minutes: a run longer
than half a minute has a fifth write, which tells its start.
"""

import argparse
import asyncio
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.progress import Progress

from bayplan.api import run_names
from tests.cluster import read
from tests.cluster.manifests import make_job
from tests.scale.e2e import budgets, client, ground
from tests.scale.e2e.bench_crs import QUICK, settled, stored

JOBS, MINUTES = 3_000, 5
_SPACE = "default"
_JOBS = read.jobs(_SPACE)
_MINUTE = 60
_SHORT_SECONDS, _LONG_SECONDS = 5, 40
_LONG_JOBS, _LONG_MINUTES = 200, 3
_SETTLED_A_SECOND = 50  # jobs stored, asked about and given a status, at the least
_LAST_SECONDS = 30  # what is not there by then is lost, however late it may come


def second_of(name: str) -> int:
    """The second of the minute in which a job is due."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % _MINUTE


def slot_of(pod: str) -> tuple[str, int]:
    """Job and slot (epoch seconds) that a pod's name tells."""
    job, _, rest = pod.partition("-")
    run = rest.split("-")[1]
    slot = run_names.slot_of(run)
    assert slot is not None, pod
    return job, slot


def lateness(
    seen: Mapping[bytes, float], names: list[str], first: int, minutes: int
) -> tuple[list[float], int, int]:
    """How late each slot's pod came; how many slots have none; how many pods were one too many."""
    pods: Counter[tuple[str, int]] = Counter()
    late: list[float] = []
    wanted = {
        (name, first + second_of(name) + _MINUTE * minute)
        for name in names
        for minute in range(minutes)
    }
    for pod, moment in seen.items():
        job, slot = slot_of(pod.decode())
        pods[job, slot] += 1
        if (job, slot) in wanted:
            late.append(moment - slot)
    return late, len(wanted - pods.keys()), sum(pods.values()) - len(pods)


async def run(jobs: int, minutes: int, seconds: int = _SHORT_SECONDS) -> dict[str, float]:
    names = [f"job{number:05}" for number in range(jobs)]
    with ground.site("m5.2xlarge:us-east-1a=60") as (site, local):
        first = int(time.time()) + 30 + jobs // _SETTLED_A_SECOND
        await stored(local, [_minutely(name, first, seconds) for name in names], _JOBS)
        ground.ahead(local)
        with ground.Operator(site, QUICK) as operator:
            await asyncio.to_thread(operator.until_leading)
            await settled(operator, jobs, first - time.time())
            path = read.pods(_SPACE)
            version = local.request("GET", f"{path}?limit=1")["metadata"]["resourceVersion"]
            watcher = await client.Watcher(client.Server(local), path).start(version)
            # The first minute fills what later ones delete from; the figures are of the others.
            await _passed(first + _MINUTE, "the first minute")
            before, runs = operator.metrics(), len(watcher.seen)
            meter = ground.Meter(local, {"bayplan": operator.pid})
            await _passed(first + _MINUTE * minutes, f"{minutes - 1} minutes more")
            after, runs, costs = operator.metrics(), len(watcher.seen) - runs, meter.costs()
            await asyncio.sleep(_LAST_SECONDS)
            late, lost, doubled = lateness(watcher.seen, names, first, minutes)
            await watcher.stop()
            written = {kind: _gain(before, after, kind=kind) for kind in ("Pod", "BatchJob")}
            lag = client.bucketed(before, after, "bayplan_loop_lag_seconds", 0.99)
            print(f"CPU ms a run: {costs.table(runs)}; load {os.getloadavg()}")
            print(f"writes a run: { ({kind: round(n / runs, 2) for kind, n in written.items()}) }")
            return {
                "late_p50_seconds": round(client.percentile(late, 0.5), 2),
                "late_p99_seconds": round(client.percentile(late, 0.99), 2),
                "late_most_seconds": round(max(late), 2),
                "writes_per_run": round(sum(written.values()) / runs, 2),
                "rss_mib": operator.rss_mib(),
                "lost": lost,
                "doubled": doubled,
                "runs_a_second": round(runs / costs.wall, 1),
                "lag_p99_ms": round(1000 * lag, 1),
                "operator_percent": round(100 * costs.cpu["bayplan"] / costs.wall, 1),
            }


def _minutely(name: str, first: int, seconds: int) -> dict[str, Any]:
    start = datetime.fromtimestamp(first + second_of(name), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return make_job(
        name,
        _SPACE,
        schedule=f"R/{start}/PT1M",
        history={"successful": 1, "failed": 1},
        seconds=seconds,
    )


async def _passed(moment: float, what: str) -> None:
    """Wait until this moment, with a bar."""
    total = moment - time.time()
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total)
        while (left := moment - time.time()) > 0:
            await asyncio.sleep(min(1, left))
            bar.update(task, completed=total - left)


def _gain(before: str, after: str, **labels: str) -> float:
    name = "bayplan_api_writes_total"
    return client.metric(after, name, **labels) - client.metric(before, name, **labels)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--minutes", type=int, default=MINUTES)
    asked = parser.parse_args()
    figures = asyncio.run(run(asked.jobs, asked.minutes))
    of_long = asyncio.run(run(_LONG_JOBS, _LONG_MINUTES, _LONG_SECONDS))
    figures["writes_per_long_run"] = of_long["writes_per_run"]
    judged = asked.jobs == JOBS
    failed = budgets.judged("bench-jobs", figures) if judged else 0
    print(budgets.last_line("bench-jobs", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
