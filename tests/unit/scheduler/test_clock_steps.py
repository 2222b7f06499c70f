"""Everybody's clocks are set while a Pool buys: durations stay what they are."""

from typing import Any

import pytest

from bayplan.model.pods import UNSCHEDULABLE, WAITING_FOR_NODE
from tests.unit.scheduler.test_pool_buying import Shop, played

STEPS = [-45, -3, 3, 300]


def in_seconds(shop: Shop, what: list[Any]) -> Any:
    """Let time pass until there is something; how many seconds it took, at most 300."""

    async def passed() -> int:
        for second in range(1, 300):
            await shop.passing(1)
            if what:
                return second
        return 300

    return passed()


@pytest.mark.parametrize("step", STEPS)
def test_a_pod_waits_as_long_as_before(step: int) -> None:
    """It is left to others after its 60 seconds; a pod that comes after the step has its own."""

    async def story(shop: Shop) -> None:
        shop.answers = False
        shop.pods(1)
        await shop.passing(20)
        shop.clock.wall += step
        await shop.passing(10)
        shop.pods(1, name="late")
        for _ in range(70):
            await shop.passing(1)
            said.append({one.name: one.reason for one in shop.notes.marked})

    said: list[dict[str, str]] = []
    played(Shop(buying={"fallback": {"afterSeconds": 60}}), story)

    first, late = ([one[name] for one in said] for name in ("p-0", "late-0"))
    assert [WAITING_FOR_NODE] * 28 == first[:28]
    assert {UNSCHEDULABLE} == set(first[32:])
    assert [WAITING_FOR_NODE] * 58 == late[:58]
    assert {UNSCHEDULABLE} == set(late[62:])


@pytest.mark.parametrize("step", STEPS)
def test_a_claim_without_an_instance_has_its_time(step: int) -> None:
    """30 seconds: it stops all buying of Karpenter, and a new instance takes most of them."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        await shop.passing(10)
        shop.clock.wall += step
        took.append(await in_seconds(shop, shop.retired))

    took: list[int] = []
    played(Shop(), story)

    assert 15 <= took[0] <= 22


@pytest.mark.parametrize("step", STEPS)
def test_what_was_refused_stays_out(step: int) -> None:
    """For three minutes, which the status says by the clock as it is now."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        (claim,) = shop.claims()
        shop.cache.delete("NodeClaim", ("", claim.name), claim.uid, 10**6)
        shop.version = 10**6
        await shop.passing(20)
        shop.clock.wall += step
        await shop.passing(150)
        still.append({one["type"] for one in shop.statuses[-1]["unavailable"]})
        await shop.passing(20)

    still: list[set[str]] = []
    shop = played(Shop(buying={"alternatives": 1}), story)

    assert [{"m5.large"}] == still
    assert [] == shop.statuses[-1]["unavailable"]


@pytest.mark.parametrize("step", STEPS)
def test_a_node_goes_only_after_its_taint_was_there_for_ten_seconds(step: int) -> None:
    """What was bound before the taint has to show itself, whatever the clock says."""

    async def story(shop: Shop) -> None:
        shop.pods(1)
        await shop.passing(5)
        shop.store()
        (claim,) = shop.claims()
        shop.join(claim)
        shop.cache.delete("Pod", ("default", "p-0"), "", 10**6)
        shop.version = 10**6
        await in_seconds(shop, shop.tainted)
        await shop.passing(2)
        shop.clock.wall += step
        took.append(await in_seconds(shop, shop.retired))

    took: list[int] = []
    played(Shop(retirement={"emptySeconds": 30}), story)

    assert 8 <= took[0] <= 60
