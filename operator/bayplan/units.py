"""Kubernetes quantities as integers: milli-CPU, bytes, counts.

A quantity is text such as `1500m`, `2Gi` or `1e3`; the grammar read here is the one Kubernetes
documents, with its rounding: fractions are rounded away from zero, so that a request is never
smaller than the user wrote. No floats, no locale, no other digits than 0-9. The module does NOT
normalise the text of users; it reads amounts and formats them for messages.
"""

import math
import re
from fractions import Fraction
from functools import lru_cache

MAXIMUM = 2**63 - 1  # an int64, as everywhere in Kubernetes

_LONGEST = 64  # characters; the longest that makes sense has fewer than thirty
_LONGEST_SHOWN = 40
_SHAPE = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<whole>[0-9]+)(?:\.(?P<part>[0-9]*))?|\.(?P<only>[0-9]+))"
    r"(?:[eE](?P<exponent>[+-]?[0-9]+)|(?P<suffix>[KMGTPE]i|[numkMGTPE])?)",
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_UNITS = (("", 0), *_BINARY.items())
_CPU = 1000  # milli-CPU
_LARGEST_EXPONENT = 99  # beyond it, in either direction, only the sign of the answer is in doubt


class QuantityError(ValueError):
    """The text is not a quantity, or does not fit; the message says how to write it."""


class TooLargeError(QuantityError):
    """A quantity, but more than anything can hold."""


@lru_cache(maxsize=16384, typed=True)
def quantity(text: str | int) -> int:
    """Base units (bytes, whole CPUs, things), rounded away from zero."""
    return _scaled(text, 1)


@lru_cache(maxsize=16384, typed=True)
def milli(text: str | int) -> int:
    """Thousandths of the base unit, rounded away from zero."""
    return _scaled(text, 1000)


def cpu_milli(text: str | int) -> int:
    """Milli-CPU: `1500m`, `1.5` and `1500000u` are 1500."""
    return milli(text)


def memory_bytes(text: str | int) -> int:
    """Bytes: `128Mi` is 134217728."""
    return quantity(text)


def count(text: str | int) -> int:
    """A whole number of things (pods, devices); a fraction is refused."""
    whole = quantity(text)
    if milli(text) != whole * 1000:
        raise QuantityError(f"{shown(text)} is not a whole number; write one without a fraction")
    return whole


def amount(resource: str, text: str | int) -> int:
    """The amount of a named resource in the package's units: milli for `cpu`, else base units."""
    return cpu_milli(text) if resource == "cpu" else quantity(text)


def format_amount(resource: str, amount: int) -> str:
    """Exact canonical text, which `amount` reads back to the same number."""
    if resource == "cpu":
        return format_cpu(amount)
    if resource in {"memory", "ephemeral-storage"}:
        for suffix, bits in reversed(_UNITS):
            if bits and amount and amount % (1 << bits) == 0:
                return f"{amount >> bits}{suffix}"
    return str(amount)


def _scaled(text: object, factor: int) -> int:
    if isinstance(text, str):
        value = _parsed(text) * factor
    elif isinstance(text, int) and not isinstance(text, bool):
        value = Fraction(text * factor)
    else:
        raise QuantityError(f"{shown(text)} is not a quantity; write a whole number or quoted text")
    rounded = math.ceil(value) if value > 0 else math.floor(value)
    if abs(rounded) > MAXIMUM:
        raise TooLargeError(f"{shown(text)} is too large; write at most {MAXIMUM // factor}")
    return rounded


def _parsed(text: str) -> Fraction:
    match = _SHAPE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        raise QuantityError(
            f"{shown(text)} is not a quantity; write digits and at most one of "
            "n u m k M G T P E Ki Mi Gi Ti Pi Ei, such as 500m or 2Gi"
        )
    sign, suffix = match["sign"], match["suffix"] or ""
    digits = (match["whole"] or "") + (match["part"] or match["only"] or "")
    places = len(match["part"] or match["only"] or "")
    number = Fraction(int(digits), 10**places)
    if suffix in _BINARY:
        number *= 2 ** _BINARY[suffix]
    else:
        exponent = _DECIMAL[suffix] if match["exponent"] is None else int(match["exponent"])
        exponent = max(-_LARGEST_EXPONENT, min(_LARGEST_EXPONENT, exponent))
        number *= Fraction(10) ** exponent
    return -number if sign == "-" else number


def shown(value: object) -> str:
    """A user's value for a message: quoted, escaped, cut at 40 characters."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 1]}…"


def format_cpu(cpu_milli: int) -> str:
    """Canonical text: 300 is `300m`, 2000 is `2`."""
    whole, rest = divmod(cpu_milli, 1000)
    return f"{cpu_milli}m" if rest else str(whole)


def format_cpus(cpu_milli: int) -> str:
    """As people write it: 300 is `300m`, 63070 is `63.07`; rounded away from zero as bytes are."""
    size, sign = abs(cpu_milli), "-" if cpu_milli < 0 else ""
    return f"{sign}{f'{size}m' if size < _CPU else _hundredths(-(-size // 10))}"


def format_bytes(size_bytes: int) -> str:
    """A short text with two decimals at most, rounded away from zero.

    So a shortage in this form is never too small, and less than one percent too large.
    """
    size = abs(size_bytes)
    small = (unit for unit in _UNITS if size * 100 <= (102400 - 1) << unit[1])
    suffix, bits = next(small, _UNITS[-1])
    hundredths = -((-size * 100) >> bits)
    return f"{'-' if size_bytes < 0 else ''}{_hundredths(hundredths)}{suffix}"


def _hundredths(amount: int) -> str:
    """Hundredths as text without needless zeros: 150 is `1.5`."""
    return f"{amount // 100}.{amount % 100:02}".rstrip("0").rstrip(".")
