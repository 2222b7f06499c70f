"""Half of the pods leave, in virtual time: the operator's own loop and Pool without a cluster.

`python -m tests.scale.economy.simulated --pods 1000` fills an empty Pool with LongServices (or
ReplicaSets), halves them and lives through ten minutes, in about two real ones for 1,000 pods. The
optimiser gets its usual seconds, of CPU; API server, kubelets, controllers and the cloud are
those of `Town`. It is for comparing versions of Bayplan, not for comparing with others.
"""

import argparse
import asyncio
import json
import logging
import math
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayplan import logs
from bayplan.cloud.prices import Market, Price
from bayplan.model import resources
from bayplan.model.node_claims import NodeClaim
from bayplan.model.nodes import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Node
from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.optimizer.problem import Budget, Problem
from bayplan.optimizer.purchase import Purchase, purchase
from bayplan.runtime.solver_process import unhurried
from tests.builders import make_node
from tests.double.loop import run
from tests.scale.economy import halving, market
from tests.scale.economy.start_states import halved
from tests.scale.economy.watching import Moments
from tests.unit.scheduler.pool_town import Town
from tests.unit.scheduler.test_pool_buying import TAINT, make_node_pool

_FILLED_WITHIN = 300
_SETTLE_SECONDS = 120  # as long as pods must stay


@dataclass(frozen=True, slots=True)
class Lived:
    """Percents are over the bound of what is left; `free` is before the first move."""

    start: float
    end: float
    mean: float
    moves: int
    free_seconds: float
    free_needed: float
    nodes: tuple[int, int]
    writes: Mapping[str, int]
    broken: int  # promises to users
    course: Sequence[tuple[int, float, float, int]]  # second, over, needed, moves so far


