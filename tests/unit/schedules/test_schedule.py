"""Schedules, one by one: cron, intervals, clock changes, outages, refusals."""

import itertools
import re
from datetime import datetime
from pathlib import Path

import pytest

from bayplan.schedules import zones
from bayplan.schedules.parse import Cron, Interval, Schedule, ScheduleError, TimeZoneError, parse


def moment(text: str) -> int:
    """Epoch seconds of ISO text; UTC unless it has an offset."""
    read = datetime.fromisoformat(text if re.search(r"(Z|[+-]\d\d:\d\d)$", text) else f"{text}Z")
    return int(read.timestamp())


def texts(slots: tuple[int, ...]) -> list[str]:
    return [datetime.fromtimestamp(slot, zones.zone("UTC")).isoformat()[:16] for slot in slots]


def make_schedule(text: str, where: str = "UTC", anchor: str = "2026-01-01T00:00") -> Schedule:
    return parse(text, where, key="default/report", anchor=moment(anchor))


def make_text(text: str) -> str:
    """The five fields as they are read, H replaced."""
    read = make_schedule(text)
    assert isinstance(read, Cron)
    return read.text


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("*/15 * * * *", "2026-01-01T00:00", ["2026-01-01T00:15", "2026-01-01T00:30"]),
        ("0 6 * * MON-FRI", "2026-01-02T06:00", ["2026-01-05T06:00", "2026-01-06T06:00"]),
        ("0 6 * * 7", "2026-01-02T06:00", ["2026-01-04T06:00", "2026-01-11T06:00"]),
        ("0 0 29 2 *", "2026-01-01T00:00", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 29 2 *", "2096-03-01T00:00", ["2104-02-29T00:00", "2108-02-29T00:00"]),
        ("0 0 * 2 MON#5", "2026-01-01T00:00", ["2044-02-29T00:00", "2072-02-29T00:00"]),
        ("0 0 L * *", "2026-01-31T00:00", ["2026-02-28T00:00", "2026-03-31T00:00"]),
        ("0 0 LW * *", "2026-01-30T00:00", ["2026-02-27T00:00", "2026-03-31T00:00"]),
        ("0 0 * * 5L", "2026-01-01T00:00", ["2026-01-30T00:00", "2026-02-27T00:00"]),
        ("0 0 * * TUE#2", "2026-01-01T00:00", ["2026-01-13T00:00", "2026-02-10T00:00"]),
        ("0 0 13 * FRI", "2026-01-01T00:00", ["2026-01-02T00:00", "2026-01-09T00:00"]),  # or
        ("0 0 */2 * FRI", "2026-01-01T00:00", ["2026-01-09T00:00", "2026-01-23T00:00"]),  # and
        ("10-20/5,40 3 * jan,JUL *", "2026-01-31T03:15", ["2026-01-31T03:20", "2026-01-31T03:40"]),
        ("@hourly", "2026-01-01T00:00", ["2026-01-01T01:00", "2026-01-01T02:00"]),
        ("@daily", "2026-01-01T00:00", ["2026-01-02T00:00", "2026-01-03T00:00"]),
        ("@midnight", "2026-01-01T00:00", ["2026-01-02T00:00", "2026-01-03T00:00"]),
        ("@weekly", "2026-01-01T00:00", ["2026-01-04T00:00", "2026-01-11T00:00"]),
        ("@monthly", "2026-01-01T00:00", ["2026-02-01T00:00", "2026-03-01T00:00"]),
        ("@yearly", "2026-01-01T00:00", ["2027-01-01T00:00", "2028-01-01T00:00"]),
        (" 0\t6  * * * ", "2026-01-01T06:00", ["2026-01-02T06:00", "2026-01-03T06:00"]),
        ("0 0 1 1 *", "2037-12-31T00:00", ["2038-01-01T00:00", "2039-01-01T00:00"]),
        ("R/2026-01-31T06:00/P1M", "2026-01-01T00:00", ["2026-01-31T06:00", "2026-02-28T06:00"]),
        ("R/2026-01-31T06:00/P1M", "2028-01-31T06:00", ["2028-02-29T06:00", "2028-03-31T06:00"]),
        ("R/2024-02-29T00:00Z/P1Y", "2027-02-28T00:00", ["2028-02-29T00:00", "2029-02-28T00:00"]),
        ("R/2026-01-01/P1W", "2026-01-01T00:00", ["2026-01-08T00:00", "2026-01-15T00:00"]),
        ("R/2026-01-01/P1DT12H", "2026-01-01T00:00", ["2026-01-02T12:00", "2026-01-04T00:00"]),
        ("R/2026-01-01T02:00+02:00/PT90M", "2026-01-01T00:00", ["2026-01-01T01:30"]),
        ("R//PT15M", "2025-12-31T23:59", ["2026-01-01T00:00", "2026-01-01T00:15"]),
        ("R2//P1D", "2026-01-01T00:00", ["2026-01-02T00:00"]),
        ("R0//P1D", "2025-01-01T00:00", []),
    ],
)
def test_slots(text: str, after: str, expected: list[str]) -> None:
    """The first slots after a moment, in UTC."""
    slots = make_schedule(text).slots_between(moment(after), 2**60, max(len(expected), 1))

    assert expected == texts(slots)


BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
LORD_HOWE, SANTIAGO = "Australia/Lord_Howe", "America/Santiago"
ST_JOHNS, APIA = "America/St_Johns", "Pacific/Apia"


@pytest.mark.parametrize(
    ("text", "where", "after", "expected"),
    [
        # Berlin, 2026: 02:00 becomes 03:00 on 29 March at 01:00 UTC, 03:00 becomes 02:00 on 25
        # October at 01:00 UTC.
        ("30 2 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:30"),
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", "2026-10-25T00:30 2026-10-26T01:30"),
        ("0 3 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T01:00"),
        ("0,30 2 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:00"),
        ("0 2,3 * * *", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:00"),
        ("0 2,3 * * *", BERLIN, "2026-10-24T12:00", "2026-10-25T00:00 2026-10-25T02:00"),
        ("30 */2 * * *", BERLIN, "2026-03-28T23:00", "2026-03-28T23:30 2026-03-29T02:30"),
        ("R/2026-01-01T02:30/P1D", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:30"),
        ("R/2026-01-01T02:30/P1D", BERLIN, "2026-10-24T12:00", "2026-10-25T00:30 2026-10-26T01:30"),
        ("R/2026-03-29T02:30/P1D", BERLIN, "2026-03-28T12:00", "2026-03-29T01:00 2026-03-30T00:30"),
        (
            "R/2026-03-28T01:00Z/P1D",
            BERLIN,
            "2026-03-28T00:00",
            "2026-03-28T01:00 2026-03-29T01:00",
        ),
        (
            "R/2026-10-25T01:30Z/P1D",
            BERLIN,
            "2026-10-25T00:45",
            "2026-10-25T01:30 2026-10-26T01:30",
        ),
        (
            "R/2026-03-28T12:00Z/PT24H",
            BERLIN,
            "2026-03-29T00:00",
            "2026-03-29T12:00 2026-03-30T12:00",
        ),
        # New York, 2026: 02:00 becomes 03:00 on 8 March, 02:00 becomes 01:00 on 1 November.
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00", "2026-03-08T07:00 2026-03-09T06:30"),
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00", "2026-11-01T05:30 2026-11-02T06:30"),
        # Lord Howe moves by half an hour: 02:00 becomes 02:30 on 4 October 2026.
        ("15 2 * * *", LORD_HOWE, "2026-10-03T12:00", "2026-10-03T15:30 2026-10-04T15:15"),
        # Santiago begins summer at midnight: 6 September 2026 starts at 01:00.
        ("0 0 * * *", SANTIAGO, "2026-09-05T12:00", "2026-09-06T04:00 2026-09-07T03:00"),
        # Newfoundland went back from 00:01 to 23:01: two days interleave.
        ("*/30 * * * *", ST_JOHNS, "2006-10-29T02:29", "2006-10-29T02:30 2006-10-29T03:00"),
        # Samoa had no 30 December 2011.
        ("0 10 * * *", APIA, "2011-12-30T00:00", "2011-12-30T10:00 2011-12-30T20:00"),
        ("0 0 * * *", APIA, "2011-12-30T00:00", "2011-12-30T10:00 2011-12-31T10:00"),
    ],
)
def test_clock_changes(text: str, where: str, after: str, expected: str) -> None:
    """A given time comes exactly once, at the first valid moment when the clock jumps over it."""
    slots = make_schedule(text, where).slots_between(moment(after), 2**60, 2)

    assert expected.split() == texts(slots)


@pytest.mark.parametrize(
    ("text", "day", "count"),
    [
        ("@hourly", "2026-03-29", 23),
        ("@hourly", "2026-10-25", 25),
        ("* * * * *", "2026-03-29", 23 * 60),
        ("* * * * *", "2026-10-25", 25 * 60),
        ("R/2026-01-01T00:00/PT1H", "2026-10-25", 25),
    ],
)
def test_patterns_follow_elapsed_time(text: str, day: str, count: int) -> None:
    """An hourly run happens every hour that passes, on days of 23 and 25 hours too."""
    there = zones.zone("Europe/Berlin")
    start, end = (
        zones.first_moment(there, datetime.fromisoformat(f"{day}T{time}:59"))
        for time in ("00:00", "23:59")
    )
    slots = make_schedule(text, "Europe/Berlin").slots_between(start - 60, end, 2000)

    assert count == len(slots)
    assert 1 == len({later - earlier for earlier, later in itertools.pairwise(slots)})


def test_an_outage_of_years_costs_what_is_asked_for() -> None:
    """The newest and the oldest slots of three lost years, and how many there were."""
    every_minute = make_schedule("* * * * *", BERLIN)
    after, until = moment("2023-01-01T00:00"), moment("2026-01-01T00:00")

    assert ["2025-12-31T23:59", "2026-01-01T00:00"] == texts(every_minute.latest(after, until, 2))
    assert ["2023-01-01T00:01"] == texts(every_minute.slots_between(after, until, 1))
    assert 1096 * 24 * 60 == every_minute.count_between(after, until)


def test_an_old_anchor_is_not_walked_from() -> None:
    """An interval of ten seconds since 1971 answers at once."""
    interval = make_schedule("R/1971-01-01T00:00:00Z/PT10S")
    now = moment("2026-01-01T00:00:05")

    assert moment("2026-01-01T00:00:10") == interval.next_after(now)
    assert moment("2026-01-01T00:00:00") == interval.latest_at(now)
    assert 55 * 365 * 8640 + 14 * 8640 == interval.count_between(moment("1971-01-01T00:00"), now)


def test_a_finite_interval_counts_its_slots_not_its_runs() -> None:
    """`R5` has five slots for ever, whatever was missed; what remains depends on the time only."""
    five = make_schedule("R5/2015-01-01T00:00Z/P1D")
    assert isinstance(five, Interval)
    noon = moment("2015-01-04T12:00")

    assert ["2015-01-02T00:00", "2015-01-03T00:00", "2015-01-04T00:00"] == texts(
        five.latest(moment("2015-01-01T00:00"), noon, 9)
    )
    assert (5, 1, 0) == (
        five.remaining_after(five.anchor - 1),
        five.remaining_after(noon),
        five.remaining_after(2**50),
    )
    assert five.next_after(moment("2015-01-05T00:00")) is None
    assert moment("2015-01-05T00:00") == five.latest_at(2**50)
    assert make_schedule("R//P1D").remaining_after(0) is None
    assert make_schedule("@daily").remaining_after(0) is None


def test_without_a_start_the_anchor_counts() -> None:
    """Slot 0 is when the resource was created, to the second."""
    created = "2026-01-01T10:20:30"
    interval = make_schedule("R1//PT24H", anchor=created)

    assert moment(created) == interval.next_after(moment(created) - 1)
    assert interval.next_after(moment(created)) is None


def test_calendars_end() -> None:
    """Nothing is due after the last year a calendar has, and asking for it is no error."""
    far = 2**60
    for text in ("@yearly", "* * * * *", "R//P1Y", "R//P1M3D", "R//PT10S", "R/9998-01-01/P1M"):
        read = make_schedule(text, BERLIN)

        assert read.next_after(far) is None
        assert read.latest_at(-far) is None
        assert (read.latest_at(far) or 0) > moment("9990-01-01T00:00")
        assert () == read.slots_between(far, far + 1, 5) == read.latest(5, 4, 5)
        assert 0 == read.count_between(far, 0)


def test_h_is_a_value_of_the_name() -> None:
    """H spreads jobs, keeps its value for ever, and differs between fields."""
    texts_of = {
        key: getattr(parse("H H * * *", "UTC", key=key, anchor=0), "text", "")
        for key in (f"default/job-{number}" for number in range(50))
    }

    assert "30 8 * * *" == make_text("H H * * *")
    assert 40 < len(set(texts_of.values()))
    assert parse("H H * * *", "UTC", key="a", anchor=0) == parse(
        "H H * * *", "UTC", key="a", anchor=9
    )


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("H * * * *", r"[0-5]?\d \* \* \* \*"),
        ("h 9-17 * * mon", r"[0-5]?\d 9-17 \* \* MON"),
        ("H/20 * * * *", r"(\d|1\d),(2\d|3\d),(4\d|5\d) \* \* \* \*"),
        ("H(5-9) H(3-4) * * *", r"[5-9] [34] \* \* \*"),
        ("0 0 H * *", r"0 0 ([1-9]|1\d|2[0-8]) \* \*"),
        ("0,H 0 * * H", r"0,[0-5]?\d 0 \* \* [0-6]"),
    ],
)
def test_h_stays_in_its_field(text: str, pattern: str) -> None:
    """H is a value of its field, of a range or of a step; a day that every month has."""
    assert re.fullmatch(pattern, make_text(text))


