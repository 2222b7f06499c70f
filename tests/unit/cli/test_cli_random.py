"""Three hundred random calls of `simulate` and `lint`; `make hostile-cli` tries twenty thousand."""

import pytest

from tests.hostile import called


def test_random_calls_answer_or_refuse() -> None:
    """No traceback, exit codes as documented, JSON that is JSON; each way of ending is met."""
    tally = called.tried(range(300))

    assert [] == tally.broken
    assert {0, 1, 2} == set(tally.codes)
    assert all(count > 10 for count in tally.codes.values())


@pytest.mark.parametrize("seed", [1920, 2256, 2901, 3872, 103494, 106725, 205684, 209889])
def test_calls_that_once_ended_with_a_traceback(seed: int) -> None:
    """Numbers beyond int64 in a rule; texts for lists; an object for a text; null in a list."""
    assert [] == called.tried(range(seed, seed + 1)).broken
