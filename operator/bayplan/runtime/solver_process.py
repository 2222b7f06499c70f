"""Long solves in a separate process: arrays in, arrays out, one question at a time.

There are three kinds of question: what to buy, which existing nodes to use, and which nodes of a
pool to give back.

HiGHS holds the interpreter lock and cannot be interrupted, so a solve that may run long never runs
in the operator's process. The worker is spawned at the first question, ends when its pipe closes
(also when the operator is killed), and is replaced when it does not answer in time.
"""

import asyncio
import contextlib
import dataclasses
import functools
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from bayplan import stdout
from bayplan.optimizer.consolidation.holding import Consolidated, Holding, Offers
from bayplan.optimizer.consolidation.search import consolidated
from bayplan.optimizer.existing_nodes import Pool, Use, used
from bayplan.optimizer.problem import Budget, IntMatrix, IntVector, Problem
from bayplan.optimizer.purchase import Purchase, purchase

_Solve = Callable[..., Purchase | Use | Consolidated]

# A consolidation has its seconds of CPU: on a busy machine its answer comes so much later.
_LATE_SECONDS = 5.0
_TICK_SECONDS = 0.05  # a shorter time says nothing of how busy the machine is
# Time allowed beyond the given deadline: for start-up, a last pivot and the pipe.
_GRACE_SECONDS = 10.0


class SolverProcess:
    """Answers are None when the worker died or did not answer; the next question starts anew."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._busy = asyncio.Lock()

    async def ask(self, question: Problem, seconds: float, seed: int = 0) -> Purchase | None:
        """The cheapest nodes found within `seconds`, with their bound. The loop is not blocked."""
        answer = await self._answer(purchase, (question,), seconds, seed)
        return answer if isinstance(answer, Purchase) else None

    async def use(
        self, nodes: Pool, demand: IntVector, request: IntMatrix, seconds: float, seed: int = 0
    ) -> Use | None:
        """The cheapest use of existing nodes found within `seconds`. The loop is not blocked."""
        answer = await self._answer(used, (nodes, demand, request), seconds, seed)
        return answer if isinstance(answer, Use) else None

    async def consolidate(
        self,
        holding: Holding,
        offers: Offers,
        seconds: float,
        seed: int = 0,
        most_moves: int | None = None,
    ) -> Consolidated | None:
        """Which nodes to keep, who leaves and who moves: what was found in `seconds` of CPU."""
        solve = functools.partial(unhurried, most_moves=most_moves)
        answer = await self._answer(solve, (holding, offers), seconds, seed)
        return answer if isinstance(answer, Consolidated) else None

    async def _answer(
        self, solve: _Solve, arguments: tuple[object, ...], seconds: float, seed: int
    ) -> object:
        async with self._busy:
            try:
                return await asyncio.to_thread(self._exchange, solve, arguments, seconds, seed)
            except (EOFError, OSError, TimeoutError):
                self.close()
                return None

    def end_process(self) -> None:
        """End the process; it holds nothing that must be saved. A later question replaces it."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def close(self) -> None:
        self.end_process()
        if self._pipe is not None:
            self._pipe.close()
        self._pipe = self._process = None

    def _exchange(
        self, solve: _Solve, arguments: tuple[object, ...], seconds: float, seed: int
    ) -> object:
        pipe = self._pipe if self._pipe is not None else self._start()
        pipe.send((solve, arguments, seconds, seed))
        if not pipe.poll(seconds + _GRACE_SECONDS):
            raise TimeoutError
        answer: object = pipe.recv()
        return answer

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe = ours
        return ours


def unhurried(
    holding: Holding,
    offers: Offers,
    budget: Budget,
    seed: int = 0,
    *,
    most_moves: int | None = None,
) -> Consolidated:
    """`consolidated`, with the seconds of the budget as seconds of CPU, but not much later.

    A plan made in a tenth of its time moves more pods than a good one, and saves less.
    """
    began = time.process_time()

    def spent() -> float:
        return max(time.process_time() - began, budget.spent() - _LATE_SECONDS)

    def pace() -> float:
        return max(budget.spent() / max(time.process_time() - began, _TICK_SECONDS), 1.0)

    of_cpu = dataclasses.replace(budget, spent=spent, pace=pace)
    return consolidated(holding, offers, of_cpu, seed=seed, most_moves=most_moves)


def _work(pipe: Connection) -> None:
    """Answer questions until the pipe closes."""
    stdout.for_good()
    with contextlib.suppress(EOFError, OSError):
        while True:
            solve, arguments, seconds, seed = pipe.recv()
            pipe.send(solve(*arguments, _budget(seconds), seed=seed))


def _budget(seconds: float) -> Budget:
    started = time.monotonic()
    return Budget(seconds=seconds, spent=lambda: time.monotonic() - started)
