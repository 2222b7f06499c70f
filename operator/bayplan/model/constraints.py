"""What one placement constraint asks of a node's own label, and how its value is read.

Shared by those who check a spec, compile it into a pod and place by it. The rules are Marathon's:
full matches, numbers equal at three decimals (mesos-semantics.md §1.2).
"""

import decimal
from collections.abc import Callable

import re2

from bayplan.model.workloads import Operator, PlaceConstraint

Test = Callable[[str], bool]

MOST_PATTERN = 256  # characters of a user's regular expression
_DIGITS = 9
_THIRD_DECIMAL = decimal.Decimal("0.001")
_NUMBER = re2.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?")


def accepts(constraint: PlaceConstraint) -> Test | None:
    """What a node's value must pass; None where the node alone cannot tell."""
    wanted = constraint.value
    match constraint.operator:
        case Operator.IS:
            return lambda value: value == wanted or same_number(value, wanted)
        case Operator.CLUSTER if wanted:
            return lambda value: value == wanted
        case Operator.LIKE:
            full = pattern(wanted)
            return lambda value: full is not None and full(value)
        case Operator.UNLIKE:
            full = pattern(wanted)
            return lambda value: full is not None and not full(value)
    return None


def accepts_absence(constraint: PlaceConstraint) -> bool:
    """Whether a node without the label will do: for `Unlike` alone, if its pattern can be read."""
    return constraint.operator is Operator.UNLIKE and pattern(constraint.value) is not None


def pattern(text: str) -> Test | None:
    """A full match, as Marathon's; None for what is no pattern. Linear time, whatever it is."""
    if len(text) > MOST_PATTERN:
        return None
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(text, options)
    except re2.error:
        return None
    return lambda value: compiled.fullmatch(value) is not None


def same_number(one: str, other: str) -> bool:
    """Whether two texts are numbers that are equal at three decimals, halves to even."""
    if not (_NUMBER.fullmatch(one) and _NUMBER.fullmatch(other)):
        return False
    first, second = (
        decimal.Decimal(text).quantize(_THIRD_DECIMAL, decimal.ROUND_HALF_EVEN)
        for text in (one, other)
    )
    return first == second


def count(text: str) -> int:
    """A number of pods or groups; 0 for what is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else 0
