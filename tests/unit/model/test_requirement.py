"""Kubernetes' operators as sets of label values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayplan.model.requirements import ANYTHING, NOTHING, Requirement, Term, requirement

values = st.one_of(st.none(), st.sampled_from(("", "a", "b", "1", "2", "10", "-3", "+4", "9" * 25)))
requirements = st.builds(
    requirement,
    st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Like")),
    st.lists(st.sampled_from(("a", "b", "1", "2", "-3")), min_size=1, max_size=3),
)


@pytest.mark.parametrize(
    ("operator", "listed", "accepted", "refused"),
    [
        ("In", ["a", "b"], ["a", "b"], ["c", "", None]),
        ("NotIn", ["a"], ["b", "", None], ["a"]),
        ("Exists", [], ["a", ""], [None]),
        ("DoesNotExist", [], [None], ["a", ""]),
        ("Gt", ["5"], ["6", "+7"], ["5", "4", "x", "5.5", "", None]),
        ("Lt", ["5"], ["4", "-9"], ["5", "6", "x", None]),
        ("Gt", ["x"], [], ["1", "9", None]),
        ("Gt", [], [], ["1", None]),
        ("Matches", ["a"], [], ["a", None]),
    ],
)
def test_operators(
    operator: str, listed: list[str], accepted: list[str | None], refused: list[str | None]
) -> None:
    """Each operator accepts what Kubernetes accepts; the unknown accepts nothing."""
    wanted = requirement(operator, listed)

    assert [True] * len(accepted) == [wanted.has(value) for value in accepted]
    assert [False] * len(refused) == [wanted.has(value) for value in refused]


@given(requirements, requirements, values)
def test_and_is_both(one: Requirement, other: Requirement, value: str | None) -> None:
    """(a & b).has(v) == (a.has(v) and b.has(v)), in either order."""
    both = one.has(value) and other.has(value)

    assert both is (one & other).has(value) is (other & one).has(value)


@given(requirements, values)
def test_anything_and_nothing(wanted: Requirement, value: str | None) -> None:
    """ANYTHING changes nothing, NOTHING leaves nothing."""
    assert wanted.has(value) is (wanted & ANYTHING).has(value)
    assert not (wanted & NOTHING).has(value)


def test_a_term_asks_all_of_labels_and_name() -> None:
    """A term holds when every label and the node's name do; an empty term never does."""
    term = Term((("zone", requirement("In", ["a"])),), name=requirement("In", ["n1"]))

    assert term.matches({"zone": "a"}, "n1")
    assert not term.matches({"zone": "a"}, "n2")
    assert not term.matches({}, "n1")
    assert not Term(never=True).matches({}, "n1")
