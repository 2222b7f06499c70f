"""When runs are due, and which times a backfill would make up for."""

from typing import Any

import pytest

from bayplan.api.times import epoch_of, rfc3339
from bayplan.inputs import InputError
from bayplan.reports import slots
from tests.recorded import make_job

NOON = epoch_of("2026-01-02T12:00:00Z")
HOUR = 3600


def job(status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    body = make_job("report", status=status, **{"schedule": "0 * * * *", **spec})
    created = {"creationTimestamp": "2026-01-02T00:30:00Z", "uid": "u"}
    return {**body, "metadata": {**body["metadata"], **created}}


def test_the_next_times() -> None:
    """In the zone of the job, later than the moment, as many as asked for."""
    found = slots.upcoming(job(timeZone="Asia/Tokyo"), NOON, 2)

    assert ("Asia/Tokyo", None) == (found.time_zone, found.paused_until)
    assert [NOON + HOUR, NOON + 2 * HOUR] == found.slots


def test_a_pause_puts_them_off_and_a_suspension_stops_them() -> None:
    """The first time that is not before the end of the pause."""
    until = rfc3339(NOON + 3 * HOUR)

    assert [NOON + 3 * HOUR] == slots.upcoming(job({"pausedUntil": until}), NOON, 1).slots
    assert [] == slots.upcoming(job(suspend=True), NOON, 1).slots


def test_a_wrong_schedule_is_named() -> None:
    """By its field."""
    with pytest.raises(InputError, match=r"spec\.schedule"):
        slots.upcoming(job(schedule="61 * * * *"), NOON, 1)


def test_times_before_the_job_was_made_led_to_no_run() -> None:
    """They may be made up for; what the schedule has still to settle may not."""
    found = slots.timetable(job())
    assert found is not None
    midnight = epoch_of("2026-01-02T00:00:00Z")

    assert [midnight - HOUR, midnight] == found.without_run(midnight - HOUR, NOON)
    assert slots.MOST_MADE_UP_FOR + 1 == len(found.without_run(0, NOON))


def test_no_schedule_and_a_broken_spec() -> None:
    """None where nothing is scheduled; an error where nobody can say."""
    assert slots.timetable(job(schedule=None)) is None
    with pytest.raises(InputError, match="problems"):
        slots.timetable(job(schedule="61 * * * *"))
