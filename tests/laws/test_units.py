"""Laws of quantities, against fractions and a reading of the grammar that shares no code."""

import math
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from bayplan import units

SUFFIXES = {
    "": Fraction(1),
    **{name: Fraction(10) ** power for name, power in zip("num", (-9, -6, -3), strict=True)},
    **{name: Fraction(1000) ** (power + 1) for power, name in enumerate("kMGTPE")},
    **{f"{name}i": Fraction(1024) ** (power + 1) for power, name in enumerate("KMGTPE")},
}

digits = st.text("0123456789", min_size=1, max_size=12)
numbers = st.one_of(
    digits,
    st.builds("{}.{}".format, digits, digits),
    st.builds("{}.".format, digits),
    st.builds(".{}".format, digits),
)
exponents = st.builds(
    "{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 30)
)
signs = st.sampled_from(["", "+", "-"])


def worth(sign: str, number: str, suffix: str) -> Fraction:
    whole, _, part = number.partition(".")
    value = Fraction(int(whole or "0")) + Fraction(int(part or "0"), 10 ** len(part))
    factor = SUFFIXES[suffix] if suffix in SUFFIXES else Fraction(10) ** int(suffix[1:])
    return (-1 if sign == "-" else 1) * value * factor


def away_from_zero(value: Fraction) -> int:
    return math.ceil(value) if value > 0 else math.floor(value)


@given(signs, numbers, st.sampled_from(sorted(SUFFIXES)) | exponents)
def test_exact(sign: str, number: str, suffix: str) -> None:
    """A quantity is worth exactly what its fraction is, rounded away from zero, or is too large."""
    text = f"{sign}{number}{suffix}"
    for read, factor in ((units.quantity, 1), (units.milli, 1000)):
        expected = away_from_zero(worth(sign, number, suffix) * factor)
        try:
            actual: int | None = read(text)
        except units.QuantityError:
            actual = None

        assert (expected if abs(expected) <= units.MAXIMUM else None) == actual


def in_grammar(text: str) -> bool:
    """The documented grammar, read one character at a time."""
    rest = text[1:] if text[:1] in {"+", "-"} else text
    number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
    suffix = rest[len(number) :]
    if number.count(".") > 1 or not number.strip("."):
        return False
    if suffix in SUFFIXES:
        return True
    power = suffix[2:] if suffix[1:2] in {"+", "-"} else suffix[1:]
    return suffix[0] in "eE" and power.isascii() and power.isdigit()


@given(st.text("0123456789.+-eEinumkKMGTP _٣", max_size=8) | st.text(max_size=8))
@example("1.")
@example("1E")
@example("1Ei")
@example("+.5e-3")
def test_exactly_the_grammar(text: str) -> None:
    """What the grammar has is read unless it is too large; nothing else is, and nothing crashes."""
    try:
        units.quantity(text)
        read = True
    except units.QuantityError as refused:
        read = "too large" in str(refused)

    assert in_grammar(text) == read


@given(st.integers(-(2**62), 2**62))
def test_cpu_reads_back(cpu_milli: int) -> None:
    """Formatting loses nothing."""
    assert cpu_milli == units.cpu_milli(units.format_cpu(cpu_milli))


@given(st.integers(0, units.MAXIMUM // 2))
def test_bytes_told_are_enough(size_bytes: int) -> None:
    """What is told is never less, and less than one percent more; short enough for a sentence."""
    text = units.format_bytes(size_bytes)
    told = worth("", text.rstrip("KMGTPEi"), text.lstrip("0123456789."))

    assert size_bytes <= told <= Fraction(size_bytes * 101, 100)
    assert len(text) <= len("1023.99Ki")
