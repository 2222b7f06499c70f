"""Amounts of money as text."""

_CENT = 10_000  # microdollars


def dollars(microdollars: int) -> str:
    """Dollars with two decimals, rounded half up: `12.34`."""
    sign, cents = "-" if microdollars < 0 else "", (abs(microdollars) + _CENT // 2) // _CENT
    return f"{sign}{cents // 100}.{cents % 100:02}"
