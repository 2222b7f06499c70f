"""Laws of schedules, against minutes counted one by one, cronsim's own walk and calendars."""

import itertools
from datetime import UTC, date, datetime, timedelta

import whenever
from cronsim import CronSim
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st

from bayplan.api.schedule_text import SCHEDULE_RULES
from bayplan.cli.lint import cel_rules
from bayplan.schedules import zones as zones_
from bayplan.schedules.parse import Cron, Interval, Schedule, ScheduleError, parse

DAY = 86_400
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Santiago"),
    *("Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu"),
)
# Where clocks jump by whole hours and not at midnight: elsewhere cronsim's walk strays itself.
PLAIN_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Africa/Casablanca", "Asia/Kathmandu")
CHANGES = tuple(
    int(datetime.fromisoformat(f"{day}T00:00Z").timestamp())
    for day in ("2026-03-08", "2026-03-29", "2026-09-06", "2026-10-04", "2026-10-25", "2026-11-01",
                "2006-10-29", "2006-04-02", "2011-12-30", "2024-02-29")
)  # fmt: skip

for _rule in SCHEDULE_RULES:  # celpy sets the recursion limit, which hypothesis watches
    cel_rules.compiled(_rule["rule"])

zones = st.sampled_from(ZONES)
moments = st.one_of(
    st.integers(0, 2**32),
    st.builds(lambda change, off: change + off, st.sampled_from(CHANGES), st.integers(-DAY, DAY)),
)


def field(low: int, high: int, *more: str) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    # Of one value with a step cronsim makes all to the end: `test_schedule_oracles` has those.
    pairs = st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1])
    spans = pairs.map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.integers(1, high - low + 1)
    term = st.one_of(
        numbers.map(str),
        spans,
        st.builds("*/{}".format, steps),
        st.builds("{}/{}".format, spans, steps),
        *map(st.just, more),
    )
    return st.one_of(st.just("*"), term, st.lists(term, min_size=2, max_size=3).map(",".join))


expressions = st.builds(
    "{} {} {} {} {}".format,
    field(0, 59),
    field(0, 23),
    st.just("*") | field(1, 31, "L", "LW"),
    st.just("*") | field(1, 12, "FEB"),
    st.just("*") | field(0, 7, "SUN", "FRI", "1L", "MON#1", "TUE#5"),
)
periods = st.one_of(
    st.builds("P{}M".format, st.integers(1, 30)),
    st.builds("P{}Y".format, st.integers(1, 5)),
    st.builds("P{}D".format, st.integers(1, 40)),
    st.builds("P{}W".format, st.integers(1, 9)),
    st.builds("P1M{}D".format, st.integers(0, 40)),
    st.builds("P{}DT{}H".format, st.integers(0, 3), st.integers(1, 50)),
    st.builds("PT{}S".format, st.integers(10, 10**6)),
)
readings = st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001
starts = readings.map(lambda start: start.isoformat(timespec="seconds"))
intervals = st.builds(
    "R{}/{}/{}".format, st.just("") | st.integers(0, 50).map(str), starts | st.just(""), periods
)


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    text, where, anchor = draw(expressions | intervals), draw(zones), draw(st.integers(0, 2**32))
    try:
        return parse(text, where, key="a/b", anchor=anchor)
    except ScheduleError:  # a date that no month has
        reject()


@given(schedules(), moments, st.integers(0, 400 * DAY), st.integers(1, 20))
def test_the_questions_agree(read: Schedule, after: int, length: int, limit: int) -> None:
    """All questions are about one set of moments, and none of their answers overlaps another."""
    until = after + length
    oldest = read.slots_between(after, until, limit)
    newest = read.latest(after, until, limit)
    first, last = read.next_after(after), read.latest_at(until)

    assert list(oldest) == sorted(set(oldest))
    assert list(newest) == sorted(set(newest))
    assert len(oldest) == len(newest) <= limit
    assert (oldest[:1] == (first,)) == (first is not None and first <= until)
    assert (newest[-1:] == (last,)) == (last is not None and last > after)
    if len(oldest) < limit:
        assert oldest == newest
    for slot in {*oldest, *newest}:
        assert after < slot <= until
        assert slot == read.latest_at(slot) == read.next_after(slot - 1)
    for earlier, later in itertools.pairwise(oldest):
        assert later == read.next_after(earlier)
        assert earlier == read.latest_at(later - 1)


@given(schedules(), moments, st.integers(0, 30 * DAY), st.integers(0, 30 * DAY))
def test_counts_add_up(read: Schedule, after: int, length: int, more: int) -> None:
    """A count over two stretches is the sum of theirs, and what remains falls by as much."""
    middle, until = after + length, after + length + more
    apart = read.count_between(after, middle) + read.count_between(middle, until)
    before, now = read.remaining_after(after), read.remaining_after(until)

    assert read.count_between(after, until) == apart
    assert (before is None) == (now is None)
    if before is not None and now is not None:
        assert before - now == apart


@given(expressions, zones, moments, st.integers(0, 3 * DAY))
def test_counts_are_of_slots(text: str, where: str, after: int, length: int) -> None:
    """What is counted is what is listed."""
    read, until = parsed(text, where), after + length

    assert len(read.slots_between(after, until, 10**4)) == read.count_between(after, until)