REFUSED = [
    ("", "is no schedule"),
    ("   ", "is no schedule"),
    ("0 6 * * *\n", "is no schedule"),
    ("٣ * * * *", "is no schedule"),
    ("0 6 * * \x00", "is no schedule"),
    ("x" * 257, "longer than 256"),
    ("* * * *", "has 4 fields"),
    ("0 0 6 * * *", "has 6 fields; write five"),
    ("@reboot", "write one of @hourly"),
    ("@every 5m", "R//PT15M"),
    ("@Daily", "write one of @hourly"),
    ("TZ=UTC 0 6 * * *", "set `timeZone`"),
    ("CRON_TZ=UTC 0 6 * * *", "set `timeZone`"),
    ("60 * * * *", "minute field '60' must hold 0-59"),
    ("* 24 * * *", "hour field '24' must hold 0-23"),
    ("* * 32 * *", "day-of-month field '32' must hold 1-31"),
    ("* * 0 * *", "day-of-month field '0'"),
    ("* * * 13 *", "month field '13' must hold 1-12"),
    ("* * * * 8", "day-of-week field '8' must hold 0-7"),
    ("* * * * FRI-SUN", "the smaller first"),
    ("5-1 * * * *", "the smaller first"),
    ("-1 * * * *", "minute field"),
    ("*/0 * * * *", "minute field '*/0'"),
    ("6-6/0 * * * *", "minute field '6-6/0'"),
    ("*/90 * * * *", "R//PT90M"),
    ("0 */25 * * *", "steps beyond its 24 values"),
    ("1,,2 * * * *", "minute field"),
    ("? * * * *", "minute field"),
    ("* * * * MON#6", "day-of-week field"),
    ("0 0 31 2 *", "never due"),
    ("0 0 30,31 2 *", "never due"),
    ("0 0 31 4,6,9,11 *", "never due"),
    ("H(5-2) * * * *", "hashes outside 0-59"),
    ("H(0-60) * * * *", "hashes outside 0-59"),
    ("0 0 H(20-31) * *", "hashes outside 1-28"),
    ("H/61 * * * *", "must step by 1-60"),
    ("H/0 * * * *", "must step by 1-60"),
    ("R", "write R[n]/[start]/period"),
    ("R/P1D", "write R[n]/[start]/period"),
    ("R-1//P1D", "write R[n]/[start]/period"),
    ("R1000000000//P1D", "write R[n]/[start]/period"),
    ("R//", "is no ISO 8601 duration"),
    ("R//P", "is no ISO 8601 duration"),
    ("R//PT", "is no ISO 8601 duration"),
    ("R//P1DT", "is no ISO 8601 duration"),
    ("R//P1H", "T before times"),
    ("R//p1d", "is no ISO 8601 duration"),
    ("R//PT0S", "10 seconds to 100 years"),
    ("R//P0D", "10 seconds to 100 years"),
    ("R//PT9S", "10 seconds to 100 years"),
    ("R//P101Y", "10 seconds to 100 years"),
    ("R//P999999Y", "10 seconds to 100 years"),
    ("R//-P1D", "no sign"),
    ("R//P1.5D", "whole numbers"),
    ("R//P0,5M", "whole numbers"),
    ("R//PT1.5H", "PT90M"),
    ("R/1969-12-31T00:00Z/P1D", "1971 or later"),
    ("R/9999-01-01/P1D", "1971 or later"),
    ("R/2026-02-29/P1D", "does not exist"),
    ("R/2026-01-01T24:00/P1D", "does not exist"),
    ("R/2026-01-01T00:00:00.5Z/P1D", "is no time"),
    ("R/20260101T000000Z/P1D", "is no time"),
    ("R/tomorrow/P1D", "is no time"),
]


