"""When a pod ended, whatever its node's clock says."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.model.pods import CLOCKS_DIFFER_SECONDS, FRESH, Ending, Pod
from tests.builders import NOON, make_pod

moments = st.none() | st.integers(NOON - 9000, NOON + 9000)


def over(started_at: int | None, finished_at: int | None, created_at: int = NOON) -> Pod:
    ending = Ending(exit_code=1, started_at=started_at, finished_at=finished_at)
    return make_pod("a", "n1", created_at=created_at, ending=ending)


@pytest.mark.parametrize(
    ("started", "finished", "expected"),
    [
        (5, 60, 60),  # as the node says
        (5, 100, 100),  # now
        (5, 110, 105),  # a clock ahead, or ours is behind
        (5, 1060, 0),  # it would have run for longer than there was time: its clock was set
        (1000, 1060, 60),  # a clock ahead: it ran for 60 s
        (-1000, -940, 60),  # a clock behind
        (-1000, 60, 60),  # nobody would know
        (70, 60, 60),
        (1070, 1060, 0),
        (None, 60, 60),
        (None, 1060, 0),
        (5, None, 5),  # evicted: no container tells
        (1000, None, 0),
        (None, None, 0),  # refused by its kubelet
    ],
)
def test_the_end_of_a_pod(started: int | None, finished: int | None, expected: int) -> None:
    """Of a pod created at 0, as told at 100."""
    times = [None if at is None else NOON + at for at in (started, finished)]

    assert expected == over(*times).ended_at(NOON + 100) - NOON


@given(moments, moments, st.integers(0, 9000), st.integers(0, 9000))
def test_an_end_lies_between_creation_and_now(
    started: int | None, finished: int | None, since: int, later: int
) -> None:
    """And a later look never finds an earlier one: what was waited for long enough stays so."""
    pod = over(started, finished)
    first, then = (pod.ended_at(NOON + since + more) for more in (0, later))

    assert NOON <= first <= NOON + since + CLOCKS_DIFFER_SECONDS
    assert first <= then


@given(
    st.integers(-(10**7), 10**7), st.integers(0, 600), st.integers(0, 10**6), st.integers(0, 600)
)
def test_a_wrong_clock_shifts_an_end_by_no_more_than_it_is_wrong(
    skew: int, starts: int, runs: int, since: int
) -> None:
    """And by no more than the time before the start, where it is seen to be wrong."""
    end = NOON + starts + runs
    pod = over(NOON + starts + skew, end + skew)

    found = pod.ended_at(end + since)

    assert found == end - starts or (found == end + skew and -starts - runs <= skew <= since)


def test_a_pod_that_tells_nothing_ended_when_it_was_created() -> None:
    """So it is with the API server's clock ahead of ours, too."""
    assert NOON == replace(over(None, None), ending=FRESH).ended_at(NOON - 60)
