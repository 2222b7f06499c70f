"""Exponential delay: how long to wait before what has failed is tried again.

All that wait longer each time ask this function: retries of runs, restarts of instances, refused
and unanswered writes, watches, notices, nodes that cool down. What counts as a failure, what ends
a row of failures, and jitter are the caller's part.
"""

_DOUBLE = 200
_SAME = 100


def delay_after(failures: int, first: int, longest: int, factor_percent: int = _DOUBLE) -> int:
    """The wait after the n-th failure in a row, in the unit of `first` and `longest`.

    Exactly `min(longest, first · (factor_percent / 100)^(failures - 1))`, rounded down. These are
    integers that stop growing at `longest`, so any number of failures is cheap and none overflows.
    """
    numerator, denominator = first, 1
    for _ in range(failures - 1 if factor_percent > _SAME and first else 0):
        if numerator >= longest * denominator:
            break
        numerator *= factor_percent
        denominator *= 100
    return min(longest, numerator // denominator)
