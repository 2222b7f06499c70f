"""A steady cluster is not written to: two minutes, nothing but the lease.

200 resources of both kinds; with `--services` 2,000 LongServices of three instances each. Judged by
the API server's audit log, not by what the operator says of itself.
"""

import argparse
import asyncio
import os
import sys
import time
from collections import Counter
from typing import Any

from localcluster import Cluster
from tests.cluster import read
from tests.cluster.manifests import make_job, make_service
from tests.cluster.under_test import ACCOUNT, NAMESPACE
from tests.scale.e2e import budgets, client, ground
from tests.scale.e2e.bench_crs import QUICK, settled, stored

SECONDS, EACH = 120, 100
SERVICES, INSTANCES = 2_000, 3
_SPACE = "default"
_OPERATOR = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
_READS = frozenset({"get", "list", "watch"})


def mixed() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Jobs that have ended or wait for next year, and services."""
    ended = [make_job(f"done-{n}", _SPACE, seconds=1) for n in range(EACH // 2)]
    later = [make_job(f"later-{n}", _SPACE, schedule="0 0 1 1 *") for n in range(EACH // 2)]
    return [*ended, *later], [make_service(f"web-{n}", _SPACE, replicas=2) for n in range(EACH)]


def many() -> list[dict[str, Any]]:
    return [
        make_service(f"web-{n}", _SPACE, replicas=INSTANCES, cpu="10m", memory="16Mi")
        for n in range(SERVICES)
    ]


async def run(
    jobs: list[dict[str, Any]], services: list[dict[str, Any]], nodes: int, seconds: int
) -> dict[str, float]:
    with ground.site(f"m5.2xlarge:us-east-1a={nodes}", audit=True) as (site, local):
        await stored(local, jobs, read.jobs(_SPACE))
        await stored(local, services, read.services(_SPACE))
        ground.ahead(local)  # nodes whose heartbeats come late are a reason to write
        with ground.Operator(site, QUICK) as operator:
            await asyncio.to_thread(operator.until_leading)
            await settled(operator, len(jobs) + len(services), 500)
            await asyncio.sleep(10)  # what follows from the last of it
            before, spent = len(writes(local)), ground.cpu_seconds(operator.pid)
            page, began = operator.metrics(), time.monotonic()
            await asyncio.sleep(seconds)
            written = writes(local)[before:]
            wall = time.monotonic() - began
            lease = [one for one in written if one[1] == "leases"]
            others = [one for one in written if one[1] != "leases"]
            print(f"{len(lease)} writes of the lease; load {os.getloadavg()}")
            print(f"others: {dict(Counter(others))}")
            lag = "bayplan_loop_lag_seconds"
            return {
                "writes": len(others),
                "cpu_percent": round(100 * (ground.cpu_seconds(operator.pid) - spent) / wall, 2),
                "lag_p99_ms": round(1000 * client.bucketed(page, operator.metrics(), lag, 0.99), 1),
                "rss_mib": operator.rss_mib(),
            }


def writes(local: Cluster) -> list[tuple[str, str]]:
    """Verb and resource of everything that the operator has written so far."""
    return [
        (event["verb"], reference(event))
        for event in local.audit_events()
        if event["user"]["username"] == _OPERATOR and event["verb"] not in _READS
    ]


def reference(event: dict[str, Any]) -> str:
    about = event.get("objectRef", {})
    part = about.get("subresource")
    return f"{about.get('resource', event['requestURI'])}{f'/{part}' if part else ''}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", action="store_true")
    if parser.parse_args().services:
        bench, asked = "bench-idle-services", run([], many(), 180, SECONDS)
    else:
        bench, asked = "bench-idle", run(*mixed(), 20, SECONDS)
    figures = asyncio.run(asked)
    failed = budgets.judged(bench, figures)
    print(budgets.last_line(bench, figures))
    return failed


if __name__ == "__main__":
    sys.exit(main())
