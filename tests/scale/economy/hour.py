"""An hour of arrivals and departures, ten times as fast: what the nodes cost at each moment.

Pods come by a Poisson process that keeps their number the same. Seven of ten are runs, which last
15 minutes in the median and are never evicted; the others are instances of ReplicaSets or
LongServices, of which one stays for 6 hours in the median. Karpenter consolidates as it comes, and
the Pool with mode BuyAndConsolidate.

All times of the load are divided by ten, and so are those of the Pool in `POOL` and `RULES`. A move
must pay within a tenth of the time, so it counts a tenth of the dollars. The times of the programs
are not divided.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.scale.e2e.client import percentile
from tests.scale.economy import arms, manifests, market
from tests.scale.economy.watching import Moments

PODS = 600
FASTER = 10.0
SECONDS = 3600 / FASTER
_RUNS = 0.7
_RUN_SECONDS = 15 * 60 / math.log(2) / FASTER  # mean of an exponential with that median
_SERVICE_SECONDS = 6 * 3600 / math.log(2) / FASTER
# The defaults, ten times as fast. Before the hour begins, the Pool only buys.
POOL: Mapping[str, Any] = {"retirement": {"emptySeconds": 6}}
RULES: Mapping[str, Any] = {
    "horizonSeconds": 360,
    "moveMicrodollars": 200,
    "minimumNodeAgeSeconds": 60,
    "minimumStaySeconds": 180,
    "maximumMovesPerHour": 6000,
    "batchWaitSeconds": 180,
}
_SAMPLE_SECONDS = 6.0
_BOUND_SECONDS = 0.8
_FILLED_WITHIN = 300.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A pod that comes, or an instance that leaves (`change` of its ReplicaSet's replicas)."""

    at: float
    kind: int
    run_seconds: float = 0.0  # 0: not a run
    change: int = 0


@dataclass(frozen=True, slots=True)
class Hour:
    """What one arm paid, beside the bound of each moment."""

    samples: int
    mean_dollars: float
    mean_bound: float
    over_bound_percent: float  # of the means
    nodes_most: int
    claims: int
    moves: int  # of instances
    pods_made: int
    waiting_mean: float
    wait_p50: float
    wait_p95: float
    course: list[tuple[int, float, float, int, int]]  # second, $/h, bound, pods, waiting


@dataclass(frozen=True, slots=True)
class _Sample:
    second: float
    dollars: float
    nodes: int
    pods: Counter[int]
    waiting: int


def arrivals(seed: int) -> tuple[list[market.Kind], list[Arrival], list[Arrival]]:
    """The kinds with their services, the runs of the beginning, and what comes and goes."""
    dice = np.random.default_rng(seed)
    kinds = market.demand(PODS, seed)
    share = np.array([kind.pods for kind in kinds]) / PODS
    services = dice.binomial([kind.pods for kind in kinds], 1 - _RUNS)

    def run(at: float) -> Arrival:
        which = int(dice.choice(len(kinds), p=share))
        return Arrival(at, which, run_seconds=max(1.0, dice.exponential(_RUN_SECONDS)))

    first = [run(0.0) for _ in range(PODS - int(services.sum()))]
    later = [run(at) for at in _poisson(dice, _RUNS * PODS / _RUN_SECONDS)]
    each_way = (1 - _RUNS) * PODS / _SERVICE_SECONDS
    there = services.copy()
    for at in _poisson(dice, 2 * each_way):
        grows = dice.random() < 1 / 2
        which = int(dice.choice(len(kinds), p=share if grows else there / there.sum()))
        there[which] += 1 if grows else -1
        later.append(Arrival(at, which, change=1 if grows else -1))
    made = [replace(kind, pods=int(count)) for kind, count in zip(kinds, services, strict=True)]
    return made, first, sorted(later, key=lambda each: each.at)


