"""All pods at once on a cluster without nodes: what the nodes cost when every pod runs."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.scale.e2e.client import percentile
from tests.scale.economy import arms, manifests, market

_WITHIN = {"kube-scheduler": 400.0, "replicasets": 400.0, "longservices": 400.0, "groups": 400.0}


@dataclass(frozen=True, slots=True)
class Turn:
    """One arm's answer to the demand."""

    running: int
    dollars: float
    over_bound_percent: float
    nodes: int
    claims: int  # written in all
    by_bayplan: int  # of them
    wait_p50: float  # seconds from a pod's creation to its binding
    wait_p95: float
    created: float  # seconds from the first request to the last pod's creation
    whole: float  # seconds from the first request until every pod runs
    purchases: dict[int, int]  # second of the first request on -> claims written in it
    types: dict[str, int]
    aws_calls: dict[str, int]  # only of the arm with groups


async def turn(
    workload: arms.Workload, kinds: Sequence[market.Kind], bound: market.Bound, logs: Path | None
) -> Turn:
    """The demand is applied, and everything is measured when all pods run (or time is over)."""
    wanted = sum(kind.pods for kind in kinds)
    ground = (
        arms.arm(workload, arms.WITHOUT_MOVES) if workload != "groups" else arms.arm_of_groups()
    )
    async with ground as arm:
        bodies = [arm.body(kind) for kind in kinds if kind.pods]
        requests = [arm.server.rendered("POST", path, body) for path, body in bodies]
        began = time.monotonic()
        await arm.server.send(requests, connections=4)
        await arm.pods.until(lambda seen: len(seen.running) >= wanted, _WITHIN[workload])
        ended = time.monotonic()
        paid = [one.type for one in arm.nodes_paid()]
        if logs is not None:
            arm.keep_logs(logs / f"{workload}-{wanted}")
        seen, claims = arm.pods.moments, arm.claims.moments
        dollars = market.dollars_of(paid)
        written = Counter(int(at - began) for at in claims.created.values())
        return Turn(
            running=len(seen.running),
            dollars=dollars,
            over_bound_percent=bound.over(dollars),
            nodes=len(paid),
            claims=len(claims.created),
            by_bayplan=sum(map(manifests.is_ours, claims.created)),
            wait_p50=percentile(seen.waits(), 0.50),
            wait_p95=percentile(seen.waits(), 0.95),
            created=max(seen.created.values()) - began,
            whole=ended - began,
            purchases=dict(sorted(written.items())),
            types=dict(sorted(Counter(paid).items())),
            aws_calls=dict(Counter(arm.aws.calls)) if arm.aws is not None else {},
        )
