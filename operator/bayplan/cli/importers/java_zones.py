"""Java's names of time zones, as Chronos read them: `TimeZone.getTimeZone` and Joda's aliases.

The three-letter names are the default aliases of Joda's DateTimeZone, which Chronos used. Java
silently reads an unknown name as GMT.
"""

import re
from dataclasses import dataclass

from bayplan.schedules import zones

_ALIASES = {
    "GMT": "UTC", "WET": "WET", "CET": "CET", "MET": "CET", "ECT": "CET", "EET": "EET",
    "MIT": "Pacific/Apia", "HST": "Pacific/Honolulu", "AST": "America/Anchorage",
    "PST": "America/Los_Angeles", "MST": "America/Denver", "PNT": "America/Phoenix",
    "CST": "America/Chicago", "EST": "America/New_York", "IET": "America/Indiana/Indianapolis",
    "PRT": "America/Puerto_Rico", "CNT": "America/St_Johns",
    "AGT": "America/Argentina/Buenos_Aires", "BET": "America/Sao_Paulo", "ART": "Africa/Cairo",
    "CAT": "Africa/Harare", "EAT": "Africa/Addis_Ababa", "NET": "Asia/Yerevan",
    "PLT": "Asia/Karachi", "IST": "Asia/Kolkata", "BST": "Asia/Dhaka", "VST": "Asia/Ho_Chi_Minh",
    "CTT": "Asia/Shanghai", "JST": "Asia/Tokyo", "ACT": "Australia/Darwin",
    "AET": "Australia/Sydney", "SST": "Pacific/Guadalcanal", "NST": "Pacific/Auckland",
}  # fmt: skip
_OFFSET = re.compile(r"GMT([+-])(\d{1,2})(?::?(\d{2}))?")
_MOST_HOURS, _MOST_MINUTES = 23, 59  # of Java's custom names


@dataclass(frozen=True, slots=True)
class Zone:
    """An IANA zone, or an offset such as +05:30; `note` says what Java read differently."""

    name: str = ""
    offset: str = ""
    note: str = ""


def named(java: str) -> Zone:
    """The zone that Chronos used for this name."""
    name = _ALIASES.get(java, java)
    if name in zones.names():
        return Zone(name)
    found = _OFFSET.fullmatch(java)
    hours, minutes = (int(found[2]), int(found[3] or 0)) if found else (0, 0)
    if found is None or hours > _MOST_HOURS or minutes > _MOST_MINUTES:
        return Zone("UTC", note=f"Java knows no zone {java!r} and took it for GMT; so does this")
    return Zone(offset=f"{found[1]}{hours:02}:{minutes:02}")
