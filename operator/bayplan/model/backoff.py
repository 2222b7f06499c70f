"""Exponential delay: how long to wait before a failed action is tried again.

Every wait that grows with each failure uses this function: retries of runs, restarts of instances,
refused and unanswered writes, watches, notices, nodes that cool down. The caller decides what
counts as a failure and what ends a row of failures, and adds jitter.
"""

_DOUBLE = 200
_SAME = 100


def delay_after(failures: int, first: int, longest: int, factor_percent: int = _DOUBLE) -> int:
    """The wait after the n-th failure in a row, in the unit of `first` and `longest`.

    Exactly `min(longest, first · (factor_percent / 100)^(failures - 1))`, rounded down. It uses
    integers and stops at `longest`, so any number of failures is cheap and nothing overflows.
    """
    numerator, denominator = first, 1
    for _ in range(failures - 1 if factor_percent > _SAME and first else 0):
        if numerator >= longest * denominator:
            break
        numerator *= factor_percent
        denominator *= 100
    return min(longest, numerator // denominator)
