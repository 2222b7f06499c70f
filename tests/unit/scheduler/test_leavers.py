"""Who leaves when LongServices have too many instances: the wait and the plan."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import pytest

from bayplan.api import names
from bayplan.api.resource import Key, Resource
from bayplan.model.departures import ANY_DEPARTURE, Departures
from bayplan.scheduler.consolidation.leavers import Leavers, Leaving
from tests.double.loop import run
from tests.unit.scheduler.pool_town import Town


class Desk:
    """Plans as a test wants them; notes who was rung."""

    def __init__(self, town: Town, *, answer: Leaving | None = None, seconds: float = 2.0) -> None:
        self.town, self.answer, self.seconds = town, answer, seconds
        self.asked: list[str] = []
        self.rung: list[Key] = []
        self.leavers = Leavers(
            cache=town.cache,
            clock=town.buying.clock,
            menus=town.buying.menus,
            plans=self,
            ring=self.rung.append,
            leads=lambda: True,
            failed=town.defects.append,
        )

    async def leaving(self, pool: str) -> Leaving | None:
        self.asked.append(pool)
        await asyncio.sleep(self.seconds)
        return self.answer

    def ranks(self) -> Mapping[str, int]:
        return {"n-old-1": 0}

    def of(self, name: str) -> Departures:
        return self.leavers.departures(service(self.town, name))

    async def passing(self, seconds: int) -> None:
        for _ in range(seconds):
            await asyncio.sleep(1)
            self.town.clock.wall += 1


def service(town: Town, name: str) -> Resource:
    return town.cache.resources[names.LONGSERVICE, "default", name]


def filled(**services: int) -> Town:
    """A town with two nodes whose services have all their instances."""
    town = Town()
    town.buy("m5.2xlarge", 2)
    for name, replicas in services.items():
        town.serve(name, replicas)
    run(town.settled())
    assert town.defects == []
    return town


def played(desk: Desk, story: object) -> None:
    async def whole() -> None:
        running = asyncio.create_task(desk.leavers.run())
        await story()  # type: ignore[operator]
        running.cancel()

    run(whole())


def test_a_surplus_waits_for_the_plan() -> None:
    """Then the plan counts, and what has left already is taken off."""
    town = filled(a=6, b=4)
    nodes = Counter(pod.node for pod in town.pods_of("a"))
    node = min(nodes)
    desk = Desk(town, answer={"uid-a": {node: 2}})
    seen: list[Departures] = []

    async def story() -> None:
        town.scale("a", 4)
        seen.append(desk.of("a"))
        await desk.passing(2)
        seen.append(desk.of("a"))
        await desk.passing(3)
        seen.append(desk.of("a"))
        gone = next(pod for pod in town.pods_of("a") if pod.node == node)
        town.cache.delete("Pod", gone.key, "", 10**6)
        town.version = 10**6
        seen.append(desk.of("a"))

    played(desk, story)
    ranks = {"n-old-1": 0}

    assert ["batch"] == desk.asked
    assert seen[0].undecided_until == seen[1].undecided_until
    assert {} == seen[0].counts
    assert Departures({node: 2}, ranks) == seen[2]
    assert Departures({node: 1}, ranks) == seen[3]
    assert [service(town, "a").key] == desk.rung


def test_surpluses_that_come_together_are_one_question() -> None:
    town = filled(a=6, b=4)
    desk = Desk(town, answer={})

    async def story() -> None:
        for name in ("a", "b"):
            town.scale(name, 2)
            desk.of(name)
            await desk.passing(1)
        await desk.passing(5)

    played(desk, story)

    assert ["batch"] == desk.asked
    assert {service(town, name).key for name in ("a", "b")} == set(desk.rung)


@pytest.mark.parametrize("seconds", [2.0, 1000.0])
def test_without_an_answer_they_leave_by_ranks(seconds: float) -> None:
    """The solver process died, or takes for ever: a scale-down is not held up."""
    town = filled(a=6)
    desk = Desk(town, answer=None, seconds=seconds)
    seen: list[Departures] = []

    async def story() -> None:
        town.scale("a", 4)
        desk.of("a")
        await desk.passing(25)
        seen.append(desk.of("a"))

    played(desk, story)

    assert [Departures({}, {"n-old-1": 0})] == seen


def test_a_small_step_leaves_by_ranks() -> None:
    """An autoscaler takes one instance now and then: the nodes that go next are known already."""
    town = filled(a=6)
    desk = Desk(town)
    seen: list[Departures] = []

    async def story() -> None:
        town.scale("a", 5)
        desk.of("a")
        await desk.passing(2)
        seen.append(desk.of("a"))

    played(desk, story)

    assert [Departures({}, {"n-old-1": 0})] == seen
    assert [] == desk.asked


def test_who_moves_waits_only_for_a_large_surplus() -> None:
    """Or an autoscaler that takes one instance after the other would stop all moves."""
    town = filled(a=6, b=4)
    desk = Desk(town)
    seen: list[bool] = []

    async def story() -> None:
        for name, replicas in (("a", 5), ("b", 2)):
            town.scale(name, replicas)
            desk.of(name)
            seen.append(desk.leavers.unsettled())
        await desk.passing(61)
        seen.append(desk.leavers.unsettled())

    played(desk, story)

    assert [False, True, False] == seen


def test_a_defect_holds_nothing_up() -> None:
    town = filled(a=6)
    desk = Desk(town)
    desk.leaving = None  # type: ignore[assignment, method-assign]
    seen: list[Departures] = []

    async def story() -> None:
        town.scale("a", 4)
        desk.of("a")
        await desk.passing(4)
        seen.append(desk.of("a"))

    played(desk, story)

    assert [None] == [one.undecided_until for one in seen]
    assert 1 == len(town.defects)


def test_a_surplus_that_grows_is_planned_again_but_not_for_ever() -> None:
    town = filled(a=9)
    desk = Desk(town, answer={})
    waits: list[bool] = []

    async def story() -> None:
        for replicas in range(7, 1, -1):
            town.scale("a", replicas)
            desk.of("a")
            await desk.passing(9)
            waits.append(desk.of("a").undecided_until is not None)

    desk.seconds = 30.0
    played(desk, story)

    assert waits[0]
    assert not waits[-1]


def test_nobody_waits_without_a_pool_that_consolidates() -> None:
    town = filled(a=6)
    town.pool("Buy")
    town.scale("a", 2)
    desk = Desk(town)

    async def story() -> None:
        assert ANY_DEPARTURE is desk.of("a")

    played(desk, story)

    assert [] == desk.asked


def test_a_service_that_ends_or_rolls_waits_for_nothing() -> None:
    """All instances of the one leave; of the other, the update decides how many leave."""
    town = filled(a=6, b=4)
    desk = Desk(town)

    async def story() -> None:
        town.scale("a", 0)
        town.scale("b", 2)
        town.see_revision("b")
        for name in ("a", "b"):
            assert desk.of(name).undecided_until is None

    played(desk, story)

    assert [] == desk.asked