@settings(max_examples=60)
@given(expressions, zones, moments)
@example("*/7 * * * *", "America/St_Johns", 1162080000)
@example("30 23 * * SAT", "America/St_Johns", 1162080000)
@example("* 2 * * *", "Europe/Berlin", 1774742400)
@example("15 * * * *", "Europe/Berlin", 1792886400)
@example("15 2 * * *", "Australia/Lord_Howe", 1791072000)
@example("0 10 30 12 *", "Pacific/Apia", 1325203200)
@example("0 0 6 9 *", "America/Santiago", 1788652800)
def test_cron_is_what_the_clock_on_the_wall_reads(text: str, where: str, near: int) -> None:
    """Minute by minute: a pattern is due whenever the clock reads a matching time; a given time
    once, in the first minute in which the clock has come to it.
    """  # noqa: D205
    read = parsed(text, where)
    assert isinstance(read, Cron)
    day = max(near - near % DAY, 2 * DAY)
    minutes = range(day - DAY, day + 2 * DAY, 60)
    clock = [(minute, zones_.reading_at(read.zone, minute)) for minute in minutes]
    matching = walked(text, [reading for _, reading in clock])
    if not any(given.startswith("*") for given in text.split()[:2]):
        due = came_to(clock, matching)
    else:
        due = [minute for minute, reading in clock if reading in matching]
    after, until = day - 12 * 3600, day + 2 * DAY - 60

    assert [slot for slot in due if after < slot] == list(read.slots_between(after, until, 10**4))


def parsed(text: str, where: str) -> Schedule:
    try:
        return parse(text, where, key="", anchor=0)
    except ScheduleError:
        reject()


def walked(text: str, clock: list[datetime]) -> set[datetime]:
    """Every matching reading of a stretch, as cronsim finds them where no clock changes."""
    walk = CronSim(text, (min(clock) - timedelta(minutes=1)).replace(tzinfo=UTC))
    readings = (value.replace(tzinfo=None) for value in walk)
    return set(itertools.takewhile(lambda reading: reading <= max(clock), readings))


def came_to(clock: list[tuple[int, datetime]], matching: set[datetime]) -> list[int]:
    """The minutes in which the clock first reads, or jumps over, a matching reading."""
    due: list[int] = []
    reached = clock[0][1]
    for minute, reading in clock[1:]:
        if any(reached < match <= reading for match in matching):
            due.append(minute)
        reached = max(reached, reading)
    return due


@given(expressions, st.sampled_from(PLAIN_ZONES), st.integers(946684800, 2**32))
def test_cron_is_cronsims(text: str, where: str, after: int) -> None:
    """The next slots are those of cronsim walking forwards, which was held to Debian's cron."""
    read = parsed(text, where)
    walk = CronSim(text, datetime.fromtimestamp(after, zones_.zone(where)))
    expected = [int(value.timestamp()) for value in itertools.islice(walk, 6)]
    expected = sorted({slot for slot in expected if slot > after})[:3]

    assert expected == list(read.slots_between(after, 2**60, 3))[: len(expected)]


@given(
    st.dates(date(1971, 1, 1), date(2040, 12, 31)),
    st.integers(0, 30),
    st.integers(0, 40),
    st.integers(0, 300),
)
def test_an_interval_is_its_start_and_so_many_periods(
    start: date, months: int, days: int, index: int
) -> None:
    """Slot k is k periods after the start on the calendar, whatever the slots before it were."""
    assume(months or days)
    read = parse(f"R/{start}T06:00/P{months}M{days}D", "UTC", key="", anchor=0)
    assert isinstance(read, Interval)
    first = whenever.Date(start.year, start.month, start.day)
    there = first.add(months=index * months).add(days=index * days)

    assert datetime(there.year, there.month, there.day, 6, tzinfo=UTC).timestamp() == read.slot(
        index
    )


@given(intervals, zones, st.integers(0, 2**31), st.integers(0, 10**6))
def test_an_interval_never_falls_behind(text: str, where: str, anchor: int, index: int) -> None:
    """Slots do not go back; two share a moment only where a calendar day does not exist."""
    read = parse(text, where, key="", anchor=anchor)
    assert isinstance(read, Interval)
    slot, later = read.slot(index), read.slot(index + 1)

    assert read.slot(-1) is None
    if later is not None:
        assert slot is not None
        assert slot < later or where == "Pacific/Apia"
        assert read.index_at(later) == index + 1
        assert read.index_at(slot) in {index, index + 1}


@given(st.text(max_size=40) | expressions | intervals, st.text(max_size=20) | zones)
@example("H H(0-5) H(1-9)/3 * MON-FRI", "UTC")
@example("@daily", "UTC")
@example("R5/2026-01-01T00:00:00.000+05:30/P1Y2M3W4DT5H6M7S", "UTC")
def test_hostile_text_is_a_schedule_or_a_clear_refusal(text: str, where: str) -> None:
    """Nothing else is raised; what is read is due one day, and the schema lets it pass."""
    try:
        read = parse(text, where, key="a/b", anchor=0)
    except ScheduleError as refused:
        message = str(refused)
    else:
        message = "-"
        assert read.next_after(0) is not None or read.remaining_after(-1) in {0, 1}
        assert all(cel_rules.holds(rule["rule"], text) for rule in SCHEDULE_RULES)

    assert 0 < len(message) < 300


@given(st.sampled_from(sorted(zones_.names())), readings)
def test_the_first_moment_of_a_reading(where: str, reading: datetime) -> None:
    """Before it the clock has not come to the reading; at it the clock has, in every zone."""
    reading = reading.replace(microsecond=0)
    there = zones_.zone(where)
    first = zones_.first_moment(there, reading)
    every = zones_.moments(there, reading)

    assert zones_.reading_at(there, first - 1) < reading <= zones_.reading_at(there, first)
    assert (every[0] if every else first) == first
    assert all(zones_.reading_at(there, moment) == reading for moment in every)
