"""How the value of a node label is read and compared: as a pattern, a number or plain text.

The rules are Marathon's: a pattern matches the whole value, and numbers are equal when they agree
to three decimals (docs/reference/placement.md).
"""

import decimal
from collections.abc import Callable

import re2

Test = Callable[[str], bool]

MOST_PATTERN = 256  # characters of a user's regular expression
LABEL_VALUE = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
WHOLE_NUMBER = "[1-9][0-9]{0,8}"
_THIRD_DECIMAL = decimal.Decimal("0.001")
_NUMBER = re2.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?")
_COUNT = re2.compile("[0-9]{1,9}")


def pattern(text: str) -> Test | None:
    """A test for values that match as a whole; None if the text is not an RE2 pattern.

    The test takes linear time for every pattern.
    """
    if len(text) > MOST_PATTERN:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(text, options)
    except re2.error:
        return None
    return lambda value: compiled.fullmatch(value) is not None


def equal(text: str) -> Test:
    """A test for values that are exactly this text."""
    return lambda value: value == text


def equal_number(text: str) -> Test:
    """A test for values that are this text, or the same number at three decimals."""
    return lambda value: value == text or same_number(value, text)


def same_number(one: str, other: str) -> bool:
    """Whether two texts are numbers that are equal at three decimals (half to even)."""
    if not (_NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)):
        return False
    first, second = (
        decimal.Decimal(text).quantize(_THIRD_DECIMAL, decimal.ROUND_HALF_EVEN)
        for text in (one, other)
    )
    return first == second


def count(text: str) -> int:
    """A number of pods or groups; 0 if the text is not such a number."""
    return int(text) if _COUNT.fullmatch(text) else 0
