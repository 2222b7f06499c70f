"""Rules between the pods of a class: the worked vectors, and any order of filling."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayplan.model.reasons import Reason
from bayplan.placement.node_table import NodeTable
from bayplan.placement.rules import Cap, Even, Groups, Rule, Together, distribute
from tests.builders import make_node

SMALL, FREE = st.integers(1, 4), st.booleans()
FITS = st.lists(st.integers(0, 6), min_size=1, max_size=8)
MakeRule = Callable[..., Rule]


def make_rule(kind: MakeRule, zones: str, counts: list[int], **more: object) -> Rule:
    """A rule over nodes in these zones (`-`: without the label); counts by zone in order."""
    nodes = tuple(
        make_node(f"n{index:02}", **({} if zone == "-" else {"zone": zone}))
        for index, zone in enumerate(zones)
    )
    domains = NodeTable(nodes, 0).domains("topology.kubernetes.io/zone")
    padded = np.array((counts + [0] * len(domains.values))[: len(domains.values)], dtype=np.int64)
    return kind(Reason.CONSTRAINT, "zone", domains, padded, **more)


def placed(fits: list[int], count: int, *rules: Rule) -> list[int]:
    """Pods per node, the first node preferred most."""
    preference = -np.arange(len(fits), dtype=np.float64)
    return distribute(np.array(fits, dtype=np.int64), preference, count, rules).tolist()


def test_a_cap_counts_over_all_nodes_of_a_zone() -> None:
    """Two nodes of a zone share its cap; nodes without the label are out, or free."""
    out = make_rule(Cap, "aab-", [1, 0], limit=3)
    free = make_rule(Cap, "aab-", [1, 0], limit=3, exempt=True)

    assert [1, 1, 3, 0] == placed([1, 5, 5, 5], 20, out)
    assert [1, 1, 3, 5] == placed([1, 5, 5, 5], 20, free)


@pytest.mark.parametrize(
    ("instances", "expected", "counts", "fits", "result"),
    [
        (7, 3, [], [9, 9, 9], [3, 2, 2]),
        (7, 3, [], [9, 9, 9, 9], [3, 2, 2, 0]),
        (5, 3, [2, 2, 0], [9, 9, 9], [0, 0, 1]),
        (2, 3, [1, 0, 0], [9, 9, 9], [0, 1, 0]),
        (6, 2, [], [9, 9, 9], [3, 3, 0]),
        (6, 2, [], [1, 9, 9], [0, 3, 3]),
        (7, 3, [], [1, 9, 9], [1, 3, 2]),
        (9, 3, [6, 0, 0], [9, 9, 9], [0, 3, 0]),
        (3, 5, [], [9, 9, 9], [1, 1, 1]),
        (0, 0, [], [9, 9], [0, 0]),
    ],
)
def test_group_by(
    instances: int, expected: int, counts: list[int], fits: list[int], result: list[int]
) -> None:
    """Marathon's GroupBy with a number, by zone: floor or ceiling each, no zone too many."""
    zones = "abcd"[: len(fits)]
    rule = make_rule(Groups, zones, counts, instances=instances, expected=expected)

    assert result == placed(fits, instances - sum(counts) or 1, rule)


@given(st.permutations([0, 0, 0, 1, 1, 2]), st.integers(1, 4), st.integers(1, 12))
def test_group_by_is_right_in_any_order(order: list[int], expected: int, instances: int) -> None:
    """One at a time, on whichever node comes: the end is even over at most `expected` zones."""
    rule = make_rule(Groups, "abc", [], instances=instances, expected=min(expected, 3))
    at_once = make_rule(Groups, "abc", [], instances=instances, expected=min(expected, 3))
    landed = 0
    for turn in range(90):
        node = order[turn % len(order)]
        fits = [int(index == node) for index in range(3)]
        landed += sum(placed(fits, 1, rule))
    in_use = [count for count in rule.counts.tolist() if count]

    assert instances == landed == sum(placed([99] * 3, instances, at_once))
    assert max(in_use) - min(in_use) <= 1
    assert min(expected, 3, instances) == len(in_use)
    assert sorted(rule.counts.tolist()) == sorted(at_once.counts.tolist())


