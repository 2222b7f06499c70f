"""Amounts: exact, named, hashable."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from bayplan.model.resources import NOTHING, Vector

vectors = st.dictionaries(st.sampled_from(("cpu", "memory", "x/gpu")), st.integers(0, 5)).map(
    Vector
)


@given(vectors, vectors)
def test_adding_and_taking_away(one: Vector, other: Vector) -> None:
    """Sums commute: a + b == b + a, a + b - b == a, equal vectors have equal hashes."""
    assert one + other == other + one
    assert one == one + other - other
    assert hash(one) == hash(one + other - other)


@given(vectors, vectors)
def test_fits_is_exceeding_nothing(request: Vector, free: Vector) -> None:
    """A request fits exactly when free room lacks nothing of it."""
    assert request.fits(free) is (request.exceeding(free) == NOTHING)


@given(vectors, vectors)
def test_the_larger_of_each(one: Vector, other: Vector) -> None:
    """Either, a | b, holds both and no more than the larger of each."""
    either = one | other

    assert one.fits(either)
    assert other.fits(either)
    assert all(either.amount(name) in {one.amount(name), other.amount(name)} for name in either)


def test_what_is_not_named_is_zero() -> None:
    """Zeros are dropped, so that equal amounts are equal values."""
    assert Vector({"cpu": 1}) == Vector({"cpu": 1, "memory": 0})
    assert 0 == Vector({"cpu": 1}).amount("memory")


def test_negative_free_room_counts_as_none() -> None:
    """Where others over-committed, a request lacks all of itself and no more."""
    assert {"cpu": 3} == dict(Vector({"cpu": 3}).exceeding(Vector({"cpu": -5})))


def test_dominant_share_is_the_largest() -> None:
    """The largest share decides; what the total lacks is wholly taken."""
    total = Vector({"cpu": 9, "memory": 18})

    assert Fraction(1, 3) == Vector({"cpu": 3, "memory": 1}).dominant_share(total)
    assert 1 == Vector({"x/gpu": 1}).dominant_share(total)
    assert 0 == NOTHING.dominant_share(total)
