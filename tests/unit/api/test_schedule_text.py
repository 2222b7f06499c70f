"""What the definitions say of schedules, beside what the parser reads: nothing good is refused."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from bayplan.api.schedule_text import CRON_RULES, SCHEDULE_RULES, TIME_ZONE_RULES
from bayplan.cli.lint import cel_rules
from bayplan.schedules import zones
from bayplan.schedules.parse import ScheduleError, parse

BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
NAMES = {
    3: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    4: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
}
ODD = ("L", "LW", "5L", "MON#2", "5#2", "W", "?", "L-3", "15W", "MON-FRI", "FRI#6", "MONL", "-", "")


def refused(rules: Sequence[Mapping[str, Any]], text: str) -> bool:
    return not all(cel_rules.holds(one["rule"], text) for one in rules)


def read(text: str) -> bool:
    try:
        parse(text, "UTC", key="a/b", anchor=0)
    except ScheduleError:
        return False
    return True


def value(dice: random.Random, index: int) -> str:
    low, high = BOUNDS[index]
    number = dice.choice((low, high, high + 1, max(0, low - 1), dice.randint(low, high)))
    plain = dice.choice((str(number), str(number), f"0{number}"))
    return dice.choice((plain, dice.choice(NAMES.get(index, [plain]))))


def term(dice: random.Random, index: int) -> str:
    span = f"{value(dice, index)}-{value(dice, index)}"
    hashed = f"H({dice.randint(0, 30)}-{dice.randint(0, 60)})"
    body = dice.choice(
        ("*", value(dice, index), value(dice, index), span, span, "H", hashed, dice.choice(ODD))
    )
    return body + dice.choice(("", "", "", f"/{dice.choice((0, 1, 2, 7, 12, 24, 31, 60, 61))}"))


def cron(dice: random.Random) -> str:
    """Five fields, one or two of them hostile."""
    hostile = dice.sample(range(5), dice.choice((1, 1, 2)))
    fields = [
        ",".join(term(dice, index) for _ in range(dice.choice((1, 1, 2))))
        if index in hostile
        else "*"
        for index in range(5)
    ]
    text = dice.choice((" ", " ", "  ", "\t")).join(fields)
    return dice.choice((text, text.lower(), f" {text} "))


def interval(dice: random.Random) -> str:
    period = "".join(
        f"{dice.choice((0, 1, 12, 99, 100, 101))}{unit}" for unit in "YMWD" if dice.random() < 0.3
    )
    clock = "".join(f"{dice.choice((0, 9, 10, 90))}{unit}" for unit in "HMS" if dice.random() < 0.4)
    day = f"{dice.choice((1970, 1971, 2026))}-{dice.choice(('02', '12', '13'))}-28"
    offset = dice.choice(("", "Z", "+05:30", "-0530", "+05", "+24:00", "z"))
    start = dice.choice(("", day, f"{day}T{dice.choice(('06:00', '23:59:59', '6:00'))}{offset}"))
    return f"R{dice.choice(('', 5, -1))}/{start}/P{period}{dice.choice(('', 'T'))}{clock}"


def test_what_the_parser_reads_the_api_server_takes() -> None:
    """Never refused; and of what the parser refuses, nearly all is refused at apply."""
    dice = random.Random(25)  # noqa: S311 -- not for secrets
    texts = [dice.choice((cron, cron, interval))(dice) for _ in range(1500)]
    wrong = [text for text in texts if not read(text)]

    assert [] == [text for text in texts if read(text) and refused(SCHEDULE_RULES, text)]
    assert [] == [
        text
        for text in texts
        if "R" not in text.upper() and read(text) and refused(CRON_RULES, text)
    ]
    assert 600 < len(wrong) < 1400
    assert len([text for text in wrong if refused(SCHEDULE_RULES, text)]) > 0.93 * len(wrong)


def test_no_time_zone_of_ours_is_refused() -> None:
    """Every name of the database has the form; a name that is none has not, or is unknown."""
    assert [] == [name for name in sorted(zones.names()) if refused(TIME_ZONE_RULES, name)]
    for name in ("Europe/Berlinn", "europe/berlin", "CEST", "Local", "GMT+2", "UTC ", "+02:00"):
        assert refused(TIME_ZONE_RULES, name)
