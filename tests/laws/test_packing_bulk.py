"""Laws of the class-bulk primitives: what fits, and who gets it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bayplan.optimizer import fill

amounts = st.integers(min_value=-20, max_value=200)
wishes = st.integers(min_value=0, max_value=30)


@st.composite
def pools(draw: st.DrawFn) -> tuple[fill.IntMatrix, fill.IntVector]:
    """Free vectors of up to 12 nodes and a request that asks for something."""
    rows = draw(st.lists(st.tuples(amounts, amounts, amounts), min_size=1, max_size=12))
    request = draw(st.tuples(wishes, wishes, wishes).filter(any))
    return np.array(rows, np.int64), np.array(request, np.int64)


@given(pools())
def test_fit_is_the_last_copy_that_does(
    pool: tuple[fill.IntMatrix, fill.IntVector],
) -> None:
    """`fit` copies fit in every requested dimension and one more does not."""
    free, request = pool
    copies = fill.fit(free, request)
    asked = request > 0
    fits = (free[:, asked] >= copies[:, None] * request[asked]).all(axis=1)
    one_more = (free[:, asked] >= (copies[:, None] + 1) * request[asked]).all(axis=1)

    assert (fits | (copies == 0)).all()
    assert not one_more.any()


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(-3, 3)), min_size=1, max_size=20),
    st.integers(0, 100),
)
def test_fill_places_all_it_can_on_the_most_preferred(
    nodes: list[tuple[int, int]], count: int
) -> None:
    """min(count, room) are placed; who has room left is preferred no more than who got any."""
    fits, preference = (np.array(column, np.int64) for column in zip(*nodes, strict=True))
    placed = fill.fill(fits, preference, count)

    assert min(count, int(fits.sum())) == int(placed.sum())
    assert ((placed >= 0) & (placed <= fits)).all()
    got, spare = preference[placed > 0], preference[placed < fits]
    assert not len(got) or not len(spare) or got.min() >= spare.max()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(0, 100))
def test_fill_without_preference_goes_by_index(fits: list[int], count: int) -> None:
    """Among equals the lower index is filled first."""
    expected, left = [], count
    for room in fits:
        expected.append(min(room, left))
        left -= expected[-1]

    assert expected == fill.fill(np.array(fits, np.int64), None, count).tolist()


@given(pools(), st.lists(st.integers(0, 20), min_size=3, max_size=3))
def test_placing_leaves_its_input_alone_and_never_overfills(
    pool: tuple[fill.IntMatrix, fill.IntVector], demand: list[int]
) -> None:
    """Room given is what is taken from, as a copy; where one more fits nothing was left out."""
    free, request = np.maximum(pool[0], 0), np.array([pool[1], [0, 0, 1], [5, 5, 5]])
    wanted, before = np.array(demand, np.int64), free.copy()
    counts = fill.placed(free, request, wanted, np.arange(len(free)))
    left = free - counts @ request

    assert (before == free).all()
    assert (left >= 0).all()
    out = np.flatnonzero(counts.sum(axis=0) < wanted)
    assert not any(fill.fit(left, request[k]).any() for k in out)
