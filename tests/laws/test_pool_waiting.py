"""Laws of waiting for a node: who may buy for a pod is never in doubt, and Advise only advises."""

from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bayplan.model.pods import UNSCHEDULABLE, WAITING_FOR_NODE
from tests.unit.scheduler.test_pool_buying import Shop, played

# Without shrinking: a story plays two minutes, and a failing one would be cut for minutes.
EXAMPLES = settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
arrivals = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 3), st.sampled_from([300, 1000, 7000])),
    min_size=1,
    max_size=4,
)  # second, pods, milli-CPU of each


async def come(shop: Shop, pods: list[tuple[int, int, int]], seconds: int) -> dict[str, list[str]]:
    """Pods come as told; what each says after every second from then on."""
    said: dict[str, list[str]] = {}
    for second in range(seconds):
        for index, (at, count, cpu) in enumerate(pods):
            if at == second:
                shop.pods(count, cpu, f"w{index}")
        await shop.passing(1)
        last = {one.name: one.reason for one in shop.notes.marked}
        for key in shop.cache.state.unplaced:
            said.setdefault(key[1], []).append(last.get(key[1], ""))
    return said


@EXAMPLES
@given(arrivals, st.integers(10, 60), st.booleans())
def test_a_pod_is_unschedulable_after_the_fallback_and_never_before(
    pods: list[tuple[int, int, int]], after: int, answers: bool
) -> None:
    """B7, whether or not nodes are ordered meanwhile; no node ever joins."""
    told: dict[str, list[str]] = {}

    async def story(shop: Shop) -> None:
        shop.answers = answers
        told.update(await come(shop, pods, 110))

    played(Shop(buying={"fallback": {"afterSeconds": after}}), story)

    for words in told.values():
        # A look a second: the first word comes with the next look, and so does the change.
        assert set(words[1 : after - 1]) <= {WAITING_FOR_NODE}
        assert set(words[after + 1 :]) == {UNSCHEDULABLE}


@EXAMPLES
@given(arrivals, st.data())
def test_a_pool_that_advises_writes_its_status_only(
    pods: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """B8: whatever comes and whatever limits and headroom it has."""
    spec: dict[str, Any] = data.draw(
        st.sampled_from(
            [
                {},
                {"limits": {"nodes": 0}},
                {"buying": {"headroom": {"cpu": "4", "memory": "8Gi"}}},
                {"default": True, "retirement": {"emptySeconds": 0}},
            ]
        )
    )
    told: dict[str, list[str]] = {}

    async def story(shop: Shop) -> None:
        told.update(await come(shop, pods, 60))

    shop = played(Shop("Advise", **spec), story)

    assert [] == [*shop.launched, *shop.retired, *shop.tainted]
    assert shop.statuses
    assert all(set(words[1:]) <= {UNSCHEDULABLE} for words in told.values())
