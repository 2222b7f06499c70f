"""How late the loop runs, and what is done once everything has been listed."""

import asyncio
import itertools
from dataclasses import dataclass

import pytest

from bayplan.cluster import cache, decode
from bayplan.metrics import Metrics
from bayplan.model import state
from bayplan.runtime.loop_monitor import LoopMonitor
from tests.double.bell import Bell
from tests.double.loop import VirtualLoop, run


@dataclass
class Told:
    """When the gauges were refreshed, and when the cache was seen to be synced."""

    measured: list[float]
    synced_at: float


def played(synced_after: float, seconds: float) -> Told:
    known = cache.Cache(state.State(), Bell())
    told = Told([], float("inf"))

    def sync() -> None:
        for kind in decode.KINDS:
            known.sync(kind)

    async def play() -> None:
        loop = asyncio.get_running_loop()
        monitor = LoopMonitor(known, Metrics(), lambda: told.measured.append(loop.time()))
        task = asyncio.create_task(monitor.run())
        loop.call_later(synced_after, sync)
        async with asyncio.timeout(seconds):
            await monitor.synced.wait()
            told.synced_at = loop.time()
            await asyncio.sleep(seconds)
        task.cancel()

    with pytest.raises(TimeoutError):
        run(play())
    return told


def value(metrics: Metrics, name: str) -> float:
    """A metric's value as it is scraped."""
    lines = metrics.page().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def test_nothing_is_measured_before_all_is_listed() -> None:
    """Half a cluster has no gauges; whoever waits for the lists goes on at the next look."""
    told = played(synced_after=7.25, seconds=20)

    assert 7.3 == pytest.approx(told.synced_at)
    assert told.synced_at <= told.measured[0]


def test_gauges_are_refreshed_every_few_seconds() -> None:
    """Not at every look: they take tens of milliseconds of a large cluster."""
    told = played(synced_after=0.0, seconds=21)

    pauses = [after - before for before, after in itertools.pairwise([0.0, *told.measured])]
    assert [5.0] * 4 == pytest.approx(pauses, abs=0.11)  # at the look that follows


def test_a_stall_makes_all_looks_late_that_fall_into_it() -> None:
    """Two seconds of it are twenty looks, late by up to two seconds: no average hides them."""
    metrics = Metrics()

    async def play() -> None:
        monitor = LoopMonitor(cache.Cache(state.State(), Bell()), metrics, lambda: None)
        task = asyncio.create_task(monitor.run())
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.stall(2.0)
        await asyncio.sleep(0.01)
        task.cancel()

    run(play())

    # Due at 0.1, 0.2, … 2.0, and seen at 2.05: late by 1.95, 1.85, … 0.05.
    assert 20 == value(metrics, "bayplan_loop_lag_seconds_count")
    assert 20.0 == pytest.approx(value(metrics, "bayplan_loop_lag_seconds_sum"))
