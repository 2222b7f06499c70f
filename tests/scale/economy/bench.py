"""What the nodes cost: Bayplan buys through a real Karpenter core, beside kube-scheduler with it.

`python -m tests.scale.economy.bench` applies the same pods to a cluster without nodes, once for
each arm, and compares the dollars an hour of the nodes with a bound that holds for every algorithm.
With `--half`, half of the pods leave then, and ten minutes are watched; with `--hour`, pods come
and go for an hour. `--arm groups --arm replicasets` compares a Pool with Auto Scaling groups of
moto with one of Karpenter. Prints a table, writes JSON, exits 1 when a limit of
`tests/scale/budgets.yaml` is exceeded. The controller manager's clients are not throttled (1,000
requests a second), in every arm alike: with its default of 20 a second it would take minutes to
make a thousand pods.
"""

import argparse
import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.scale.e2e import budgets
from tests.scale.economy import from_nothing, halving, halving_bench, hour, market
from tests.scale.economy.arms import AS_IT_COMES, Workload

SIZES = (1_000, 3_000)
SEED = 23
_BOUND_SECONDS = 20.0
_ARMS: dict[Workload, str] = {
    "kube-scheduler": "A  kube-scheduler, Karpenter",
    "replicasets": "B1 Bayplan, ReplicaSets",
    "longservices": "B2 Bayplan, LongServices",
}
_GROUPS: dict[Workload, str] = {"groups": "B3 Bayplan, groups of AWS"}
_NOTE = (
    "A: NodeResourcesFit MostAllocated. p50, p95: from a pod's creation to its binding. made: until"
    " the last pod exists.\nThe controller manager may send 1,000 requests a second, in every arm."
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, action="append", help=f"else {SIZES}")
    parser.add_argument("--hour", action="store_true", help="an hour of arrivals and departures")
    parser.add_argument("--half", action="store_true", help="half of the pods leave")
    arms = sorted({*_ARMS, *_GROUPS, *halving_bench.CONTESTANTS})
    parser.add_argument("--arm", action="append", choices=arms, help="else all")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--logs", type=Path, help="keep what the programs said here")
    parser.add_argument("--side-by-side", action="store_true", help="--half: arms at the same time")
    parser.add_argument(
        "--seconds", type=float, default=halving.SECONDS, help="--half: watch so long"
    )
    parser.add_argument("--states", type=Path, help="--half: write what there was before to here")
    parser.add_argument(
        "--move-microdollars",
        type=int,
        action="append",
        default=[],
        help="--half: Bayplan's arms also with this price of a move",
    )
    asked = parser.parse_args()
    console = Console(width=150)
    way = _half if asked.half else _hour if asked.hour else _from_nothing
    results, failed = way(asked, console)
    console.print(_NOTE)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return failed


def _from_nothing(asked: argparse.Namespace, console: Console) -> tuple[dict[str, Any], int]:
    """Every size, and 1 if a limit is exceeded."""
    results: dict[str, Any] = {}
    failed = 0
    for pods in asked.pods or SIZES:
        kinds = market.demand(pods, asked.seed)
        bound = market.bound(kinds, _BOUND_SECONDS)
        turns: dict[Workload, from_nothing.Turn] = {}
        for workload in asked.arm or _ARMS:
            turns[workload] = asyncio.run(from_nothing.turn(workload, kinds, bound, asked.logs))
            console.print(f"{workload}: claims by second {turns[workload].purchases}")
        console.print(_table(pods, asked.seed, bound, turns))
        for name, turn in turns.items():
            if turn.aws_calls:
                console.print(f"{name}: calls to AWS until every pod ran: {turn.aws_calls}")
        results[f"pods_{pods}"] = {
            "seed": asked.seed,
            "bound": asdict(bound),
            **{name: asdict(turn) for name, turn in turns.items()},
        }
        if turns.keys() == _ARMS.keys() and pods in SIZES:
            failed |= budgets.judged(f"economy/pods_{pods}", _figures(pods, turns))
    return results, failed