class City(Town):
    """A town with the market of the bench."""

    def __init__(self, rules: Mapping[str, Any]) -> None:
        super().__init__(rules, retirement={"emptySeconds": halving.EMPTY_SECONDS})
        pool = make_node_pool()
        offered = pool["spec"]["template"]["spec"]["requirements"]
        offered[0]["values"] = list(market.prices())
        self.see("NodePool", "of-batch", pool, "")
        prices = {kind: Price(one, "test") for kind, one in market.prices().items()}
        everywhere = ((kind, zone, "on-demand") for kind in prices for zone in market.ZONES)
        self.cache.pools.market = Market(prices, {}, frozenset(everywhere))
        self.prepare()

    def prepare(self) -> None:
        """Nothing has been seen yet."""
        self.moments = Moments()

    async def _ask(self, problem: Problem, seconds: float) -> Purchase | None:
        self.asked.append(problem)
        await asyncio.sleep(seconds)
        began = time.process_time()
        return purchase(problem, Budget(seconds, spent=lambda: time.process_time() - began))

    async def _consolidate(
        self, holding: Holding, offers: Offers, seconds: float, *, most_moves: int | None = None
    ) -> Consolidated | None:
        await asyncio.sleep(seconds)
        began = time.monotonic()
        budget = Budget(seconds, spent=lambda: time.monotonic() - began)
        return unhurried(holding, offers, budget, most_moves=most_moves)

    def join(self, claim: NodeClaim) -> Node:
        kind, zone = claim.types[0], claim.zones[0]
        labels = {**claim.labels, INSTANCE_TYPE: kind, ZONE: zone, CAPACITY_TYPE: "on-demand"}
        offer = self.buying.menus.current(self.clock.now()).everything["batch", kind]
        name, instance = f"n-{claim.name}", f"i-{claim.name}"
        seen = {"registered": True, "initialized": True, "provider_id": instance}
        self.claim(claim, labels=labels, node=name, **seen)
        node = replace(
            make_node(name, labels=labels, taints=(TAINT,)),
            uid=f"uid-{name}",
            allocatable=offer.room,
            provider_id=instance,
            created_at=self.clock.wall,
            price_microdollars=market.prices()[kind],
        )
        self.again(node)
        return node

    async def living(self, seconds: int, step: int = 1) -> None:
        for _ in range(seconds // step):
            await super().living(step, step)
            self._note()

    def _note(self) -> None:
        now, seen = float(self.clock.wall), self.moments
        there = {pod.name: pod for pod in self.cache.state.pods.values() if pod.uid}
        for name in [*seen.there]:
            if name not in there:
                seen.there.discard(name)
                if name in seen.running:
                    seen.gone[name] = now
        for name, pod in there.items():
            seen.there.add(name)
            seen.created.setdefault(name, now)
            if pod.node:
                seen.bound.setdefault(name, now)
                seen.node.setdefault(name, pod.node)
            if pod.ready:
                seen.running.setdefault(name, now)

    def paid(self) -> tuple[float, float, int]:
        """Dollars an hour of all nodes, of those with a pod, and how many nodes there are."""
        used = {self.moments.node[name] for name in self.moments.there if name in self.moments.node}
        nodes = {one.node: one.labels[INSTANCE_TYPE] for one in self.claims() if one.provider_id}
        needed = [kind for name, kind in nodes.items() if name in used]
        return market.dollars_of(list(nodes.values())), market.dollars_of(needed), len(nodes)


async def operated(city: City, story: Coroutine[Any, Any, None]) -> None:
    """Play a story while the operator runs; a defect of ours fails it."""
    city.start()
    try:
        await story
    finally:
        city.stop()
    for defect in city.defects:
        raise defect


class _Lines(logging.Handler):
    """The operator's log lines, with the seconds of virtual time."""

    def __init__(self, file: Path, city: City) -> None:
        super().__init__(logging.INFO)
        self._file, self._city = file.open("w", encoding="utf-8"), city
        self._began = city.clock.wall

    def emit(self, record: logging.LogRecord) -> None:
        fields = " ".join(f"{key}={value}" for key, value in getattr(record, "fields", {}).items())
        second = self._city.clock.wall - self._began
        print(second, record.getMessage(), fields, file=self._file, flush=True)


def lived(
    pods: int, seed: int, rules: Mapping[str, Any], *, foreign: bool, log: Path | None = None
) -> Lived:
    """Fill, halve, and live for ten minutes."""
    kinds = market.demand(pods, seed)
    bound = market.bound(halved(kinds), 5.0)
    city = City(rules)
    if log is not None:
        logs.logger().addHandler(_Lines(log, city))
        logs.logger().setLevel(logging.INFO)
    for kind, (cpu, memory, _) in zip(kinds, market.requests(kinds).tolist(), strict=True):
        container = {"name": "main", "image": "web:1", "resources": {"requests": kind.requests}}
        if foreign:
            request = resources.Vector({"cpu": cpu, "memory": memory, "pods": 1})
            city.replica_set(kind.name, kind.pods, cpu, request=request)
        else:
            city.serve(kind.name, kind.pods, template={"spec": {"containers": [container]}})
    samples: list[tuple[float, float, float, int]] = []
    began: list[int] = []

    async def story() -> None:
        for _ in range(_FILLED_WITHIN):
            await city.living(1)
            if len(city.moments.running) >= pods:
                break
        await city.living(_SETTLE_SECONDS)
        samples.append((0.0, *city.paid()))
        logs.say(logging.INFO, "half of the pods leave")
        began.append(city.clock.wall)
        for kind in halved(kinds):
            city.scale(kind.name, kind.pods)
        for second in range(int(halving.SECONDS)):
            await city.living(1)
            samples.append((second + 1.0, *city.paid()))

    run(operated(city, story()))
    shrunk = {
        one.name: one.pods - less.pods for one, less in zip(kinds, halved(kinds), strict=True)
    }
    moves = [at - began[0] for at in city.moments.moves(began[0], {}, shrunk)]
    first = moves[0] if moves else math.inf
    free = [one for one in samples if one[0] <= first]
    return Lived(
        start=bound.over(samples[0][1]),
        end=bound.over(samples[-1][1]),
        mean=bound.over(float(np.mean([one[1] for one in samples[1:]]))),
        moves=len(moves),
        free_seconds=free[-1][0],
        free_needed=bound.over(free[-1][2]),
        nodes=(samples[0][3], samples[-1][3]),
        writes=dict(Counter(city.writes)),
        broken=len(city.broken),
        course=[
            (
                int(at),
                round(bound.over(paid), 1),
                round(bound.over(needed), 1),
                sum(one <= at for one in moves),
            )
            for at, paid, needed, _ in samples[::15]
        ],
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, action="append", help="else 1,000")
    parser.add_argument("--seed", type=int, default=23)
    parser.add_argument("--replicasets", action="store_true", help="else LongServices")
    parser.add_argument("--rules", default="{}", help="fields of spec.consolidation, as JSON")
    parser.add_argument("--log", type=Path, help="write what the operator logs here")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    results = {}
    for pods in asked.pods or (1_000,):
        rules = {**halving.RULES, **json.loads(asked.rules)}
        found = lived(pods, asked.seed, rules, foreign=asked.replicasets, log=asked.log)
        results[pods] = asdict(found)
        print(f"{pods} pods, seed {asked.seed}, {rules}")
        for name, value in asdict(found).items():
            print(f"  {name}: {value}")
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
