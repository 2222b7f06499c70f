"""Laws of plain vector bin packing: bins hold, every item is in one, exact fillings are found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.optimizer.problem import Budget, IntMatrix
from tests.scale.packing import vectorbin

ITEMS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=40
).map(lambda rows: np.array(rows, np.int64))


@settings(deadline=None)
@given(ITEMS, st.integers(0, 5))
def test_every_item_is_in_one_bin_and_no_bin_is_too_full(items: IntMatrix, rounds: int) -> None:
    """Loads stay within capacity, numbers have no holes, the bound is no more than the count."""
    capacity = np.array([20, 25, 30])
    bins = vectorbin.packed(items, capacity, Budget(rounds=rounds))

    assert (vectorbin.loads(items, bins.of) <= capacity).all()
    assert list(range(bins.count)) == np.unique(bins.of).tolist()
    assert bins.bound <= bins.count


@settings(deadline=None, max_examples=30)
@given(ITEMS)
def test_more_rounds_never_need_more_bins(items: IntMatrix) -> None:
    """Recreating keeps a group only where it is no worse."""
    capacity = np.array([20, 25, 30])
    counts = [vectorbin.packed(items, capacity, Budget(rounds=n)).count for n in (0, 4, 16)]

    assert sorted(counts, reverse=True) == counts


@pytest.mark.parametrize("seed", range(5))
def test_triples_that_fill_bins_exactly_are_found(seed: int) -> None:
    """Cut 40 bins into three random pieces each: 40 bins hold them again."""
    dice = np.random.default_rng(seed)
    capacity = np.array([100, 100, 100])
    first = dice.integers(25, 45, (40, 3))
    second = dice.integers(25, 40, (40, 3))
    items = np.concatenate((first, second, capacity - first - second))

    assert 40 == vectorbin.packed(dice.permutation(items), capacity, Budget(rounds=3)).count


def test_an_item_larger_than_a_bin_is_an_error() -> None:
    """Nothing could be right then."""
    with pytest.raises(ValueError, match="larger"):
        vectorbin.packed(np.array([[3, 1]]), np.array([2, 2]), Budget(rounds=1))
