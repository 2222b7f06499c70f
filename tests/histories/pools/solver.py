"""The solver process, within this process: its time passes for the world, and its answers repeat.

A budget counts how often the solver looks at it, not seconds: so a seed gives the same plans on
any machine.
"""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.optimizer.consolidation.search import consolidated
from bayplan.optimizer.existing_nodes import Pool, Use, used
from bayplan.optimizer.problem import Budget, IntMatrix, IntVector, Problem
from bayplan.optimizer.purchase import Purchase, purchase

_LOOKS = 25  # at the budget, until it is spent


def budget() -> Budget:
    looks = itertools.count()
    return Budget(seconds=1, spent=lambda: next(looks) / _LOOKS)


class TickingSolver:
    """Stands in for `SolverProcess`. `lost` says whether this answer gets lost."""

    def __init__(self, lost: Callable[[], bool]) -> None:
        self._lost = lost
        self._busy = asyncio.Lock()

    async def ask(self, question: Problem, seconds: float, seed: int = 0) -> Purchase | None:
        return await self._answer(seconds, lambda: purchase(question, budget(), seed=seed))

    async def use(
        self, nodes: Pool, demand: IntVector, request: IntMatrix, seconds: float, seed: int = 0
    ) -> Use | None:
        return await self._answer(
            seconds, lambda: used(nodes, demand, request, budget(), seed=seed)
        )

    async def consolidate(
        self,
        holding: Holding,
        offers: Offers,
        seconds: float,
        seed: int = 0,
        most_moves: int | None = None,
    ) -> Consolidated | None:
        return await self._answer(
            seconds,
            lambda: consolidated(holding, offers, budget(), seed=seed, most_moves=most_moves),
        )

    async def _answer(self, seconds: float, solve: Callable[[], Any]) -> Any:
        async with self._busy:
            await asyncio.sleep(seconds)
            return None if self._lost() else solve()

    def end_process(self) -> None:
        pass

    def close(self) -> None:
        pass
