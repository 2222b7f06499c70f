"""Consolidation from the snapshot to nodes that have gone, whole and in virtual time."""

from typing import Any

from tests.unit.scheduler.pool_town import Town
from tests.unit.scheduler.test_pool_buying import played


def town_of(**more: Any) -> Town:
    """Eight nodes that are full of ten LongServices with six instances each."""
    town = Town(**more)
    town.buy("m5.xlarge", 8)
    for number in range(10):
        town.serve(f"s{number}", 6)
    return town


def settled(town: Town, story: Any) -> Town:
    """Play a story in a town that has been as it is for long."""

    async def whole(_: Town) -> None:
        await town.settled()
        await story(town)

    played(town, whole)
    assert [] == town.broken
    return town


def test_half_of_the_instances_leave_and_nodes_go_back() -> None:
    async def story(town: Town) -> None:
        before.append(town.cost())
        for number in range(10):
            town.scale(f"s{number}", 3)
        await town.living(60)
        after.append((town.cost(), dict(town.writes)))
        await town.living(600)
        after.append((town.cost(), dict(town.writes)))

    before: list[int] = []
    after: list[Any] = []
    settled(town_of(), story)

    assert after[-1][0] <= before[0] * 5 // 8
