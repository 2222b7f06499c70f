"""Hundreds of histories of an operator that serves a Pool, in virtual time; a seed is a history.

`make histories POOLS=1 N=10000` plays more of them. Bugs are planted into the operator, and the
judge finds each.
"""

import os
from collections.abc import Callable

import pytest

from tests.histories.pools import planted
from tests.histories.pools.play import play
from tests.histories.replica import Replica

NUMBER = int(os.environ.get("BAYPLAN_POOL_HISTORIES", "250"))
_EACH = 10
_ENOUGH = 120  # histories in which a planted bug must show


@pytest.mark.parametrize("first", range(0, NUMBER, _EACH))
def test_no_pool_history_breaks_a_rule(first: int) -> None:
    """Nothing is bought twice, no node goes with a pod, no service falls below its minimum."""
    verdicts = [play(seed) for seed in range(first, min(first + _EACH, NUMBER))]

    assert [] == [str(verdict) for verdict in verdicts if verdict.violations]


@pytest.mark.parametrize("seed", [2, 8])
def test_a_seed_is_a_pool_history(seed: int) -> None:
    """The same to the last write."""
    first = play(seed)

    assert len(first.told) > 20
    assert play(seed) == first


@pytest.mark.parametrize(
    ("bug", "rule"),
    [
        (planted.forgets_orders, "B1"),
        (planted.ignores_limits, "B2"),
        (planted.insists, "B4"),
        (planted.waits_for_ever, "B5"),
        (planted.hurries, "B6"),
        (planted.overlooks_pods, "B6"),
        (planted.leaves_pods_to_others, "B7"),
        (planted.keeps_pods, "B7"),
        (planted.buys_on, "B8"),
        (planted.repeats_itself, "I8"),
        (planted.does_not_wait_for_replacements, "C1"),
        (planted.evicts_all_at_once, "C1"),
        (planted.evicts_without_room, "C2"),
        (planted.ends_runs, "C3"),
        (planted.evicts_without_room, "C4"),
        (planted.moves_what_has_just_come, "C5"),
        (planted.does_not_rest, "C5"),
        (planted.confuses_prices, "C6"),
        (planted.leaves_taints, "C7"),
        (planted.fills_what_empties, "C8"),
    ],
)
def test_a_planted_bug_is_found(bug: Callable[[Replica], None], rule: str) -> None:
    """By the rule that it breaks, in one of the first histories."""
    found: set[str] = set()
    for seed in range(_ENOUGH):
        found |= {words.split()[0] for words in play(seed, bug).violations}
        if rule in found:
            return

    pytest.fail(f"no {rule} in {_ENOUGH} histories, only {found}")