@given(
    FITS, st.text("abc", min_size=8, max_size=8), st.integers(1, 30), st.integers(1, 3), st.data()
)
def test_even_at_once_is_even_step_by_step(
    fits: list[int], zones: str, count: int, skew: int, data: st.DataObject
) -> None:
    """Water level: as many land as one by one, and never is a zone above the least by more."""
    zones = zones[: len(fits)]
    counts = data.draw(st.lists(st.integers(0, 3), min_size=3, max_size=3))
    least = data.draw(st.integers(1, 3))
    known = np.array([zone in zones for zone in sorted(set(zones))])
    more = {"skew": skew, "least": least, "known": known}
    rule = make_rule(Even, zones, counts, **more)
    steps = make_rule(Even, zones, counts, **more)
    before = rule.counts.copy()
    result = placed(fits, count, rule)
    left, one_by_one = list(fits), 0
    for _ in range(count):
        step = placed(left, 1, steps)
        one_by_one += sum(step)
        left = [room - taken for room, taken in zip(left, step, strict=True)]
    minimum = rule.counts.min() if len(known) >= least else 0
    grown = rule.counts[rule.counts > before]

    assert one_by_one == sum(result)
    assert all(taken <= room for taken, room in zip(result, fits, strict=True))
    assert not len(grown) or int(grown.max()) - minimum <= skew


@given(FITS, st.text("abc-", min_size=8, max_size=8), st.integers(1, 20), st.integers(1, 3))
def test_several_rules_hold_together(fits: list[int], zones: str, count: int, limit: int) -> None:
    """With a cap a zone and a spread over racks at once, both hold at the end."""
    zones = zones[: len(fits)]
    cap = make_rule(Cap, zones, [], limit=limit)
    racks = ("abab" * 2)[: len(fits)]
    even = make_rule(Even, racks, [], skew=1)
    result = placed(fits, count, cap, even)

    assert all(total <= limit for total in cap.counts.tolist())
    assert int(even.counts.max()) - int(even.counts.min()) <= 1
    assert sum(result) == int(even.counts.sum())
    assert 0 == sum(taken for taken, zone in zip(result, zones, strict=True) if zone == "-")


def test_together_takes_the_zone_with_the_most_room() -> None:
    """Where nobody is yet, the zone that holds most; where somebody is, only there."""
    assert [0, 3, 2] == placed([4, 3, 3], 5, make_rule(Together, "abb", []))
    assert [4, 0, 0] == placed([4, 3, 3], 5, make_rule(Together, "abb", [1, 0]))
    assert [0, 0, 0] == placed([0, 3, 3], 5, make_rule(Together, "abb", [1, 0]))


def test_without_rules_the_most_preferred_fill_up() -> None:
    """The first nodes take all they can."""
    assert [2, 1, 0] == placed([2, 2, 2], 3)


RULES = st.lists(
    st.one_of(
        st.builds(lambda limit, free: (Cap, {"limit": limit, "exempt": free}), SMALL, FREE),
        st.just((Together, {})),
        st.builds(
            lambda skew, least, grows: (
                Even,
                {"skew": skew, "least": least, "grows": grows},
            ),
            SMALL,
            SMALL,
            st.booleans(),
        ),
        st.builds(lambda expected: (Groups, {"expected": expected}), SMALL),
    ),
    min_size=2,
    max_size=4,
)


@settings(max_examples=500)
@given(FITS, RULES, st.integers(1, 12), st.data())
def test_nothing_is_left_over_while_a_node_passes_every_rule(
    fits: list[int],
    drawn: list[tuple[MakeRule, dict[str, object]]],
    count: int,
    data: st.DataObject,
) -> None:
    """Any number of rules over any groups: pods are left only where no node would take one more."""
    rules = []
    for kind, more in drawn:
        zones = data.draw(
            st.sampled_from(("aaaaaaaa", "abcdefgh", "abababab", "aabbccdd", "ab-cab-c"))
        )
        zones = zones[: len(fits)]
        counts = data.draw(st.sampled_from(([], [1], [0, 1], [2, 0, 1])))
        total = {"instances": count + sum(counts)} if kind is Groups else {}
        rules.append(make_rule(kind, zones, counts, **more, **total))
    result = placed(fits, count, *rules)
    refused = np.any([rule.refuses() for rule in rules], axis=0)
    left = np.array(fits) - np.array(result)

    assert (left >= 0).all()
    assert sum(result) <= count
    assert sum(result) == count or not ((left > 0) & ~refused).any()


def test_two_group_bys_do_not_cut_the_same_nodes_in_turn() -> None:
    """One zone with a node for three and a node for one: evenly over both, all three land."""
    zone = make_rule(Groups, "aa", [], instances=3, expected=1)
    host = make_rule(Groups, "ab", [], instances=3, expected=2)

    assert [2, 1] == placed([3, 1], 3, zone, host)
