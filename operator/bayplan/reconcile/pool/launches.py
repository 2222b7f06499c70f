"""Launches of instances, written down before AWS is asked, so that none is ever made twice.

A launch stands in the Pool's status before the first call, and until its answer has come. The token
of the calls follows from it: an operator that was started again repeats the call with the same
token, and AWS answers with the instances of the first call. In place of `LaunchInstances`, the
desired size of the group may be raised; `before` then shows whether that was done.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bayplan.api.pool_status import MOST_LAUNCHES
from bayplan.api.times import rfc3339, time_of
from bayplan.model.claim_names import claim_name
from bayplan.model.untyped import mapping, sequence

MOST_INSTANCES = 100  # of one call
LONGEST_SECONDS = 900  # a launch without an answer is given up: its token may be forgotten by AWS
_TOKEN_LETTERS = 40


@dataclass(frozen=True, slots=True)
class Launch:
    """`count` instances of a group; `before` was its desired size when it was decided, at `at`.

    `serial` is different for each launch of a Pool.
    """

    serial: int
    at: int  # epoch seconds
    group: str
    count: int
    before: int

    def token(self, pool_uid: str) -> str:
        """The client token of its calls."""
        text = f"{pool_uid}/{self.serial}/{self.at}/{self.group}/{self.count}"
        return hashlib.sha256(text.encode()).hexdigest()[:_TOKEN_LETTERS]

    def claims(self, pool: str, pool_uid: str) -> tuple[str, ...]:
        """Names for its instances where nobody remembers the names that they had."""
        token = self.token(pool_uid)
        return tuple(claim_name(pool, token, at) for at in range(self.count))

    def over(self, now: int) -> bool:
        """Whether nobody waits for its answer any more."""
        return now - self.at >= LONGEST_SECONDS

    def to_status(self) -> dict[str, Any]:
        """Its entry in the Pool's status."""
        return {
            "serial": self.serial,
            "at": rfc3339(self.at),
            "group": self.group,
            "count": self.count,
            "desiredBefore": self.before,
        }

    @classmethod
    def from_status(cls, one: Mapping[str, Any]) -> Self | None:
        """What an entry says; None if it makes no sense."""
        at, group = time_of(one.get("at")), one.get("group")
        numbers = [one.get(key) for key in ("serial", "count", "desiredBefore")]
        if at is None or not isinstance(group, str) or not group:
            return None
        if not all(isinstance(each, int) and not isinstance(each, bool) for each in numbers):
            return None
        serial, count, before = (int(each) for each in numbers if each is not None)
        if not (serial > 0 and 0 < count <= MOST_INSTANCES and before >= 0):
            return None
        return cls(serial, at, group, count, before)


def stored(status: Mapping[str, Any]) -> tuple[Launch, ...]:
    """The launches in the status of a Pool."""
    found = (Launch.from_status(mapping(one)) for one in sequence(status.get("launches")))
    return tuple(one for one in found if one is not None)[:MOST_LAUNCHES]


def last_serial(status: Mapping[str, Any], others: Iterable[Launch] = ()) -> int:
    """The serial of the last launch of a Pool; 0 before the first."""
    told = status.get("launchSerial")
    known = told if isinstance(told, int) and not isinstance(told, bool) else 0
    return max((known, *(one.serial for one in (*stored(status), *others))))
