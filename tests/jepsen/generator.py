"""What people ask for: Jepsen's jobs with Jepsen's constants, then edits and deletions of them.

A function of the seed alone, but for the moment at which a request is made.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

EVERY_SECONDS = 30  # one request in so many, staggered
HEAD_START_SECONDS = 10  # from a request to its first slot

Verb = Literal["create", "edit", "delete"]


@dataclass(frozen=True, slots=True)
class Request:
    """Made `after` seconds from the beginning; the first slot is HEAD_START_SECONDS later."""

    after: float
    verb: Verb
    name: str
    duration: int = 0
    epsilon: int = 0
    interval: int = 0
    count: int = 0


def requests(seed: int, seconds: float, *, every: float = EVERY_SECONDS) -> Iterator[Request]:
    """Requests in the order of time. Each fifth edits an earlier job, each seventh deletes one."""
    dice = random.Random(seed)  # noqa: S311  dice, not keys
    after, number = dice.uniform(0, every / 4), 0
    created: list[Request] = []
    while after < seconds:
        number += 1
        if created and number % 7 == 0:
            gone = created.pop(dice.randrange(len(created)))
            yield Request(after, "delete", gone.name)
        elif created and number % 5 == 0:
            old = created.pop(dice.randrange(len(created)))
            interval = old.interval + dice.randrange(1, 10)
            yield Request(after, "edit", old.name, old.duration, old.epsilon, interval, old.count)
        else:
            created.append(_job(dice, after, f"job-{number}"))
            yield created[-1]
        after += dice.uniform(0, 2 * every)


def _job(dice: random.Random, after: float, name: str) -> Request:
    """Jepsen's: intervals that leave room for the window and the run, so that none overlap."""
    duration, epsilon = dice.randrange(10), 10 + dice.randrange(20)
    interval = 1 + duration + epsilon + 5 + dice.randrange(30)
    return Request(after, "create", name, duration, epsilon, interval, 1 + dice.randrange(99))
