"""The gauges of cost: what goes wrong there ends nothing."""

import asyncio

from bayplan import metrics
from bayplan.cluster import cache
from bayplan.model import state
from bayplan.runtime import cost_monitor
from tests.double.bell import Bell
from tests.double.loop import run


class Tripping(cache.Cache):
    def snapshot(self) -> None:  # type: ignore[override]
        raise ZeroDivisionError


def test_a_defect_there_ends_nothing() -> None:
    """It is told, and a minute later tried again."""
    told: list[Exception] = []
    appraiser = cost_monitor.CostMonitor(
        Tripping(state.State(), Bell()),
        None,  # type: ignore[arg-type]
        metrics.Metrics(),
        lambda: True,
        told.append,
    )

    async def play() -> None:
        task = asyncio.create_task(appraiser.run())
        await asyncio.sleep(150)
        task.cancel()

    run(play())

    assert ["ZeroDivisionError"] * 2 == [type(error).__name__ for error in told]
