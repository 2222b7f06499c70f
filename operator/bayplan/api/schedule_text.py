"""Schedules and time zones as text: what the API server checks of them.

The rules check only the form, in RE2; whether a schedule can ever be due is for `schedules.parse`.
"""

from typing import Annotated

from pydantic import Field

from bayplan.api.meta import cel_text, crd, rule

_ALIAS = "@(hourly|daily|midnight|weekly|monthly|yearly|annually)"
_CRON = r"([-0-9A-Za-z*,/#()]+[ \t]+){4}[-0-9A-Za-z*,/#()]+"
_INTERVAL = "R[0-9]*/[-+.,:0-9TZ]*/P[0-9A-Z]+"
SCHEDULE_PATTERN = rf"^[ \t]*({_ALIAS}|{_CRON}|{_INTERVAL})[ \t]*$"
_CRON_PATTERN = rf"^[ \t]*({_ALIAS}|{_CRON})[ \t]*$"
_TIME_ZONE_PATTERN = "^[A-Za-z][-+_A-Za-z0-9]*(/[-+_A-Za-z0-9]+)*$"

SCHEDULE_RULE = rule(
    f"self.matches({cel_text(SCHEDULE_PATTERN)})",
    "must be five cron fields, @hourly, @daily, @midnight, @weekly, @monthly, @yearly, or "
    "R[n]/[start]/period; write `0 6 * * MON-FRI`, `R//PT15M` or the like",
)
CRON_RULE = rule(
    f"self.matches({cel_text(_CRON_PATTERN)})",
    "must be five cron fields, @hourly, @daily, @midnight, @weekly, @monthly or @yearly; write "
    "`0 22 * * MON-FRI` or the like",
)
TIME_ZONE_RULE = rule(
    f"self.matches({cel_text(_TIME_ZONE_PATTERN)})",
    "must be the name of an IANA time zone; write `UTC`, `Europe/Berlin` or the like",
)

ScheduleText = Annotated[
    str,
    Field(min_length=1, max_length=256, json_schema_extra=crd(validations=[SCHEDULE_RULE])),
]
