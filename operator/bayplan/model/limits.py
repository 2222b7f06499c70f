"""What the LimitRanges of a namespace fill in, and what they demand of a whole pod.

Quantities stay text: they are written into pods unchanged.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bayplan import units

Amounts = Mapping[str, str]  # resource -> quantity


@dataclass(frozen=True, slots=True)
class Limits:
    """`requests` and `limits` are for containers that state none.

    `least` and `most` bound a whole pod: the sum of its requests.
    """

    requests: Amounts = field(default_factory=dict)
    limits: Amounts = field(default_factory=dict)
    least: Amounts = field(default_factory=dict)
    most: Amounts = field(default_factory=dict)


NO_LIMITS = Limits()


def merged(ranges: Iterable[Limits]) -> Limits:
    """Several LimitRanges in their order: a later one keeps what an earlier one has filled in."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    least: dict[str, str] = {}
    most: dict[str, str] = {}
    for one in ranges:
        requests = {**one.requests, **requests}
        limits = {**one.limits, **limits}
        for name, text in one.least.items():
            least[name] = max(least.get(name, text), text, key=functools.partial(amount, name))
        for name, text in one.most.items():
            most[name] = min(most.get(name, text), text, key=functools.partial(amount, name))
    found = Limits(requests, limits, least, most)
    return NO_LIMITS if found == NO_LIMITS else found


def amount(name: str, text: str | int) -> int:
    """The amount; 0 if it cannot be read, because the API server refuses such text anyway."""
    try:
        return units.amount(name, text)
    except units.QuantityError:
        return 0
