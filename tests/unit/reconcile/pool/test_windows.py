"""When pods of a Pool may begin to move."""

import pytest

from bayplan.api.consolidation import Window
from bayplan.api.times import time_of
from bayplan.reconcile.pool.windows import open_at, opens_at

NIGHTS = Window(schedule="0 22 * * *", durationSeconds=7200, timeZone="Europe/Berlin")
NOON = Window(schedule="0 12 * * *", durationSeconds=60)


def at(text: str) -> int:
    found = time_of(text)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-07-01T19:59:59Z", False),
        ("2026-07-01T20:00:00Z", True),  # 22:00 in Berlin
        ("2026-07-01T21:59:59Z", True),
        ("2026-07-01T22:00:00Z", False),
        ("2026-07-01T12:00:59Z", True),
        ("2026-07-01T12:01:00Z", False),
    ],
)
def test_a_window_is_open_from_its_slot_for_its_duration(moment: str, expected: bool) -> None:
    assert expected is open_at((NIGHTS, NOON), at(moment))


def test_without_windows_it_is_always_open() -> None:
    assert open_at((), 0)


def test_the_next_window_is_the_first_of_all() -> None:
    assert at("2026-07-01T12:00:00Z") == opens_at((NIGHTS, NOON), at("2026-07-01T11:00:00Z"))
    assert at("2026-07-01T20:00:00Z") == opens_at((NIGHTS, NOON), at("2026-07-01T13:00:00Z"))
    assert opens_at((), 0) is None
