"""What runs for as long as the process: which end is the end of it, and how it is ended."""

import asyncio
import logging

import pytest

from bayplan.runtime.supervisor import Ended, Supervisor
from tests.double.loop import run


async def returns() -> None:
    """End at once."""


async def raises() -> None:
    raise ZeroDivisionError("two gauges")


async def stays() -> None:
    await asyncio.Event().wait()


def test_a_stop_is_the_quiet_end() -> None:
    """Whoever waits goes on when it is asked to stop; what runs is not ended by that."""

    async def play() -> None:
        supervisor, stop = Supervisor(), asyncio.Event()
        supervisor.start("stays", stays())
        asyncio.get_running_loop().call_later(60, stop.set)
        await supervisor.wait(stop)
        await supervisor.cancel()

    run(play())


@pytest.mark.parametrize(
    ("work", "ends", "why"),
    [
        (returns, False, "writer ended: None"),
        (raises, False, "writer ended: ZeroDivisionError('two gauges')"),
        (raises, True, "writer ended: ZeroDivisionError('two gauges')"),
    ],
)
def test_a_task_that_ends_by_itself_ends_the_process(
    work: object, ends: bool, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason names the task and its error; one that may end may not fail."""

    async def play() -> None:
        supervisor = Supervisor()
        supervisor.start("stays", stays())
        supervisor.start("writer", work(), ends=ends)  # type: ignore[operator]
        try:
            await supervisor.wait(asyncio.Event())
        finally:
            await supervisor.cancel()

    with caplog.at_level(logging.ERROR), pytest.raises(Ended) as ended:
        run(play())

    assert why == str(ended.value)
    assert (work is raises) is ("task ended" in caplog.text)


def test_a_task_that_may_end_ends_nothing() -> None:
    """Its end is part of the plan."""

    async def play() -> None:
        supervisor, stop = Supervisor(), asyncio.Event()
        supervisor.start("look anew", returns(), ends=True)
        asyncio.get_running_loop().call_later(1, stop.set)
        await supervisor.wait(stop)

    run(play())


def test_the_first_reason_is_told() -> None:
    """What fails afterwards is a consequence."""

    async def play() -> None:
        supervisor = Supervisor()
        await asyncio.to_thread(supervisor.fail_soon, "the lease was lost")
        await asyncio.sleep(0)
        supervisor.fail("writer ended")
        await supervisor.wait(asyncio.Event())

    with pytest.raises(Ended, match="the lease was lost"):
        asyncio.run(play())


def test_a_spared_task_goes_on_until_it_is_cancelled_too() -> None:
    """Writes under way may finish while nothing else runs any more; cancelling fails nobody."""
    told: list[str] = []

    async def tells(name: str) -> None:
        try:
            await stays()
        finally:
            told.append(name)

    async def play() -> None:
        supervisor, stop = Supervisor(), asyncio.Event()
        supervisor.start("writer", tells("writer"))
        supervisor.start("loop", tells("loop"))
        await asyncio.sleep(1)

        await supervisor.cancel(spare="writer")
        assert ["loop"] == told

        await supervisor.cancel()
        assert ["loop", "writer"] == told

        stop.set()
        await supervisor.wait(stop)

    run(play())
