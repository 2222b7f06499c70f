"""What the nodes cost: Bayplan buys through a real Karpenter core, beside kube-scheduler with it.

`python -m tests.scale.economy.bench` applies the same pods to a cluster without nodes, once for
each arm, and compares the dollars an hour of the nodes with a bound that holds for every algorithm.
Prints a table, writes JSON, exits 1 when a limit of `tests/scale/budgets.yaml` is exceeded. The
controller manager's clients are not throttled (1,000 requests a second), in every arm alike: with
its default of 20 a second it would take minutes to make a thousand pods.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.scale.e2e import budgets
from tests.scale.economy import from_nothing, market
from tests.scale.economy.arms import Workload

SIZES = (1_000, 3_000)
SEED = 23
_BOUND_SECONDS = 20.0
_ARMS: dict[Workload, str] = {
    "kube-scheduler": "A  kube-scheduler, Karpenter",
    "replicasets": "B1 Bayplan, ReplicaSets",
    "longservices": "B2 Bayplan, LongServices",
}
_NOTE = (
    "A: NodeResourcesFit MostAllocated. p50, p95: from a pod's creation to its binding. made: until"
    " the last pod exists.\nThe controller manager may send 1,000 requests a second, in every arm."
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, action="append", help=f"else {SIZES}")
    parser.add_argument("--arm", action="append", choices=list(_ARMS), help="else all")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--logs", type=Path, help="keep what the programs said here")
    asked = parser.parse_args()
    console = Console(width=132)
    results: dict[str, Any] = {}
    failed = 0
    for pods in asked.pods or SIZES:
        kinds = market.demand(pods, asked.seed)
        bound = market.bound(kinds, _BOUND_SECONDS)
        turns: dict[Workload, from_nothing.Turn] = {}
        for workload in asked.arm or _ARMS:
            turns[workload] = asyncio.run(from_nothing.turn(workload, kinds, bound, asked.logs))
            console.print(workload, turns[workload], soft_wrap=True)
        console.print(_table(pods, asked.seed, bound, turns))
        console.print(_NOTE)
        results[f"pods_{pods}"] = {
            "seed": asked.seed,
            "bound": {"least": bound.least, "plan": bound.plan, "plan_nodes": bound.plan_nodes},
            **{name: turn.json() for name, turn in turns.items()},
        }
        if turns.keys() == _ARMS.keys() and pods in SIZES:
            failed |= budgets.judged(f"economy/pods_{pods}", _figures(pods, turns))
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return failed


def _figures(pods: int, turns: dict[Workload, from_nothing.Turn]) -> dict[str, float]:
    """What the budget limits; for each way to write the load as much."""
    other = turns["kube-scheduler"]
    figures = {"missing": sum(pods - turn.running for turn in turns.values())}
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
    head = ("who", "run", "$/h", "over", "of A", "nodes", "claims", "p50", "p95", "made", "whole")
    table = Table(*head, title=title)
    first = turns.get("kube-scheduler")
    for name, turn in turns.items():
        table.add_row(
            _ARMS[name],
            str(turn.running),
            f"{turn.dollars:.2f}",
            f"+{turn.over_bound_percent:.1f} %",
            f"{turn.dollars / first.dollars:.3f}" if first else "",
            str(turn.nodes),
            str(turn.claims),
            *(f"{each:.1f} s" for each in (turn.wait_p50, turn.wait_p95, turn.created, turn.whole)),
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
