"""What 5,000 BatchJobs cost while 100 of their statuses are written a second.

Nothing is due: what is measured is delivery alone, kopf's and ours. The loop's lag is our own
metric; kopf's share is the CPU of all threads but the main one, which is a little too much.
"""

import asyncio
import os
import sys
import time
from typing import Any

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.manifests import make_job
from tests.scale.e2e import budgets, client, ground

JOBS, A_SECOND, SECONDS = 5_000, 100, 60
_NAMESPACE = "default"
_JOBS = read.jobs(_NAMESPACE)
_QUIET_SECONDS = 5
_YEARLY = "0 0 1 1 *"
# Nobody waits for the usual pace of questions about new templates here.
QUICK = "--dry-runs-per-second=200"


async def stored(local: Cluster, bodies: list[dict[str, Any]], path: str) -> None:
    server = client.Server(local)
    await server.send([server.rendered("POST", path, body) for body in bodies], 16)


async def settled(operator: ground.Operator, count: int, within: float) -> None:
    """Wait until this many resources have a status and nothing has been written for a while."""
    ends, before, quiet = time.monotonic() + within, 0.0, 0
    while quiet < _QUIET_SECONDS:
        await asyncio.sleep(1)
        now = client.metric(operator.metrics(), "bayplan_api_writes_total")
        quiet = quiet + 1 if now == before >= count else 0
        before = now
        assert time.monotonic() < ends, f"{before:.0f} writes for {count} resources"


async def run() -> dict[str, float]:
    with ground.site("m5.2xlarge:us-east-1a=10") as (site, local):
        ground.ahead(local)
        jobs = [make_job(f"job-{n:04}", _NAMESPACE, schedule=_YEARLY) for n in range(JOBS)]
        await stored(local, jobs, _JOBS)
        with ground.Operator(site, QUICK) as operator:
            await asyncio.to_thread(operator.until_leading, 120)
            await settled(operator, JOBS, 400)
            ground.ahead(local)
            before, side = operator.metrics(), operator.side_seconds()
            began = time.monotonic()
            with ground.Control() as control:
                await _written(client.Server(local))
            wall = time.monotonic() - began
            after, kopf = operator.metrics(), operator.side_seconds() - side
            lag = "bayplan_loop_lag_seconds"
            print(
                f"{A_SECOND * SECONDS / wall:.0f} status writes a second, load {os.getloadavg()};"
                f" a thread that does nothing lags {control.p99_ms()} ms (p99)"
            )
            return {
                "lag_p99_ms": round(1000 * client.bucketed(before, after, lag, 0.99), 1),
                "kopf_percent": round(100 * kopf / wall, 1),
                "rss_mib": operator.rss_mib(),
            }


async def _written(server: client.Server) -> None:
    """So many statuses each second, of one job after the other."""
    for second in range(SECONDS):
        due = asyncio.get_running_loop().time() + 1
        requests = [
            server.rendered(
                "PATCH",
                f"{_JOBS}/job-{(second * A_SECOND + number) % JOBS:04}/status",
                {"status": {"statistics": {"runs": second + 1}}},
                "merge-patch+json",
            )
            for number in range(A_SECOND)
        ]
        await server.send(requests, 4)
        await asyncio.sleep(due - asyncio.get_running_loop().time())


def main() -> int:
    figures = asyncio.run(run())
    failed = budgets.judged("bench-crs", figures)
    print(budgets.last_line("bench-crs", figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
