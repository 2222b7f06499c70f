"""Laws A1 to A3 of Auto Scaling groups: over deaths at any call or write, time-outs, throttles."""

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.group_town import (
    FakeAws,
    Filled,
    dying,
    filled,
    throttled,
    unanswered,
)

TROUBLES = st.lists(
    st.one_of(
        st.builds(dying, st.sampled_from(("before", "after"))),
        st.builds(unanswered, st.sampled_from(("before", "after"))),
        st.builds(throttled),
    ),
    max_size=5,
)
STORIES = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@STORIES
@given(TROUBLES, st.integers(0, 40))
def test_nothing_is_bought_or_ended_twice(troubles: list[Any], writes: int) -> None:
    """A1, A2, A3: over deaths at any call or write, time-outs and throttles."""
    calm = filled()

    class Troubled(Filled):
        async def story(self) -> None:
            self.dies_after = writes
            await super().story()

    town = Troubled(lambda aws: aws.troubles.extend(troubles))
    town.play(town.story)

    assert (calm.placed, calm.bought) == (town.placed, town.bought)
    assert [] == town.broken
    assert [] == town.aws.hasty()
    assert {} == town.aws.instances


@STORIES
@given(TROUBLES, st.integers(0, 40))
def test_nothing_is_bought_twice_without_launches(troubles: list[Any], writes: int) -> None:
    """A1, A2 where the API lacks LaunchInstances: sizes only grow by what is missing."""

    def prepare(aws: FakeAws) -> None:
        aws.lacks_launch = True
        aws.troubles.extend(troubles)

    calm = filled()
    town = Filled(prepare)
    town.dies_after = writes
    town.play(town.story)

    assert (calm.placed, calm.bought) == (town.placed, town.bought)
    assert [] == town.broken
    assert [] == town.aws.hasty()
