"""The engine alone: what nodes cost against how many pods move, on recorded start states.

`python -m tests.scale.economy.engine FILE …` reads start states (`bench --half --states` writes
them; `--bought PODS` makes one without a cluster), lets half of the pods leave and asks the solver
process for the cheapest nodes with 0, 50, 100, 200, 400 and any number of moves. Prints percent
over the bound of the pods that are left, the engine's own lower bound for so many moves, seconds
and the memory of the solver process. Exits 1 when a limit of `tests/scale/budgets.yaml` is
exceeded.
"""

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bayplan.optimizer.consolidation.holding import Holding, Offers
from bayplan.runtime.solver_process import SolverProcess
from tests.scale.e2e import budgets
from tests.scale.economy import market, start_states
from tests.scale.economy.start_states import StartState, halved

MOVES = (0, 50, 100, 200, 400, None)
# Small beside every price of a node: of equal answers, that with the fewest moves is best.
_MOVE_MICRODOLLARS = 1
_BOUND_SECONDS = 20.0
_FEW_PODS = 5_000
_SECONDS = 4.5  # for an answer; for more pods four times as long


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with at most `allowed` moves. Percents are over the bound of what is left."""

    allowed: int | None
    moves: int
    dollars: float
    over: float
    least: float  # no answer with so many moves costs less
    kept: int  # nodes
    bought: int
    seconds: float


def question(state: StartState, move_microdollars: int) -> tuple[Holding, Offers]:
    """What the engine is asked when half of the pods of a start state leave."""
    types = list(market.prices())
    price = np.array(list(market.prices().values()), np.int64)
    rows = np.array([types.index(node.type) for node in state.nodes], np.int64)
    held = np.array(
        [[node.pods.get(kind.name, 0) for kind in state.kinds] for node in state.nodes], np.int64
    )
    holding = Holding.of(
        price=price[rows],
        room=market.rooms()[rows],
        held=held,
        wanted=np.array([kind.pods for kind in halved(state.kinds)], np.int64),
        request=market.requests(state.kinds),
        move_price=np.full(len(state.kinds), move_microdollars, np.int64),
    )
    anywhere = np.ones((len(state.kinds), len(types)), np.bool_)
    return holding, Offers(price, market.rooms(), anywhere)


async def answers(
    state: StartState, bound: market.Bound, seconds: float, allowed: Sequence[int | None]
) -> tuple[list[Answer], int]:
    """An answer for each number of moves, and the solver process's memory in MiB at its highest."""
    solver = SolverProcess()
    holding, offers = question(state, _MOVE_MICRODOLLARS)
    found: list[Answer] = []
    try:
        await solver.consolidate(holding, offers, 0.1)  # the process starts
        for most in allowed:
            began = time.monotonic()
            answer = await solver.consolidate(holding, offers, seconds, most_moves=most)
            assert answer is not None, "the solver process gave no answer"
            took = time.monotonic() - began
            dollars = (answer.cost - _MOVE_MICRODOLLARS * answer.moves) / 1e6
            found.append(
                Answer(
                    allowed=most,
                    moves=answer.moves,
                    dollars=dollars,
                    over=bound.over(dollars),
                    least=bound.over(answer.bound / 1e6),
                    kept=int(answer.keep.sum()),
                    bought=len(answer.bought),
                    seconds=took,
                )
            )
        return found, max(_peak_mib(one.pid or 0) for one in multiprocessing.active_children())
    finally:
        solver.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="start states")
    parser.add_argument("--bought", type=int, action="append", default=[], help="pods of a new one")
    parser.add_argument("--seed", type=int, default=23, help="of --bought")
    parser.add_argument("--seconds", type=float, help="for each answer")
    parser.add_argument("--json", type=Path, help="write the figures here")
    asked = parser.parse_args()
    states = {file.stem: StartState.read(file) for file in asked.files}
    for pods in asked.bought:
        states[f"bought-{pods}-{asked.seed}"] = start_states.bought(pods, asked.seed)
    results: dict[str, Any] = {}
    failed = 0
    for name, state in states.items():
        bound = market.bound(halved(state.kinds), _BOUND_SECONDS)
        few = state.pods <= _FEW_PODS
        seconds = asked.seconds or (_SECONDS if few else 4 * _SECONDS)
        found, memory = asyncio.run(answers(state, bound, seconds, MOVES))
        Console(width=110).print(_table(name, state, bound, found, memory))
        results[name] = {
            "pods": state.pods,
            "nodes": len(state.nodes),
            "start": bound.over(state.dollars),
            "bound": asdict(bound),
            "memory_mib": memory,
            "answers": [asdict(one) for one in found],
        }
        if asked.seconds is None:
            figures = {"seconds": max(one.seconds for one in found), "memory_mib": memory}
            size = "5k" if few else "20k"
            failed |= budgets.judged(f"economy/engine_{size}", figures)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return failed


def _table(
    name: str, state: StartState, bound: market.Bound, found: Sequence[Answer], memory: int
) -> Table:
    title = (
        f"{name}: {state.pods} pods on {len(state.nodes)} nodes, half leave:"
        f" {bound.over(state.dollars):+.1f} % over ${bound.least:.2f}/h; solver {memory} MiB"
    )
    table = Table("moves allowed", "made", "$/h", "over", "least", "nodes", "s", title=title)
    for one in found:
        table.add_row(
            "any" if one.allowed is None else str(one.allowed),
            str(one.moves),
            f"{one.dollars:.2f}",
            f"{one.over:+.2f} %",
            f"{one.least:+.2f} %",
            f"{one.kept} + {one.bought}",
            f"{one.seconds:.1f}",
        )
    return table


def _peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    sys.exit(main())
