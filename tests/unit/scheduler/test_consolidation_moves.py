"""Law: for constant demand, replans move hardly more pods than the first plan said.

Each plan is proven and paid for by what it saves. So what the first plan begins is carried out, and
later plans may mend it only where that pays for all moves so far.
"""

import numpy as np
import pytest

from tests.unit.scheduler.pool_town import Town

_MARGIN = 5  # one move in so many may come on top of what the first plan said
_SIZES = 250, 500, 750, 1250
_GRACE = 30  # seconds that a pod takes to end, as in most clusters


def half_empty(seed: int, *, foreign: bool) -> tuple[Town, dict[str, int]]:
    """Twelve full nodes of two types, and what is to be left of each workload: about half."""
    dice, town, left = np.random.default_rng(seed), Town(), dict[str, int]()
    town.buy("m5.xlarge", 6)
    town.buy("m5.2xlarge", 6)
    load = 0
    for number in range(14):
        cpu, count = int(dice.choice(_SIZES)), int(dice.integers(4, 13))
        load += cpu * count
        if load > 62_000:
            break
        name = f"w{number}"
        left[name] = max(count // 2, 2)
        if foreign:
            town.replica_set(name, count, cpu)
        else:
            town.serve(name, count, f"{cpu}m")
    return town, left


@pytest.mark.parametrize("foreign", [False, True], ids=["services", "others"])
def test_replans_move_hardly_more_than_the_first_plan(foreign: bool) -> None:
    """Half of the pods leave; the first plan is that which is carried out when they have gone."""
    town, left = half_empty(2, foreign=foreign)
    said: list[int] = []
    moved: list[int] = []

    def moves() -> int:
        return town.buying.consolidator.records.told["batch"].moves_last_day

    async def story() -> None:
        for name, count in left.items():
            town.scale(name, count)
        await town.living(_GRACE)
        before = town.buying.consolidator.planner.known("batch")
        for _ in range(500):
            await town.living(1)
            plan = town.buying.consolidator.planner.known("batch")
            if not said and plan is not None and plan is not before:
                said.append(sum(group.moves for group in plan.groups))
                moved.append(moves())

    town.grace = _GRACE
    town.play(story)

    assert said
    assert moves() - moved[0] <= said[0] + said[0] // _MARGIN
    assert [] == town.broken
