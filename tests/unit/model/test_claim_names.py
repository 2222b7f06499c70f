"""Names of claims are known before they are sent, and again after a restart."""

import re

from bayplan.model import claim_names


def test_the_same_names_again() -> None:
    """Two operators with the same knowledge choose the same names."""
    first = claim_names.fresh("batch", "uid", (), 3)

    assert first == claim_names.fresh("batch", "uid", set(), 3)
    assert first[1:] == claim_names.fresh("batch", "uid", {first[0]}, 2)
    assert len(set(first)) == len(first)
    assert set(first).isdisjoint(claim_names.fresh("batch", "another", (), 3))


def test_a_name_is_a_valid_name() -> None:
    """A long Pool name is cut where it ends in a letter; all names stay short."""
    for pool in ("b", "batch", "x" * 63, "a" * 39 + "-" + "b" * 20):
        (name,) = claim_names.fresh(pool, "uid", (), 1)
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
        assert len(name) <= 51
        assert claim_names.made_by_us(name, pool)


def test_karpenters_names_are_not_ours() -> None:
    """Karpenter appends five letters, also where the NodePool is called as the Pool."""
    assert not claim_names.made_by_us("batch-x7k2p", "batch")
    assert not claim_names.made_by_us("other-abcdefghij", "batch")
