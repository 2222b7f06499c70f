"""Laws of amounts as a status stores them."""

from hypothesis import given
from hypothesis import strategies as st

from bayplan import units


@given(st.sampled_from(["cpu", "memory", "ephemeral-storage", "pods"]), st.integers(0, 2**62))
def test_a_formatted_amount_reads_back_exactly(resource: str, amount: int) -> None:
    """What a status stores of an amount is the amount, to the last byte."""
    text = units.format_amount(resource, amount)

    assert amount == units.amount(resource, text)
