"""Exponential delay: laws, and the delays of each place that waits longer each time."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.api.batchjob import RetryPolicy
from bayplan.api.longservice import RestartBackoff
from bayplan.cluster import refusals
from bayplan.model.backoff import delay_after

HUGE = 10**100

failures = st.integers(1, 400) | st.integers(1, HUGE)
firsts = st.integers(0, 10**6)
longests = st.integers(0, 10**8)
percents = st.integers(100, 1100)


@given(st.integers(1, 400), firsts, longests, percents)
def test_delay_is_exact(number: int, first: int, longest: int, percent: int) -> None:
    """It is the floor of the exact power, within the longest."""
    exact = first * Fraction(percent, 100) ** (number - 1)

    assert min(longest, exact.__floor__()) == delay_after(number, first, longest, percent)


@given(failures, firsts, longests, percents)
def test_delay_is_between_the_first_and_the_longest(
    number: int, first: int, longest: int, percent: int
) -> None:
    """However many failures there are: never less than the first, never more than the longest."""
    assert min(first, longest) <= delay_after(number, first, longest, percent) <= longest


@given(failures, firsts, longests, percents)
def test_delay_never_shrinks(number: int, first: int, longest: int, percent: int) -> None:
    """One more failure waits at least as long, and the first failure waits the first delay."""
    here, then = (delay_after(n, first, longest, percent) for n in (number, number + 1))

    assert here <= then
    assert min(first, longest) == delay_after(1, first, longest, percent)


@given(failures, st.integers(1, 10**6), longests)
def test_delay_doubles_until_the_longest(number: int, first: int, longest: int) -> None:
    """Unless another factor is asked for, each delay is twice the one before, or the longest."""
    assert min(2 * delay_after(number, first, longest), longest) == delay_after(
        number + 1, first, longest
    )


@pytest.mark.parametrize("number", [5000, 10**6, HUGE])
@pytest.mark.parametrize("percent", [100, 101, 200, 1100])
def test_any_number_of_failures_is_cheap(number: int, percent: int) -> None:
    """What floats overflow at and powers take for ever over: the longest, or the same as before."""
    assert (1 if percent == 100 else 86_400_000) == delay_after(number, 1, 86_400_000, percent)


@pytest.mark.parametrize(
    ("first", "longest", "expected"),
    [
        (1, 300, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]),  # lost attempts, refused writes
        (5, 300, [5, 10, 20, 40, 80, 160, 300, 300]),  # refused templates
        (30, 300, [30, 60, 120, 240, 300, 300]),  # nodes without a volume
        (30, 3600, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]),  # nodes that lost attempts
        (200, 15_000, [200, 400, 800, 1600, 3200, 6400, 12_800, 15_000]),  # unanswered writes
        (500, 30_000, [500, 1000, 2000, 4000, 8000, 16_000, 30_000]),  # watches
    ],
)
def test_known_rows(first: int, longest: int, expected: list[int]) -> None:
    """The rows that the parts of the operator go through."""
    assert expected == [delay_after(n, first, longest) for n in range(1, len(expected) + 1)]


def test_what_a_spec_asks_for() -> None:
    """Retries of runs double from a minute, restarts grow by 15 percent of a second."""
    retry, restart = RetryPolicy(), RestartBackoff()

    assert [60, 120, 240] == [retry.delay_seconds_before(n) for n in (1, 2, 3)]
    assert [1000, 1150, 1322] == [restart.delay_milliseconds_after(n) for n in (1, 2, 3)]
    assert [3600, 300_000] == [
        retry.delay_seconds_before(HUGE),
        restart.delay_milliseconds_after(HUGE),
    ]


@pytest.mark.parametrize(("longest", "expected"), [(300, 300), (5, 5)])
def test_refusals_without_end(longest: int, expected: int) -> None:
    """A write that is refused for ever waits the longest time."""
    assert expected == refusals.pause(HUGE, longest)