@pytest.mark.parametrize(("text", "part"), REFUSED)
def test_refuses(text: str, part: str) -> None:
    """What is wrong and what to write, in a sentence of bounded length."""
    with pytest.raises(ScheduleError) as refused:
        make_schedule(text)

    assert part in str(refused.value)
    assert len(str(refused.value)) < 256
    assert not isinstance(refused.value, TimeZoneError)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Europe/Pariss", "did you mean Europe/Paris?"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("", "write one such as"),
        ("Local", "is not an IANA time zone"),
        ("localtime", "is not an IANA time zone"),
        ("posixrules", "is not an IANA time zone"),
        ("../../../etc/passwd", "is not an IANA time zone"),
        ("/usr/share/zoneinfo/UTC", "is not an IANA time zone"),
        ("Europe/Berlin\x00", "is not an IANA time zone"),
        ("Europe", "is not an IANA time zone"),
        ("x" * 10**5, "is not an IANA time zone"),
    ],
)
def test_refuses_unknown_zones(name: str, part: str) -> None:
    """Only names of the tz database; nothing of the machine is looked at."""
    with pytest.raises(TimeZoneError, match=re.escape(part)):
        make_schedule("@daily", name)


def test_every_zone_reads() -> None:
    """Each of the tz database's names gives a zone."""
    noon = moment("2026-06-01T12:00")
    for name in zones.names():
        assert 15 * 3600 > abs(make_schedule("@daily", name).latest_at(noon) - noon) - 86_400


def documented() -> list[tuple[str, str, str, str]]:
    """The lines of the reference's table of examples."""
    page = Path(__file__).parents[3] / "docs" / "reference" / "schedules.md"
    table = page.read_text(encoding="utf-8").partition("## Examples")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(.+?)` \| (\S+) \| (\S+) \| (.+?) \|$", table, re.MULTILINE)


@pytest.mark.parametrize(("text", "where", "after", "expected"), documented())
def test_the_reference_is_true(text: str, where: str, after: str, expected: str) -> None:
    """What the documentation promises of an example is what happens."""
    slots = make_schedule(text, where).slots_between(moment(after), 2**60, 2)

    assert expected.split(", ") == texts(slots)
