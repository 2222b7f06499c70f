"""Offerings that were refused are left alone for a while, then for longer."""

from typing import Any

import pytest

from bayplan.model.node_claims import NodeClaim
from bayplan.reconcile.pool.refusals import Unavailable, offerings_of
from tests.builders import NOON

A, B = ("m5.large", "a", "spot"), ("m5.large", "b", "spot")


def waits(times: int) -> list[int]:
    """How long one offering is out after each of so many refusals, asked again at once."""
    memory, now, found = Unavailable(), NOON, []
    for _ in range(times):
        memory = memory.refused([A], now)
        opens = memory.opens_at(now)
        assert opens is not None
        found.append(opens - now)
        now = opens
    return found


def test_three_minutes_doubling_to_thirty() -> None:
    """Each refusal in a row doubles the time, up to half an hour."""
    assert [180, 360, 720, 1440, 1800, 1800] == waits(6)


def test_claims_of_one_batch_are_one_refusal() -> None:
    """Ten claims that were sent together do not double the time ten times."""
    memory = Unavailable()
    for second in range(10):
        memory = memory.refused([A, B], NOON + second)

    assert {A, B} == memory.closed(NOON + 179)
    assert frozenset() == memory.closed(NOON + 180)


def test_a_success_resets() -> None:
    """After an instance of the offering, its next refusal is the first again."""
    memory = Unavailable().refused([A, B], NOON).refused([A, B], NOON + 180)
    memory = memory.after_success(A, NOON + 200).refused([A], NOON + 600)

    assert NOON + 780 == memory.known[A].until
    assert 2 == memory.known[B].refusals
    assert memory is memory.after_success(("c5.large", "a", "spot"), NOON + 700)


def test_an_older_instance_is_no_success() -> None:
    """What was bought before the refusal does not show that it can be had again."""
    memory = Unavailable().refused([A], NOON).refused([A], NOON + 200)

    assert memory is memory.after_success(A, NOON + 199)
    assert {} == memory.after_success(A, NOON + 200).known


def test_nobody_asked_for_long() -> None:
    """Half an hour after it opened, an offering counts as never refused, and takes no memory."""
    memory = Unavailable().refused([A], NOON).refused([B], NOON + 180 + 1800)

    assert {B} == memory.known.keys()


def test_the_memory_survives_a_restart() -> None:
    """What the status says is what was known; only what is over is forgotten."""
    memory = Unavailable().refused([A], NOON).refused([A], NOON + 180).refused([B], NOON)

    again = Unavailable.from_status(memory.to_status(NOON + 181), NOON + 181)

    assert {A: memory.known[A]} == again.known
    assert [
        {
            "type": "m5.large",
            "zone": "a",
            "capacityType": "spot",
            "until": "2026-09-21T14:22:20Z",
            "refusals": 2,
        }
    ] == memory.to_status(NOON + 181)


def test_a_status_holds_the_longest() -> None:
    """With more closed offerings than a status takes, those that are out longest are kept."""
    many = [("m5.large", f"z{index:02}", "spot") for index in range(40)]
    memory = Unavailable()
    for index, offering in enumerate(many):
        memory = memory.refused([offering], NOON + index)

    assert [f"z{index:02}" for index in range(39, 7, -1)] == [
        one["zone"] for one in memory.to_status(NOON + 40)
    ]


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "x",
        {},
        [3, None, {}],
        [{"type": "t", "zone": "z", "capacityType": "spot"}],
        [{"type": "t", "zone": 3, "capacityType": "spot", "until": "2030-01-01T00:00:00Z"}],
        [{"type": "t", "zone": "z", "capacityType": "spot", "until": "tomorrow"}],
    ],
)
def test_hostile_status(stored: Any) -> None:
    """An edited status neither raises nor closes anything."""
    assert {} == Unavailable.from_status(stored, NOON).known


def test_a_time_too_far_ahead_is_cut() -> None:
    """An edited status cannot close an offering for a year."""
    one = {"type": "t", "zone": "z", "capacityType": "spot", "until": "2030-01-01T00:00:00Z"}

    assert {("t", "z", "spot")} == Unavailable.from_status([one], NOON).closed(NOON + 1799)
    assert frozenset() == Unavailable.from_status([one], NOON).closed(NOON + 1800)


def test_all_that_a_claim_would_have_taken() -> None:
    """What a claim leaves open stands for everything on the menu."""
    menu = {A, B, ("m5.large", "a", "on-demand"), ("c5.large", "a", "spot")}

    named = NodeClaim("n", types=("m5.large",), zones=("a",), capacity_types=("spot",))
    open_ = NodeClaim("n", types=("m5.large",), capacity_types=("spot",))

    assert {A} == offerings_of(named, menu)
    assert {A} == offerings_of(named, set())
    assert {A, B} == offerings_of(open_, menu)
    assert menu == offerings_of(NodeClaim("n"), menu)
