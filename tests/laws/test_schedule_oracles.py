"""Schedules against two implementations that share nothing with ours.

Cron expressions against a walker over days written here from crontab(5) alone; the days on which
clocks change against the library `whenever`, which reads the zone files by itself.
"""

import calendar
import itertools
import random
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from importlib import resources

import pytest
import whenever

from bayplan.schedules.parse import Schedule, ScheduleError, parse

DAY = timedelta(days=1)
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

# ── cron ─────────────────────────────────────────────────────────────────────────────────────────


def values(field: str, low: int, high: int) -> set[int]:
    """The numbers of a field: lists of numbers, ranges and steps."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        start = low if span == "*" else int(first)
        alone = not last and not step and span != "*"
        end = int(last) if last else start if alone else high
        found |= set(range(start, end + 1, int(step or 1)))
    return found


def numbered(field: str, names: tuple[str, ...], first: int) -> str:
    for number, name in enumerate(names, start=first):
        field = field.replace(name, str(number))
    return field


def on_day_of_month(field: str) -> Callable[[date], bool]:
    def holds(day: date) -> bool:
        last = calendar.monthrange(day.year, day.month)[1]
        for part in field.split(","):
            if part == "L" and day.day == last:
                return True
            if part == "LW" and day == last_weekday(day.replace(day=last)):
                return True
            if part not in {"L", "LW"} and day.day in values(part, 1, 31):
                return True
        return False

    return holds


def last_weekday(day: date) -> date:
    while day.weekday() >= 5:
        day -= DAY
    return day


def on_day_of_week(field: str) -> Callable[[date], bool]:
    def holds(day: date) -> bool:
        number = (day.weekday() + 1) % 7  # Sunday is 0, and 7
        last = calendar.monthrange(day.year, day.month)[1]
        for part in numbered(field, _DAYS, 0).split(","):
            if "#" in part:
                weekday, nth = part.split("#")
                if int(weekday) % 7 == number and (day.day - 1) // 7 + 1 == int(nth):
                    return True
            elif part.endswith("L"):
                if int(part[:-1]) % 7 == number and day.day + 7 > last:
                    return True
            elif number in {value % 7 for value in values(part, 0, 7)}:
                return True
        return False

    return holds


def walk(text: str, after: datetime, years: int = 9) -> Iterator[datetime]:
    """Matching minutes after a moment, in UTC: day by day, as crontab(5) says.

    With both days given either will do; a field that begins with `*` gives none.
    """
    minutes, hours, of_month, months, of_week = text.split()
    times = [
        time(h, m) for h in sorted(values(hours, 0, 23)) for m in sorted(values(minutes, 0, 59))
    ]
    in_months = values(numbered(months, _MONTHS, 1), 1, 12)
    by_month, by_week = on_day_of_month(of_month), on_day_of_week(of_week)
    both = not of_month.startswith("*") and not of_week.startswith("*")
    day, end = after.date(), after + 366 * years * DAY
    while day <= end.date():
        if day.month not in in_months:
            day = (day.replace(day=28) + 4 * DAY).replace(day=1)
            continue
        fits = by_month(day), by_week(day)
        if any(fits) if both else all(fits):
            for moment in times:
                if after < (found := datetime.combine(day, moment, UTC)) < end:
                    yield found
        day += DAY


def expression(dice: random.Random) -> str:
    def field(low: int, high: int, *more: str) -> str:
        def part() -> str:
            first, last = sorted((dice.randint(low, high), dice.randint(low, high)))
            step = dice.randint(1, high - low)
            forms = [str(first), f"{first}-{last}", f"*/{step}", f"{first}-{last}/{step}", *more]
            return dice.choice(forms)

        if dice.random() < 0.4:
            return "*"
        return ",".join(part() for _ in range(dice.choice([1, 1, 1, 2, 3])))

    return " ".join(
        (
            field(0, 59),
            field(0, 23),
            field(1, 31, "L", "LW"),
            field(1, 12, "FEB", "NOV"),
            field(0, 7, "SUN", "FRI", "1L", "MON#1", "TUE#5"),
        )
    )


@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_expressions(part: int) -> None:
    """The next three times of each are those of the walker, whatever the moment: 1971 to 2099.

    What is refused, as it is never due, the walker does not find within 50 years either.
    """
    dice, years = random.Random(part), 9  # noqa: S311  a sample, not a secret
    for _ in range(500):
        text, moment = expression(dice), dice.randint(31_536_000, 4_070_908_800)
        start = datetime.fromtimestamp(moment, UTC)
        until = start + 366 * years * DAY
        schedule = read(text)
        if schedule is None:
            assert next(walk(text, start, years=50), None) is None, text
            continue
        found = itertools.islice(walk(text, start, years), 3)
        expected = [int(one.timestamp()) for one in found]

        assert expected == list(schedule.slots_between(moment, int(until.timestamp()) - 1, 3)), text


def read(text: str) -> Schedule | None:
    """The schedule; None for one that is refused since it is never due."""
    try:
        return parse(text, "UTC", key="", anchor=0)
    except ScheduleError as error:
        if "never due" in str(error):
            return None
        raise


# ── the two days of the year ─────────────────────────────────────────────────────────────────────

ZONES = (
    *("Europe/Berlin", "Europe/London", "Europe/Chisinau", "America/New_York", "America/St_Johns"),
    *("America/Santiago", "America/Havana", "Australia/Lord_Howe", "Australia/Sydney"),
    *("Pacific/Auckland", "Asia/Beirut", "Africa/Casablanca"),
)
YEARS = range(2024, 2029)


@pytest.fixture(autouse=True, scope="module")
def _same_data() -> Iterator[None]:
    """The zone files of the package that the product takes them from; the reader is another."""
    whenever.reset_tzpath([str(resources.files("tzdata") / "zoneinfo")])
    whenever.clear_tzcache()
    yield
    whenever.reset_tzpath()
    whenever.clear_tzcache()


def offset(moment: int, where: str) -> float:
    there = whenever.Instant.from_timestamp(moment).to_tz(where)
    return there.offset.total("seconds")


def changes(where: str) -> list[int]:
    """The moments at which the clocks of a zone change, to the minute."""
    start = whenever.Instant.from_utc(YEARS[0], 1, 1).timestamp()
    found = []
    for day in range(start, start + len(YEARS) * 366 * 86_400, 86_400):
        low, high = day, day + 86_400
        if offset(low, where) == offset(high, where):
            continue
        while high - low > 60:
            middle = (low + high) // 120 * 60
            low, high = (
                (middle, high) if offset(middle, where) == offset(low, where) else (low, middle)
            )
        found.append(high)
    return found


def readings(where: str, since: int, until: int) -> Iterator[tuple[int, str]]:
    """Each minute of a stretch with what the clock on the wall says then."""
    for moment in range(since, until, 60):
        there = whenever.Instant.from_timestamp(moment).to_tz(where)
        yield moment, f"{there.hour:02}:{there.minute:02}"


def minutes(reading: str) -> int:
    return int(reading[:2]) * 60 + int(reading[3:])


@pytest.mark.parametrize("where", ZONES)
def test_clock_changes_of_five_years(where: str) -> None:
    """A given time runs once a day, at once if the clock jumps over it, in its first passage if it
    comes twice; a pattern follows the clock as it is.
    """  # noqa: D205
    found = changes(where)
    assert len(found) >= len(YEARS)
    for change in found:
        since, until = change - 6 * 3600, change + 6 * 3600
        clock = list(readings(where, since, until))
        jump = int(offset(change, where) - offset(change - 60, where)) // 60
        skipped = {(minutes(dict(clock)[change]) - back) % 1440 for back in range(1, jump + 1)}
        for given in ("00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "03:15"):
            first = [moment for moment, said in clock if said == given][:1]
            expected = [change] if minutes(given) in skipped else first
            hour, minute = divmod(minutes(given), 60)
            schedule = parse(f"{minute} {hour} * * *", where, key="", anchor=0)

            assert expected == list(schedule.slots_between(since - 1, until - 60, 9)), given
        pattern = parse("*/20 * * * *", where, key="", anchor=0)
        expected = [moment for moment, said in clock if int(said[3:]) % 20 == 0]

        assert expected == list(pattern.slots_between(since - 1, until - 60, 99))
