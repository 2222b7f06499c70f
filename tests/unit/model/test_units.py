"""Quantities, one by one."""

import pytest

from bayplan import units

READ = [  # text, base units, thousandths
    ("0", 0, 0),
    ("1", 1, 1000),
    ("+5", 5, 5000),
    ("-5", -5, -5000),
    ("1500m", 2, 1500),
    ("-1500m", -2, -1500),
    ("1.5", 2, 1500),
    (".5", 1, 500),
    ("5.", 5, 5000),
    ("007", 7, 7000),
    ("100u", 1, 1),
    ("1n", 1, 1),
    ("1001u", 1, 2),
    ("1k", 1000, 1_000_000),
    ("1M", 10**6, 10**9),
    ("1Ki", 1024, 1_024_000),
    ("0.1Ki", 103, 102_400),
    ("128Mi", 134_217_728, 134_217_728_000),
    ("1e3", 1000, 1_000_000),
    ("1E3", 1000, 1_000_000),
    ("1e+3", 1000, 1_000_000),
    ("1500e-3", 2, 1500),
    ("1e-99999", 1, 1),
    ("0e99999", 0, 0),
    ("9007199254740993", 2**53 + 1, (2**53 + 1) * 1000),
    (7, 7, 7000),
]

REFUSED = [
    *("", " ", "+", "-", ".", "m", "Mi", "1 ", " 1", "1\n", "1 Gi", "1_000", "1,5", "1.5.1", "--1"),
    *("1mi", "1K", "1ki", "1MI", "1Mib", "1mm", "1e", "1e+", "1ee3", "1e1.5", "1Eie3", "0x10"),
    *("1e٣", "1.٣", "1e+٣"),
    *("NaN", "nan", "Infinity", "inf", "١", "²", "1\u200b", "1\x00", "½"),
    *("1" * 65, "9Ei", "8Ei", "9223372036854775808", "1e999", "1e99999999999999999999"),
]


@pytest.mark.parametrize(("text", "base", "thousandths"), READ)
def test_reads(text: str | int, base: int, thousandths: int) -> None:
    """Base units and thousandths, rounded away from zero as Kubernetes does."""
    assert (base, thousandths) == (units.quantity(text), units.milli(text))


@pytest.mark.parametrize("text", REFUSED)
def test_refuses(text: str) -> None:
    """What is no quantity, or more than an int64, is refused by name and with a remedy."""
    with pytest.raises(units.QuantityError, match=r"write ") as refused:
        units.quantity(text)

    assert units.shown(text) in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("value", [True, False, 1.5, None, [], {}])
def test_refuses_what_is_neither_text_nor_a_whole_number(value: object) -> None:
    """A float has lost the user's digits already, and True is not 1, whatever was read before."""
    units.quantity(1)
    units.quantity(0)

    with pytest.raises((units.QuantityError, TypeError)):
        units.quantity(value)  # type: ignore[arg-type]


def test_thousandths_reach_their_bound_first() -> None:
    """The bound is that of the answer, not of the text."""
    assert 10**18 == units.quantity("1E")

    with pytest.raises(units.QuantityError, match="at most 9223372036854775"):
        units.milli("1E")


def test_counts_are_whole() -> None:
    """Half a device is refused; two thousand thousandths are two."""
    assert [2, 2, 110] == [units.count(text) for text in ("2", "2000m", 110)]

    with pytest.raises(units.QuantityError, match=r"'1500m' is not a whole number"):
        units.count("1500m")


@pytest.mark.parametrize(
    ("text", "cpu_milli"), [("300m", 300), ("2", 2000), ("1500m", 1500), ("0", 0), ("-1", -1000)]
)
def test_cpu_is_written_canonically(text: str, cpu_milli: int) -> None:
    """Whole CPUs without a suffix, parts in milli."""
    assert text == units.format_cpu(cpu_milli)
    assert cpu_milli == units.cpu_milli(text)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("1023", 1023),
        ("1Ki", 1024),
        ("1.01Ki", 1025),
        ("128Mi", 128 << 20),
        ("1.5Gi", 3 << 29),
        ("1Mi", (1 << 20) - 1),
        ("15.11Gi", 15_842_240 << 10),
        ("-2Gi", -2 << 30),
        ("8Ei", units.MAXIMUM),
    ],
)
def test_bytes_are_written_for_people(text: str, size_bytes: int) -> None:
    """Two decimals at most, rounded up."""
    assert text == units.format_bytes(size_bytes)


def test_a_long_value_is_cut_in_messages() -> None:
    """A user's megabyte never reaches a message."""
    assert 40 == len(units.shown("x" * 10**6))
    assert r"'\x1b[31m'" == units.shown("\x1b[31m")
