"""Half of the pods leave: what the nodes cost in the ten minutes after that, and who is moved.

Every pod has run for a while before, so that it may be moved at once, and nothing is consolidated
until the scale-down begins: then Karpenter consolidates as it comes in arm A, and the Pool by
`RULES` in the others. A move is a running pod that disappears beyond what its owner gave up, or its
successor that came first; it is counted from what the API server shows, in every arm alike.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.scale.e2e.client import percentile
from tests.scale.economy import arms, market
from tests.scale.economy.start_states import Held, StartState, halved
from tests.scale.economy.watching import Moments, kind_of

SECONDS = 600.0
# The default ages are longer than the ten minutes in which all of this is to happen.
RULES: Mapping[str, Any] = {"minimumNodeAgeSeconds": 60, "minimumStaySeconds": 120}
EMPTY_SECONDS = 0
_STAYED_SECONDS = float(RULES["minimumStaySeconds"])
_SAMPLE_SECONDS = 5.0
_FILLED_WITHIN = 400.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time. All but `seconds` are percent over the bound of what is left.

    `end` is what is paid at its end, `needed` what of it is paid for nodes that have a pod, and
    `mean` what is paid on average.
    """

    seconds: float
    end: float
    needed: float
    mean: float


@dataclass(frozen=True, slots=True)
class Halving:
    """One arm. `free` is the time before the first move, and `whole` all of the time."""

    rules: Mapping[str, Any]
    bound: market.Bound
    start: float  # percent over the bound
    free: Phase
    whole: Phase
    moves: int
    missing: int  # pods that do not run at the end
    fewest: int  # pods that ran when fewest did, of those that were asked for
    wait_p95: float  # seconds from creation to binding, of pods that came
    nodes_start: int
    nodes_end: int
    claims: int  # written since
    moves_by_minute: list[int]
    course: list[tuple[int, float, float, int, int]]  # second, $/h, of it needed, nodes, running


@dataclass(frozen=True, slots=True)
class _Sample:
    second: float
    dollars: float
    needed: float
    nodes: int
    running: int


@contextlib.asynccontextmanager
async def filled(
    workload: arms.Workload, kinds: Sequence[market.Kind]
) -> AsyncIterator[tuple[arms.Arm, StartState]]:
    """An arm in which all of these pods run, on what was bought for them."""
    pool = {"retirement": {"emptySeconds": EMPTY_SECONDS}}
    wanted = sum(kind.pods for kind in kinds)
    async with arms.arm(workload, arms.WITHOUT_MOVES, pool) as arm:
        bodies = [arm.body(kind) for kind in kinds if kind.pods]
        requests = [arm.server.rendered("POST", path, body) for path, body in bodies]
        await arm.server.send(requests, connections=4)
        await arm.pods.until(lambda seen: len(seen.running) >= wanted, _FILLED_WITHIN)
        assert len(arm.pods.moments.running) == wanted, "not all pods run"
        yield arm, _recorded(arm, kinds)


async def halving(
    arm: arms.Arm,
    start: StartState,
    bound: market.Bound,
    rules: Mapping[str, Any],
    seconds: float = SECONDS,
) -> Halving:
    """Half of the pods of a filled arm leave; `bound` is that of the other half.

    They leave when the youngest has run for as long as a pod stays before it is moved.
    """
    less = halved(start.kinds)
    left = {kind.name: kind.pods for kind in less}
    shrunk = {kind.name: kind.pods - left[kind.name] for kind in start.kinds}
    youngest = max(arm.pods.moments.running.values())
    await asyncio.sleep(max(0.0, youngest + _STAYED_SECONDS - time.monotonic()))
    await asyncio.to_thread(arm.consolidate, rules)
    before = _sample(arm, await asyncio.to_thread(arm.nodes_paid), 0.0)
    began = time.monotonic()
    await arm.server.send([arm.scaled(kind) for kind in less if shrunk[kind.name]], connections=4)
    samples = [before]
    while samples[-1].second < seconds:
        await asyncio.sleep(
            max(0.0, began + samples[-1].second + _SAMPLE_SECONDS - time.monotonic())
        )
        paid = await asyncio.to_thread(arm.nodes_paid)
        samples.append(_sample(arm, paid, time.monotonic() - began))
    seen, claims = arm.pods.moments, arm.claims.moments
    moves = [at - began for at in seen.moves(began, {}, shrunk)]
    first = moves[0] if moves else math.inf
    there = Counter(kind_of(name) for name in seen.there if name in seen.running)
    late = [seen.bound[name] - at for name, at in seen.created.items() if at >= began]
    return Halving(
        rules={**rules, "emptySeconds": EMPTY_SECONDS} if arm.operator else dict(arms.AS_IT_COMES),
        bound=bound,
        start=bound.over(before.dollars),
        free=_phase([one for one in samples if one.second <= first], bound),
        whole=_phase(samples, bound),
        moves=len(moves),
        missing=sum(max(0, count - there[name]) for name, count in left.items()),
        fewest=min(one.running for one in samples),
        wait_p95=percentile(late, 0.95),
        nodes_start=before.nodes,
        nodes_end=samples[-1].nodes,
        claims=sum(at >= began for at in claims.created.values()),
        moves_by_minute=np.bincount(
            np.array(moves, np.int64) // 60, minlength=int(seconds // 60)
        ).tolist(),
        course=[
            (round(one.second), round(one.dollars, 2), round(one.needed, 2), one.nodes, one.running)
            for one in samples
        ],
    )


def _phase(samples: Sequence[_Sample], bound: market.Bound) -> Phase:
    """Each sample counts until the next one."""
    spans = np.diff([one.second for one in samples])
    paid = np.array([one.dollars for one in samples])
    mean = float((paid[:-1] * spans).sum() / spans.sum()) if len(spans) else float(paid[0])
    last = samples[-1]
    return Phase(last.second, bound.over(last.dollars), bound.over(last.needed), bound.over(mean))


def _sample(arm: arms.Arm, paid: Sequence[arms.Paid], second: float) -> _Sample:
    seen = arm.pods.moments
    used = {seen.node[name] for name in seen.there if name in seen.node}
    return _Sample(
        second=second,
        dollars=market.dollars_of([one.type for one in paid]),
        needed=market.dollars_of([one.type for one in paid if one.node in used]),
        nodes=len(paid),
        running=sum(name in seen.running for name in seen.there),
    )


def _recorded(arm: arms.Arm, kinds: Sequence[market.Kind]) -> StartState:
    held = _held(arm.pods.moments)
    nodes = [
        Held(one.node, one.type, dict(sorted(held.get(one.node, {}).items())))
        for one in sorted(arm.nodes_paid(), key=lambda each: each.claim)
        if one.node
    ]
    return StartState(tuple(kinds), tuple(nodes))


def _held(seen: Moments) -> dict[str, Counter[str]]:
    """How many pods of which kind each node has."""
    held: dict[str, Counter[str]] = {}
    for name in seen.there:
        held.setdefault(seen.node.get(name, ""), Counter())[kind_of(name)] += 1
    return held
