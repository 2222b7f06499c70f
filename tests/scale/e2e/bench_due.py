"""1,000 BatchJobs are due in the same second: how long until the last of their pods exists."""

import asyncio
import os
import sys
import time
from datetime import UTC, datetime

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.manifests import make_job
from tests.scale.e2e import budgets, client, ground
from tests.scale.e2e.bench_crs import QUICK, settled, stored

JOBS = 1_000
_SPACE = "default"
_JOBS = read.jobs(_SPACE)
_AHEAD_SECONDS = 40  # to tell all of them when they are due, and to let that settle


async def run() -> dict[str, float]:
    with ground.site("m5.2xlarge:us-east-1a=30") as (site, local):
        jobs = [make_job(f"job-{n:04}", _SPACE, schedule="0 0 1 1 *") for n in range(JOBS)]
        await stored(local, jobs, _JOBS)
        with ground.Operator(site, QUICK) as operator:
            await asyncio.to_thread(operator.until_leading)
            await settled(operator, JOBS, 300)
            path = read.pods(_SPACE)
            version = local.request("GET", path)["metadata"]["resourceVersion"]
            watcher = await client.Watcher(client.Server(local), path).start(version)
            due = int(time.time()) + _AHEAD_SECONDS
            await _told(local, due)
            ground.ahead(local)
            await asyncio.sleep(due - 1 - time.time())
            before = operator.metrics()
            meter = ground.Meter(local, {"bayplan": operator.pid})
            await watcher.until(lambda seen: len(seen.seen) >= JOBS, 120)
            late = [moment - due for moment in watcher.seen.values()]
            lag = client.bucketed(before, operator.metrics(), "bayplan_loop_lag_seconds", 0.99)
            print(f"CPU ms a pod: {meter.costs().table(JOBS)}; load {os.getloadavg()}")
            await watcher.stop()
            return {
                "first_seconds": round(min(late), 2),
                "median_seconds": round(client.percentile(late, 0.5), 2),
                "last_seconds": round(max(late), 2),
                "lag_p99_ms": round(1000 * lag, 1),
                "pods": len(watcher.seen),
            }


async def _told(local: Cluster, due: int) -> None:
    """One run of each, at this moment; their templates stay, so that nothing is asked again."""
    moment = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = {"spec": {"schedule": f"R1/{moment}/PT1H"}}
    server = client.Server(local)
    await server.send(
        [
            server.rendered("PATCH", f"{_JOBS}/job-{n:04}", patch, "merge-patch+json")
            for n in range(JOBS)
        ],
        16,
    )


def main() -> int:
    figures = asyncio.run(run())
    failed = budgets.judged("bench-due", figures)
    print(budgets.last_line("bench-due", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
