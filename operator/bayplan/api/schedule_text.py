"""Schedules and time zones as text: what the API server checks of them, by RE2 and CEL.

The rules never refuse what `schedules.parse` reads, and refuse nearly all that it does not read.
The operator tells the rest, such as an interval that starts on 30 February.
"""

from typing import Annotated

from pydantic import Field

from bayplan.api.meta import cel_text, crd, rule

_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")

# Numbers, with leading zeros as people write them.
_TO_59, _TO_23 = "0*[1-5]?[0-9]", "0*(1?[0-9]|2[0-3])"
_TO_31, _TO_12, _TO_7 = "0*([1-9]|[12][0-9]|3[01])", "0*([1-9]|1[0-2])", "0*[0-7]"
# Steps: at most as many as the field has values.
_UP_TO_60, _UP_TO_24 = "0*([1-9]|[1-5][0-9]|60)", "0*([1-9]|1[0-9]|2[0-4])"


def _spans(number: str, names: tuple[str, ...]) -> str:
    """A value by number or name, or a range of two; of two names the earlier is first."""
    each = "|".join(names)
    pairs = "|".join(f"{name}(-({'|'.join(names[index:])}))?" for index, name in enumerate(names))
    return f"{pairs}|{number}(-({number}|{each}))?|({each})-{number}"


def _terms(spans: str, step: str, hashed: str, more: str = "") -> str:
    """One field of cron: values, ranges, steps, `H`, and words of its own, a comma after each."""
    return rf"(((\*|{spans}|H(\(({hashed})-({hashed})\))?)(/{step})?{more}),)+"


_CRON = " (, )*".join((
    _terms(f"{_TO_59}(-{_TO_59})?", _UP_TO_60, "[0-5]?[0-9]"),
    _terms(f"{_TO_23}(-{_TO_23})?", _UP_TO_24, "[01]?[0-9]|2[0-3]"),
    _terms(f"LW?|{_TO_31}(-{_TO_31})?", _TO_31, "0?[1-9]|1[0-9]|2[0-8]"),
    _terms(_spans(_TO_12, _MONTHS), _TO_12, "0?[1-9]|1[0-2]"),
    _terms(
        *(_spans(_TO_7, _WEEKDAYS), "0*[1-7]", "0?[0-6]"),
        f"|{_TO_7}L|({_TO_7}|{'|'.join(_WEEKDAYS)})#0*[1-5]",
    ),
))  # fmt: skip
_ALIAS = "@(hourly|daily|midnight|weekly|monthly|yearly|annually)"

_DATE = "(19(7[1-9]|[89][0-9])|[2-9][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_START = (
    f"{_DATE}(T([01][0-9]|2[0-4]):[0-5][0-9](:[0-5][0-9])?([.,]0{{1,9}})?"
    "(Z|[-+]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?)?"
)
_PERIOD = (
    "P([0-9]{1,6}Y)?([0-9]{1,6}M)?([0-9]{1,6}W)?([0-9]{1,6}D)?"
    "(T([0-9]{1,9}H)?([0-9]{1,9}M)?([0-9]{1,9}S)?)?"
)
_INTERVAL = f"R[0-9]{{0,9}}/({_START})?/{_PERIOD}"


def _form(cron_or_else: str) -> str:
    """CEL: whether a text has this form.

    A comma is put after each field, so that all terms of a list end alike: the pattern has each
    form of a term once, and the definition stays small.
    """
    pattern = rf"^(, )*({cron_or_else})( ,)*$"
    text = r"(self.replace('\t', ' ').replace(' ', ', ') + ',')"
    return f"{text}.matches({cel_text(pattern)})"


_TIME_ZONE_PATTERN = "^[A-Za-z][-+_A-Za-z0-9]*(/[-+_A-Za-z0-9]+)*$"
# Days 30 and 31 of months that do not have them, where day of month and day of week must both
# match; and periods of less than 10 seconds or of more than 100 years.
_LATE, _LAST = "0*3[01](-0*3[01])?(/[0-9]+)?", "0*31(-0*31)?(/[0-9]+)?"
_SHORT_MONTH = "(0*2|FEB|0*4|APR|0*6|JUN|0*9|SEP|0*11|NOV)"
_NEVER_PATTERN = (
    rf"^[ \t]*[^ \t]+[ \t]+[^ \t]+[ \t]+(?i:{_LATE}(,{_LATE})*[ \t]+(0*2|FEB)(,(0*2|FEB))*|"
    rf"{_LAST}(,{_LAST})*[ \t]+{_SHORT_MONTH}(,{_SHORT_MONTH})*)[ \t]+\*"
)
_PERIOD_PATTERN = (
    r"^[ \t]*R.*(/P(0+[YMWD])*(T(0+[HM])*(0*[0-9]S)?)?[ \t]*$|T[ \t]*$|/P"
    "0*(10[1-9]|1[1-9][0-9]|[2-9][0-9]{2}|[1-9][0-9]{3,})Y)"
)

_FIELDS = (
    "five cron fields (minute 0-59, hour 0-23, day of month 1-31, L or LW, month 1-12 or JAN-DEC, "
    "day of week 0-7 or SUN-SAT, 5L, MON#2)"
)
_RISING = rule(
    r"self.matches(r'^[ \t]*R') || self.findAll(r'[0-9]{1,9}-[0-9]{1,9}').all(one, "
    "int(one.split('-')[0]) <= int(one.split('-')[1]))",
    "must have the smaller number first in each range; write `1-5`, or `22-23,0-5` for a night",
)
_SOMETIMES = rule(
    f"!self.matches({cel_text(_NEVER_PATTERN)})",
    "must name a day that a month has; for the last day of each month write `0 0 L * *`",
)
SCHEDULE_RULES = (
    rule(
        _form(f"({_ALIAS}|{_INTERVAL}),|(?i:{_CRON})"),
        f"must be {_FIELDS}, @hourly, @daily, @midnight, @weekly, @monthly, @yearly, or "
        "R[n]/[start]/period; write `0 6 * * MON-FRI`, `R//PT15M` or the like",
    ),
    _RISING,
    _SOMETIMES,
    rule(
        f"!self.matches({cel_text(_PERIOD_PATTERN)})",
        "must have a period of 10 seconds to 100 years; write `R//PT15M` or the like",
    ),
)
CRON_RULES = (
    rule(
        _form(f"{_ALIAS},|(?i:{_CRON})"),
        f"must be {_FIELDS}, @hourly, @daily, @midnight, @weekly, @monthly or @yearly; write "
        "`0 22 * * MON-FRI` or the like",
    ),
    _RISING,
    _SOMETIMES,
)
_TIME_ZONE = "must be the name of an IANA time zone; write `UTC`, `Europe/Berlin` or the like"
TIME_ZONE_RULE = rule(f"self.matches({cel_text(_TIME_ZONE_PATTERN)})", _TIME_ZONE)
# The API server has the zones of its own release. An unknown name is an error of CEL, which it does
# not forgive a stored value as it does a broken rule: so the rule looks only at a new value.
TIME_ZONE_RULES = (
    TIME_ZONE_RULE,
    {
        **rule(
            "oldSelf.hasValue() && oldSelf.value() == self || self != 'Local' && "
            "timestamp('2026-01-01T00:00:00Z').getHours(self) >= 0",
            _TIME_ZONE,
        ),
        "optionalOldSelf": True,
    },
)

ScheduleText = Annotated[
    str,
    Field(min_length=1, max_length=256, json_schema_extra=crd(validations=list(SCHEDULE_RULES))),
]
