"""When to look again: the newest word of each key counts; outdated ones leave nothing behind."""

from hypothesis import given
from hypothesis import strategies as st

from bayplan.api.resource import Key
from bayplan.scheduler.wake_times import WakeTimes

A, B = ("BatchJob", "default", "a"), ("BatchJob", "default", "b")
keys = st.sampled_from([("BatchJob", "default", name) for name in "abcd"])
moments = st.one_of(st.none(), st.integers(0, 50))


def test_the_newest_word_counts() -> None:
    """Put off, brought forward, taken back: each is told once, at its last moment."""
    times = WakeTimes()
    times.set(A, 10)
    times.set(A, 20)
    times.set(B, 30)
    times.set(B, 15)
    first = times.due(19), times.next_at()
    times.set(A, None)

    assert ([B], 20) == first
    assert ([], None) == (times.due(99), times.next_at())


@given(st.lists(st.tuples(keys, moments, st.integers(0, 5))))
def test_it_is_as_if_a_plain_mapping_were_asked(steps: list[tuple[Key, int | None, int]]) -> None:
    """What is due, and when the next is, whatever came before."""
    times, plain, now = WakeTimes(), dict[Key, int](), 0
    for key, at, passed in steps:
        times.set(key, at)
        if at is None:
            plain.pop(key, None)
        else:
            plain[key] = at
        now += passed
        due = sorted(key for key, at in plain.items() if at <= now)
        plain = {key: at for key, at in plain.items() if at > now}

        assert due == sorted(times.due(now))
        assert min(plain.values(), default=None) == times.next_at()


def test_a_mind_changed_at_every_look_leaves_nothing_behind() -> None:
    times = WakeTimes()
    for moment in range(10_000):
        times.set(A, 1_000_000 - moment)
        times.set(("BatchJob", "default", f"j{moment}"), 2_000_000)
        times.set(("BatchJob", "default", f"j{moment}"), None)

    assert 100 > times.size
    assert 1_000_000 - 9_999 == times.next_at()
