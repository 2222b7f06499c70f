"""Offerings that the cloud has refused, and when they may be asked for again.

A refused offering is out for 3 minutes, as long as Karpenter's provider for AWS remembers it, then
for twice as long after each further refusal, up to 30 minutes. The memory is a value; the Pool's
status carries it over a restart.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from bayplan.api.times import rfc3339, time_of
from bayplan.model.backoff import delay_after
from bayplan.model.node_claims import NodeClaim, Offering
from bayplan.model.untyped import mapping, sequence

FIRST_SECONDS, LONGEST_SECONDS = 180, 1800
MOST_IN_STATUS = 32
_MOST_REFUSALS = 1_000_000


@dataclass(frozen=True, slots=True)
class Refused:
    """An offering may be asked for again from `until` on (epoch seconds).

    `refusals` counts how often it was refused in a row.
    """

    until: int
    refusals: int

    @property
    def since(self) -> int:
        """When it was refused last."""
        return self.until - delay_after(self.refusals, FIRST_SECONDS, LONGEST_SECONDS)

    @property
    def forgotten_at(self) -> int:
        """When it counts as never refused, if nobody has asked for it meanwhile."""
        return self.until + LONGEST_SECONDS


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The offerings that were refused lately. Immutable; each change returns another value."""

    known: Mapping[Offering, Refused] = field(default_factory=dict)

    def refused(self, offerings: Iterable[Offering], now: int) -> Self:
        """The cloud had none of these.

        An offering that is out already stays as it is: claims that were sent together are refused
        one after the other, and all of them are one refusal.
        """
        known = {each: one for each, one in self.known.items() if now < one.forgotten_at}
        for each in offerings:
            before = known.get(each)
            if before is not None and now < before.until:
                continue
            times = 1 if before is None else before.refusals + 1
            wait = delay_after(times, FIRST_SECONDS, LONGEST_SECONDS)
            known[each] = Refused(now + wait, times)
        return type(self)(known)

    def after_success(self, offering: Offering, asked_at: int) -> Self:
        """There is an instance of this offering, asked for then: earlier refusals are forgotten.

        An instance that was asked for before the refusal says nothing about what can be had now.
        """
        refused = self.known.get(offering)
        if refused is None or asked_at < refused.since:
            return self
        return type(self)({each: one for each, one in self.known.items() if each != offering})

    def shifted(self, seconds: int) -> Self:
        """The same after the clock was set by so many seconds."""
        return type(self)(
            {each: replace(one, until=one.until + seconds) for each, one in self.known.items()}
        )

    def closed(self, now: int) -> frozenset[Offering]:
        """The offerings that may not be asked for now."""
        return frozenset(each for each, one in self.known.items() if now < one.until)

    def opens_at(self, now: int) -> int | None:
        """When the next of them may be asked for again; None if none is closed."""
        return min((one.until for one in self.known.values() if now < one.until), default=None)

    def to_status(self, now: int) -> list[dict[str, Any]]:
        """The closed offerings for the Pool's status; those that are out longest come first."""
        closed = [(each, one) for each, one in self.known.items() if now < one.until]
        closed.sort(key=lambda pair: (-pair[1].until, pair[0]))
        return [
            {
                "type": kind,
                "zone": zone,
                "capacityType": capacity_type,
                "until": rfc3339(one.until),
                "refusals": one.refusals,
            }
            for (kind, zone, capacity_type), one in closed[:MOST_IN_STATUS]
        ]

    @classmethod
    def from_status(cls, stored: object, now: int) -> Self:
        """What a status says; entries that make no sense, or are over, are left out.

        A time further ahead than any refusal reaches is cut: somebody has edited the status, or a
        clock was wrong.
        """
        known: dict[Offering, Refused] = {}
        for one in map(mapping, sequence(stored)):
            names = tuple(one.get(key) for key in ("type", "zone", "capacityType"))
            until, times = time_of(one.get("until")), one.get("refusals")
            if not all(isinstance(each, str) and each for each in names) or until is None:
                continue
            if not isinstance(times, int) or isinstance(times, bool) or times < 1:
                times = 1
            kind, zone, capacity_type = map(str, names)
            if now < until:
                closed = Refused(min(until, now + LONGEST_SECONDS), min(times, _MOST_REFUSALS))
                known[kind, zone, capacity_type] = closed
        return cls(known)


def offerings_of(claim: NodeClaim, menu: Collection[Offering]) -> frozenset[Offering]:
    """Every offering of the menu that the claim would have accepted; what it leaves open is any.

    A type, zone or capacity type that the menu does not know is put away too, if the claim names
    all three: nobody should ask for it again at once.
    """
    accepted = {
        (kind, zone, capacity_type)
        for kind, zone, capacity_type in menu
        if (not claim.types or kind in claim.types)
        and (not claim.zones or zone in claim.zones)
        and (not claim.capacity_types or capacity_type in claim.capacity_types)
    }
    named = {
        (kind, zone, capacity_type)
        for kind in claim.types
        for zone in claim.zones
        for capacity_type in claim.capacity_types
    }
    return frozenset(accepted | named)
