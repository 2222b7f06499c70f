"""The arms of `halving` one after the other or side by side, their table and their limits."""

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from tests.scale.e2e import budgets, ground
from tests.scale.economy import arms, halving, market
from tests.scale.economy.start_states import StartState, halved

BOUND_SECONDS = 20.0


@dataclasses.dataclass(frozen=True, slots=True)
class Contestant:
    """An arm, and the Pool's rules beyond `halving.RULES`."""

    title: str
    workload: arms.Workload
    rules: Mapping[str, Any] = dataclasses.field(default_factory=dict)


CONTESTANTS: dict[str, Contestant] = {
    "kube-scheduler": Contestant("A    kube-scheduler, Karpenter", "kube-scheduler"),
    "longservices": Contestant("B-LS Bayplan, LongServices", "longservices"),
    "replicasets": Contestant("B-RS Bayplan, ReplicaSets", "replicasets"),
    "unmoved": Contestant("B-LS without moves", "longservices", {"maximumMovesPerHour": 0}),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What the bench was asked for. `seconds` is how long each arm is watched."""

    pods: int
    seed: int
    contestants: Mapping[str, Contestant]
    seconds: float
    side_by_side: bool
    logs: Path | None
    states: Path | None


@dataclasses.dataclass(frozen=True, slots=True)
class Load:
    """How busy the machine was while the arms were watched, of all of its cores."""

    busy_percent: float
    average: float  # processes that wanted a core, over the last minute


def at_move_prices(prices: Sequence[int]) -> dict[str, Contestant]:
    """LongServices and ReplicaSets, once for each price of a move in microdollars."""
    return {
        f"{name}@{price}": dataclasses.replace(
            CONTESTANTS[name],
            title=f"{CONTESTANTS[name].title}, {price} µ$ a move",
            rules={"moveMicrodollars": price},
        )
        for name in ("longservices", "replicasets")
        for price in prices
    }


async def run(asked: Asked) -> tuple[dict[str, halving.Halving], Load]:
    """Every contestant's halving; the fills are one after the other in any case."""
    kinds = market.demand(asked.pods, asked.seed)
    bound = market.bound(halved(kinds), BOUND_SECONDS)
    found: dict[str, halving.Halving] = {}
    loads: list[Load] = []
    names = list(asked.contestants)
    for group in [names] if asked.side_by_side else [[name] for name in names]:
        async with contextlib.AsyncExitStack() as clusters:
            filled: dict[str, tuple[arms.Arm, StartState]] = {}
            for name in group:
                workload = asked.contestants[name].workload
                filled[name] = await clusters.enter_async_context(halving.filled(workload, kinds))
                if asked.states is not None:
                    _, state = filled[name]
                    state.write(asked.states / f"{name}-{asked.pods}-{asked.seed}.json")
            meter = ground.Meter(next(iter(filled.values()))[0].local, {})
            halvings = [
                halving.halving(
                    arm,
                    state,
                    bound,
                    {**halving.RULES, **asked.contestants[name].rules},
                    asked.seconds,
                )
                for name, (arm, state) in filled.items()
            ]
            found |= zip(group, await asyncio.gather(*halvings), strict=True)
            loads.append(_load(meter))
            if asked.logs is not None:
                for name, (arm, _) in filled.items():
                    arm.keep_logs(asked.logs / f"{name}-half-{asked.pods}")
    return found, max(loads, key=lambda load: load.busy_percent)


def _load(meter: ground.Meter) -> Load:
    costs = meter.costs()
    whole = costs.wall * (os.cpu_count() or 1)
    return Load(100 * (1 - costs.idle / whole), os.getloadavg()[0])


def table(asked: Asked, found: Mapping[str, halving.Halving], load: Load) -> Table:
    bound = next(iter(found.values())).bound
    title = (
        f"{asked.pods} pods, half leave, seed {asked.seed}: bound ${bound.least:.2f}/h; % over it "
        f"after {asked.seconds:.0f} s. Machine {load.busy_percent:.0f} % busy"
    )
    head = ("who", "before", "end", "mean", "moves", "no move yet: until", "needed", "mean")
    more = ("nodes", "bought", "missing", "p95")
    result = Table(*head, *more, title=title)
    for name, one in found.items():
        result.add_row(
            asked.contestants[name].title,
            f"{one.start:+.0f} %",
            f"{one.whole.end:+.1f} %",
            f"{one.whole.mean:+.1f} %",
            str(one.moves),
            f"{one.free.seconds:.0f} s",
            f"{one.free.needed:+.1f} %",
            f"{one.free.mean:+.1f} %",
            f"{one.nodes_start} → {one.nodes_end}",
            str(one.claims),
            str(one.missing),
            f"{one.wait_p95:.1f} s",
        )
    return result


def judged(pods: int, found: Mapping[str, halving.Halving]) -> int:
    """1 if a limit is exceeded; 0 also if not all contestants ran."""
    if not found.keys() >= CONTESTANTS.keys():
        return 0
    karpenter = found["kube-scheduler"]
    figures: dict[str, float] = {"missing": sum(one.missing for one in found.values())}
    for name in ("longservices", "replicasets"):
        figures |= {
            f"{name}_end_percent": round(found[name].whole.end, 2),
            f"{name}_mean_percent": round(found[name].whole.mean, 2),
            f"{name}_moves_of_karpenter": round(found[name].moves / max(karpenter.moves, 1), 3),
        }
    unmoved = found["unmoved"]
    figures |= {"unmoved_end_percent": round(unmoved.whole.end, 2), "unmoved_moves": unmoved.moves}
    return budgets.judged(f"economy/half_of_{pods}", figures)
