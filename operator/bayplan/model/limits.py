"""What the LimitRanges of a namespace fill in, and what they ask of a pod as a whole.

Quantities stay text: they are written into pods as they are.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bayplan import units

Amounts = Mapping[str, str]  # resource -> quantity


@dataclass(frozen=True, slots=True)
class Limits:
    """`requests` and `limits` are what a container gets that states none.

    `least` and `most` are for a whole pod: its requests together.
    """

    requests: Amounts = field(default_factory=dict)
    limits: Amounts = field(default_factory=dict)
    least: Amounts = field(default_factory=dict)
    most: Amounts = field(default_factory=dict)


NO_LIMITS = Limits()


def merged(ranges: Iterable[Limits]) -> Limits:
    """Several LimitRanges, in their order: what one has filled in the next leaves as it is."""
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
    """The amount, none where it cannot be read: the API server refuses such text anyway."""
    try:
        return units.amount(name, text)
    except units.QuantityError:
        return 0