async def hour(
    workload: arms.Workload, seed: int, logs: Path | None, *, consolidates: bool = True
) -> Hour:
    """The load is applied, and the nodes are counted from when all of its first pods run.

    A Pool that does not consolidate only gives back empty nodes.
    """
    kinds, first, later = arrivals(seed)
    async with arms.arm(workload, arms.AS_IT_COMES, POOL) as arm:
        load = _Load(arm, kinds)
        await load.begin(first)
        await arm.pods.until(lambda seen: len(seen.running) >= PODS, _FILLED_WITHIN)
        if arm.operator is not None and consolidates:
            await asyncio.to_thread(arm.consolidate, RULES)
        samples: list[_Sample] = []
        began = time.monotonic()
        coming = asyncio.create_task(load.follow(later, began))
        for number in range(int(SECONDS / _SAMPLE_SECONDS)):
            await asyncio.sleep(max(0.0, began + number * _SAMPLE_SECONDS - time.monotonic()))
            samples.append(await _sample(arm, began))
        await coming
        if logs is not None:
            arm.keep_logs(logs / f"{workload}-hour")
        pods, claims = arm.pods.moments, arm.claims.moments
    moves = pods.moves(began, _changed(later, kinds, 1), _changed(later, kinds, -1))
    return _judged(samples, kinds, pods, len(claims.created), len(moves))


class _Load:
    """Sends what comes and goes."""

    def __init__(self, arm: arms.Arm, kinds: Sequence[market.Kind]) -> None:
        self._arm, self._kinds = arm, kinds
        self._replicas = [kind.pods for kind in kinds]
        self._number = 0

    async def begin(self, first: Sequence[Arrival]) -> None:
        server = self._arm.server
        sets = [server.rendered("POST", *self._arm.body(kind)) for kind in self._kinds]
        await server.send([*sets, *map(self._request, first)], connections=8)

    async def follow(self, later: Sequence[Arrival], began: float) -> None:
        for each in later:
            await asyncio.sleep(max(0.0, began + each.at - time.monotonic()))
            await self._arm.server.send([self._request(each)], connections=1)

    def _request(self, one: Arrival) -> bytes:
        kind, ours = self._kinds[one.kind], self._arm.operator is not None
        if one.change:
            self._replicas[one.kind] += one.change
            return self._arm.scaled(replace(kind, pods=self._replicas[one.kind]))
        self._number += 1
        pod = manifests.run(kind, self._number, one.run_seconds, ours=ours)
        return self._arm.server.rendered("POST", arms.PODS, pod)


async def _sample(arm: arms.Arm, began: float) -> _Sample:
    paid = await asyncio.to_thread(arm.nodes_paid)
    seen = arm.pods.moments
    return _Sample(
        second=time.monotonic() - began,
        dollars=market.dollars_of([each.type for each in paid]),
        nodes=len(paid),
        pods=Counter(int(name[1:3]) for name in seen.there),
        waiting=sum(name not in seen.bound for name in seen.there),
    )


def _judged(
    samples: Sequence[_Sample],
    kinds: Sequence[market.Kind],
    seen: Moments,
    claims: int,
    moves: int,
) -> Hour:
    bounds = [
        market.bound(
            [replace(kind, pods=one.pods[number]) for number, kind in enumerate(kinds)],
            _BOUND_SECONDS,
        ).least
        for one in samples
    ]
    dollars, bound = np.mean([one.dollars for one in samples]), np.mean(bounds)
    return Hour(
        samples=len(samples),
        mean_dollars=float(dollars),
        mean_bound=float(bound),
        over_bound_percent=float(100 * (dollars / bound - 1)),
        nodes_most=max(one.nodes for one in samples),
        claims=claims,
        moves=moves,
        pods_made=len(seen.created),
        waiting_mean=float(np.mean([one.waiting for one in samples])),
        wait_p50=percentile(seen.waits(), 0.50),
        wait_p95=percentile(seen.waits(), 0.95),
        course=[
            (round(one.second), round(one.dollars, 2), least, one.pods.total(), one.waiting)
            for one, least in zip(samples, bounds, strict=True)
        ],
    )


def _changed(later: Sequence[Arrival], kinds: Sequence[market.Kind], way: int) -> Counter[str]:
    """How many instances of each kind were asked for (`way` 1) or given up (-1)."""
    return Counter(kinds[one.kind].name for one in later if one.change == way)


def _poisson(dice: np.random.Generator, rate: float) -> list[float]:
    """The moments within the hour, `rate` of them a second."""
    count = int(dice.poisson(rate * SECONDS))
    return sorted(dice.uniform(0, SECONDS, count).tolist())
