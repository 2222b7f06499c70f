"""Conditions as kubectl, Flux and Helm read them."""

from typing import Any

import pytest

from bayplan.reconcile import conditions

NOON = 1_790_000_000
LATER = NOON + 60


def test_first_visit_carries_the_generation() -> None:
    """The first list already says which generation it answers and since when."""
    expected = [
        {
            "type": "Ready",
            "status": "True",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-09-21T14:13:20Z",
            "reason": "Scheduled",
            "message": "next run at noon",
        }
    ]

    wanted = [conditions.true("Ready", "Scheduled", "next run at noon")]

    assert expected == conditions.merged(None, wanted, 3, NOON)


def test_transition_time_moves_with_the_status_only() -> None:
    """Reason, message and generation change without a transition; the status with one."""
    stored = conditions.merged(None, [conditions.true("Ready", "A", "one")], 1, NOON)
    reworded = conditions.merged(stored, [conditions.true("Ready", "B", "two")], 2, LATER)
    turned = conditions.merged(stored, [conditions.false("Ready", "B")], 2, LATER)

    assert stored[0]["lastTransitionTime"] == reworded[0]["lastTransitionTime"]
    assert ("B", "two", 2) == tuple(
        reworded[0][key] for key in ("reason", "message", "observedGeneration")
    )
    assert stored[0]["lastTransitionTime"] < turned[0]["lastTransitionTime"]


def test_what_is_not_wanted_goes() -> None:
    """Reconciling and Stalled are present only while true."""
    stored = conditions.merged(None, conditions.stalled("InvalidSchedule", "no"), 1, NOON)
    healed = conditions.merged(stored, [conditions.true("Ready", "Scheduled")], 2, LATER)

    assert ["Ready", "Stalled"] == [one["type"] for one in stored]
    assert ["Ready"] == [one["type"] for one in healed]


def test_the_same_again_is_equal() -> None:
    """Merging what is stored with the same wishes changes nothing at any later time."""
    wanted = [*conditions.unseen(), conditions.false("Placed", "NoRoom", "0/3 nodes")]
    stored = conditions.merged(None, wanted, 1, NOON)

    assert stored == conditions.merged(stored, wanted, 1, LATER)


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "Ready",
        7,
        {"type": "Ready"},
        [None, 1, "x", [], {}],
        [{"type": 5}, {"type": "Ready"}],
        [{"type": "Ready", "status": "True", "lastTransitionTime": "yesterday"}],
        [{"type": "Ready", "status": "True", "lastTransitionTime": 3}],
        [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00"}],
        [{"type": "Ready", "status": ["True"], "reason": {"a": 1}}],
    ],
)
def test_hostile_storage_is_read_as_absent(stored: Any) -> None:
    """What a person wrote into the status neither raises nor survives."""
    fresh = conditions.merged(None, [conditions.true("Ready", "Scheduled")], 1, NOON)

    assert fresh == conditions.merged(stored, [conditions.true("Ready", "Scheduled")], 1, NOON)
    assert "" == conditions.reason_of(stored, "Ready")
    assert conditions.status_of(stored, "Ready") in {"", "True"}


def test_reading_one_condition() -> None:
    """A stored condition can be asked for by type; an absent one is empty."""
    stored = conditions.merged(None, [conditions.false("Placed", "NoRoom")], 1, NOON)

    assert ("False", "NoRoom") == (
        conditions.status_of(stored, "Placed"),
        conditions.reason_of(stored, "Placed"),
    )
    assert "" == conditions.status_of(stored, "Ready")


def test_messages_are_bounded() -> None:
    """A message is cut at the schema's length, and shows that it was."""
    [stored] = conditions.merged(None, [conditions.true("Ready", "A", "x" * 5000)], 1, NOON)

    assert (conditions.LONGEST_MESSAGE, "…") == (len(stored["message"]), stored["message"][-1])