def _half(asked: argparse.Namespace, console: Console) -> tuple[dict[str, Any], int]:
    """Every size after half of its pods have left, and 1 if a limit is exceeded."""
    results: dict[str, Any] = {}
    failed = 0
    known = {**halving_bench.CONTESTANTS, **halving_bench.at_move_prices(asked.move_microdollars)}
    chosen = {
        name: one for name, one in known.items() if not asked.arm or name.split("@")[0] in asked.arm
    }
    for pods in asked.pods or SIZES:
        wanted = halving_bench.Asked(
            pods, asked.seed, chosen, asked.seconds, asked.side_by_side, asked.logs, asked.states
        )
        found, load = asyncio.run(halving_bench.run(wanted))
        console.print(halving_bench.table(wanted, found, load))
        for name, one in found.items():
            console.print(f"{name}: {one.rules}")
        results[f"half_of_{pods}"] = {
            "seed": asked.seed,
            "load": asdict(load),
            **{name: asdict(one) for name, one in found.items()},
        }
        if pods in SIZES and asked.seconds == halving.SECONDS:
            failed |= halving_bench.judged(pods, found)
    return results, failed


def _hour(asked: argparse.Namespace, console: Console) -> tuple[dict[str, Any], int]:
    """The hour of kube-scheduler and of Bayplan, and 1 if a limit is exceeded."""
    head = ("who", "mean $/h", "bound", "over", "moves", "most nodes", "claims", "waiting", "p50")
    title = f"an hour in {hour.SECONDS:.0f} s, {hour.PODS} pods, seed {asked.seed}"
    table = Table(*head, "p95", title=title)
    found: dict[Workload, hour.Hour] = {}
    for workload in asked.arm or ("kube-scheduler", "replicasets"):
        one = found[workload] = asyncio.run(hour.hour(workload, asked.seed, asked.logs))
        table.add_row(
            _ARMS[workload],
            f"{one.mean_dollars:.2f}",
            f"{one.mean_bound:.2f}",
            f"+{one.over_bound_percent:.1f} %",
            str(one.moves),
            str(one.nodes_most),
            str(one.claims),
            f"{one.waiting_mean:.1f}",
            f"{one.wait_p50:.1f} s",
            f"{one.wait_p95:.1f} s",
        )
    console.print(table)
    console.print(f"kube-scheduler: {AS_IT_COMES}\nBayplan: {hour.POOL} {hour.RULES}")
    results = {name: asdict(one) for name, one in found.items()}
    failed = 0
    if {"kube-scheduler", "replicasets"} <= found.keys():
        ours, other = found["replicasets"], found["kube-scheduler"]
        figures = {
            "over_bound_percent": round(ours.over_bound_percent, 2),
            "dollars_of_karpenter": round(ours.mean_dollars / other.mean_dollars, 3),
            "moves_beyond_karpenter": ours.moves - other.moves,
        }
        failed = budgets.judged("economy/hour", figures)
    return {"hour": {"seed": asked.seed, "rules": hour.RULES, **results}}, failed


def _figures(pods: int, turns: dict[Workload, from_nothing.Turn]) -> dict[str, float]:
    """What the budget limits; for each way to write the load as much."""
    other = turns["kube-scheduler"]
    figures: dict[str, float] = {"missing": sum(pods - turn.running for turn in turns.values())}
    for name in ("replicasets", "longservices"):
        turn = turns[name]
        figures |= {
            f"{name}_over_bound_percent": round(turn.over_bound_percent, 2),
            f"{name}_dollars_of_karpenter": round(turn.dollars / other.dollars, 3),
            f"{name}_p95_later_seconds": round(turn.wait_p95 - other.wait_p95, 1),
        }
    return figures


def _table(
    pods: int, seed: int, bound: market.Bound, turns: dict[Workload, from_nothing.Turn]
) -> Table:
    title = (
        f"{pods} pods from nothing, seed {seed}: bound ${bound.least:.2f}/h,"
        f" best plan ${bound.plan:.2f}/h on {bound.plan_nodes} nodes"
    )
    head = (
        "who",
        "run",
        "$/h",
        "over",
        "of A",
        "nodes",
        "claims",
        "ours",
        "p50",
        "p95",
        "made",
        "whole",
    )
    table = Table(*head, title=title)
    first = turns.get("kube-scheduler")
    for name, turn in turns.items():
        table.add_row(
            {**_ARMS, **_GROUPS}[name],
            str(turn.running),
            f"{turn.dollars:.2f}",
            f"+{turn.over_bound_percent:.1f} %",
            f"{turn.dollars / first.dollars:.3f}" if first else "",
            str(turn.nodes),
            str(turn.claims),
            str(turn.by_bayplan),
            *(f"{each:.1f} s" for each in (turn.wait_p50, turn.wait_p95, turn.created, turn.whole)),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
