"""Laws of several schedules as one: what their slots are when counted one by one, each once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.schedules import union
from bayplan.schedules.parse import parse, together

START = 1_789_999_200  # a full hour
TEXTS = (
    *(
        "*/7 * * * *",
        "*/20 * * * *",
        "0 6,14 * * *",
        "15 14 * * *",
        "R//PT25M",
        "R/1971-01-02/PT1H",
    ),
    *("R3//PT20M", "R5/2026-09-21T14:00Z/PT2H", "R0//PT1H", "@hourly", "0 0 31 12 *"),
)

texts = st.lists(st.sampled_from(TEXTS), min_size=2, max_size=4, unique=True)
offsets = st.integers(-7200, 100_000)


def singly(some: list[str], after: int, until: int) -> list[int]:
    """Every slot of each, by walking."""
    found: set[int] = set()
    for text in some:
        one = parse(text, "UTC", key="a/b", anchor=START)
        found.update(one.slots_between(after, until, 100_000))
    return sorted(found)


@settings(max_examples=300, deadline=None)
@given(texts, offsets, st.integers(0, 20_000))
def test_the_union_each_moment_once(some: list[str], offset: int, span: int) -> None:
    """Next, last, count and the newest few are those of the merged list."""
    whole = together(some, "UTC", key="a/b", anchor=START)
    after, until = START + offset, START + offset + span
    slots = singly(some, after, until)

    assert len(slots) == whole.count_between(after, until)
    assert tuple(slots[:5]) == whole.slots_between(after, until, 5)
    assert tuple(slots[-5:]) == whole.latest(after, until, 5)
    assert (slots[-1] if slots else None) == next(iter(whole.latest(after, until, 1)), None)


@settings(max_examples=100, deadline=None)
@given(st.permutations(["R3//PT20M", "R5/2026-09-21T14:00Z/PT1H", "R0//PT1H"]), offsets)
def test_what_remains_of_finite_ones(some: list[str], offset: int) -> None:
    """Counted once each; one that never ends makes the whole endless."""
    whole = together(some, "UTC", key="a/b", anchor=START)
    endless = together([*some, "@hourly"], "UTC", key="a/b", anchor=START)
    at = START + offset

    assert len(singly(some, at, START + 10**6)) == whole.remaining_after(at)
    assert endless.remaining_after(at) is None


def test_long_spans_are_counted_within_bounds() -> None:
    """Beyond what is compared, what coincides counts for each; never less than there are."""
    whole = together(["R//PT10S", "R//PT20S", "@hourly"], "UTC", key="a/b", anchor=START)
    exact = 10**7 // 10
    counted = whole.count_between(START, START + 10**7)

    assert exact <= counted <= exact * 3 // 2 + 10**7 // 3600
    assert exact + 10**7 // 20 + 10**7 // 3600 - union.MOST_COMPARED == counted
