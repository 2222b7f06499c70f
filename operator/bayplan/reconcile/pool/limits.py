"""How many more nodes a Pool may have: its own limits, and the limits of its NodePool.

Karpenter does not hold the NodePool's limits for a claim that it did not make, so they are held
here. A claim that has no instance yet counts as the largest and dearest that it may become.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from bayplan import units
from bayplan.model import resources
from bayplan.model.resources import NOTHING, Vector

NODES, DOLLARS = "nodes", "dollarsPerHour"
_MICRO = 1_000_000


class PoolLimits(Protocol):
    """The limits in the spec of a Pool; None where there is no limit."""

    @property
    def nodes(self) -> int | None: ...
    @property
    def cpu(self) -> str | int | None: ...
    @property
    def memory(self) -> str | int | None: ...
    @property
    def microdollars_per_hour(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Load:
    """What nodes count against limits: how many they are, what they have, what they cost.

    `capacity` is the whole capacity of the types, not only what pods can use. `microdollars` are
    for an hour.
    """

    nodes: int = 0
    capacity: Vector = NOTHING
    microdollars: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(
            self.nodes + other.nodes,
            self.capacity + other.capacity,
            self.microdollars + other.microdollars,
        )

    def __or__(self, other: "Load") -> "Load":
        """The larger of each: what a claim that may become either of two can come to."""
        return Load(
            max(self.nodes, other.nodes),
            self.capacity | other.capacity,
            max(self.microdollars, other.microdollars),
        )

    def amount(self, what: str) -> int:
        """How much of the thing that a limit of this name bounds."""
        if what == NODES:
            return self.nodes
        return self.microdollars if what == DOLLARS else self.capacity.amount(what)


def largest(loads: Iterable[Load]) -> Load:
    """What a claim counts that may become any of these."""
    found = Load()
    for load in loads:
        found |= load
    return found


def total(loads: Iterable[Load]) -> Load:
    found = Load()
    for load in loads:
        found += load
    return found


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: of whose spec, on what, how much at most, and how much is there."""

    whose: str  # Pool or NodePool
    what: str  # as in the spec: nodes, cpu, memory, dollarsPerHour or another resource
    most: int
    used: int

    @property
    def texts(self) -> tuple[str, str]:
        """How much at most and how much is in use, as text."""
        return _text(self.what, self.most), _text(self.what, self.used)

    def __str__(self) -> str:
        """`limits.cpu of the Pool (2000, and 1996 are there)`."""
        most, used = self.texts
        return f"limits.{self.what} of the {self.whose} ({most}; {used} in use)"


@dataclass(frozen=True, slots=True)
class Room:
    """The limits of a Pool and its NodePool, with what is there already."""

    limits: tuple[Limit, ...] = ()

    def takes(self, order: Load) -> bool:
        """Whether everything stays within the limits with this order too."""
        return not self.hindering(order)

    def hindering(self, order: Load) -> tuple[Limit, ...]:
        """The limits that this order would exceed."""
        return tuple(
            limit
            for limit in self.limits
            if order.amount(limit.what) and limit.used + order.amount(limit.what) > limit.most
        )

    def holds(self, stopped: Limit) -> bool:
        """Whether a limit that stopped an order is no higher now, and no less of it is in use."""
        return any(
            (one.whose, one.what) == (stopped.whose, stopped.what)
            and one.most <= stopped.most
            and one.used >= stopped.used
            for one in self.limits
        )

    def minus(self, order: Load) -> Self:
        """The room that is left after this order."""
        return type(self)(
            tuple(
                dataclasses.replace(limit, used=limit.used + order.amount(limit.what))
                for limit in self.limits
            )
        )

    @property
    def exceeded(self) -> tuple[Limit, ...]:
        """The limits below what exists."""
        return tuple(limit for limit in self.limits if limit.used > limit.most)


def room(pool: PoolLimits, node_pool: Mapping[str, Any], counted: Load) -> Room:
    """The room of a Pool: `node_pool` is `spec.limits` of its NodePool, `counted` what is there.

    A limit of the NodePool that cannot be read counts as zero: nothing is bought until it can.
    """
    bounds = [
        *(("Pool", what, most) for what, most in _of_pool(pool)),
        *(("NodePool", str(what), _read(str(what), text)) for what, text in node_pool.items()),
    ]
    return Room(tuple(Limit(*bound, counted.amount(bound[1])) for bound in bounds))


def _of_pool(pool: PoolLimits) -> Iterator[tuple[str, int]]:
    stated = {
        NODES: pool.nodes,
        resources.CPU: None if pool.cpu is None else units.cpu_milli(pool.cpu),
        resources.MEMORY: None if pool.memory is None else units.memory_bytes(pool.memory),
        DOLLARS: pool.microdollars_per_hour,
    }
    for what, most in stated.items():
        if most is not None:
            yield what, most


def _read(what: str, text: object) -> int:
    try:
        return units.amount(what, text if isinstance(text, int) else str(text))
    except units.QuantityError:
        return 0


def _text(what: str, amount: int) -> str:
    if what == DOLLARS:
        return f"${amount / _MICRO:.2f}"
    return units.format_bytes(amount) if what == resources.MEMORY else _plain(what, amount)


def _plain(what: str, amount: int) -> str:
    return units.format_cpu(amount) if what == resources.CPU else str(amount)
