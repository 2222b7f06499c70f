"""Which pods leave first, and which move, so that a Pool needs fewer nodes: data only."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bayplan.model.workloads import PodClass, TaskKey


@dataclass(frozen=True, slots=True)
class Departures:
    """Which instances of one workload leave first.

    `counts`: node -> how many of its instances are to leave there, as planned together with all
    others of the Pool. `ranks`: node -> its place among the nodes that are given back, the first
    with 0; other nodes have none. While a plan for a surplus is made, nothing leaves until
    `undecided_until` (epoch seconds).
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    ranks: Mapping[str, int] = field(default_factory=dict)
    undecided_until: int | None = None


ANY_DEPARTURE = Departures()


@dataclass(frozen=True, slots=True)
class Move:
    """A pod that is to run on another node: its successor is of class `kind` and goes to `target`.

    `owner` is the uid of its controller.
    """

    pod: TaskKey
    uid: str
    owner: str
    kind: PodClass
    target: str


@dataclass(frozen=True, slots=True)
class Vacating:
    """A node that is given back once these pods have moved, and its price in microdollars an hour.

    Without `moves` it empties by itself: its pods are runs that end, or leave in a scale-down.
    """

    node: str
    uid: str
    price: int
    moves: tuple[Move, ...] = ()
