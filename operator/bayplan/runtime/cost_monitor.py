"""Every minute, reports the cost of the nodes in use, the proven least cost, and stranded room."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from bayplan.cluster.cache import Cache
from bayplan.metrics import Metrics
from bayplan.model import resources
from bayplan.model.snapshot import Snapshot
from bayplan.model.workloads import PodClass
from bayplan.provisioning import appraisal
from bayplan.provisioning.leftovers import Requests
from bayplan.provisioning.prices import price_of
from bayplan.runtime import solver_process

# How often the packing is appraised, and how long the optimiser may improve its answer.
_APPRAISAL_SECONDS = 60.0
_SOLVE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class CostMonitor:
    """`leads` says whether this process reports; `failed` is called with a defect of ours."""

    cache: Cache
    worker: solver_process.SolverProcess
    metrics: Metrics
    leads: Callable[[], bool]
    failed: Callable[[Exception], None]

    async def run(self) -> None:
        """Run for ever; the same question is not asked twice."""
        asked = b""
        while True:
            await asyncio.sleep(_APPRAISAL_SECONDS)
            if not self.leads():
                continue
            try:
                asked = await self._appraised(asked)
            except Exception as error:  # noqa: BLE001  two gauges are not worth the process
                self.failed(error)

    async def _appraised(self, asked: bytes) -> bytes:
        """Set the gauges, unless this question was asked last; return the question asked last."""
        frozen = self.cache.snapshot()
        demand = appraisal.movable(frozen, frozen.nodes)
        self._show_stranded(frozen, demand)
        now = appraisal.appraisal(frozen, demand, price_of)
        if now is None or now.digest == asked:
            return asked
        answer = await self.worker.ask(now.question, _SOLVE_SECONDS)
        if answer is None or answer.bound <= 0:
            return asked
        self.metrics.bound.set(answer.bound / 1e6)
        self.metrics.gap.set((now.cost - answer.bound) / answer.bound)
        return now.digest

    def _show_stranded(self, frozen: Snapshot, demand: Iterable[PodClass]) -> None:
        stranded = Requests.of(each.request for each in demand).stranded(frozen)
        for name in frozen.columns:
            scale = 1000 if name == resources.CPU else 1
            self.metrics.stranded.labels(name).set(stranded.amount(name) / scale)
