"""Which empty nodes stay because their room is the headroom of the Pool."""

from collections.abc import Iterable
from dataclasses import dataclass

from bayplan.model.resources import NOTHING, Vector


@dataclass(frozen=True, slots=True)
class Spare:
    """A node of the Pool that takes pods: its free room, and whether it has none of them now."""

    node: str
    free: Vector
    empty: bool
    microdollars: int = 0


def kept(nodes: Iterable[Spare], headroom: Vector) -> frozenset[str]:
    """The empty nodes that the headroom needs, the cheapest first. O(n log n)."""
    every = list(nodes)
    there = NOTHING
    for one in every:
        if not one.empty:
            there += one.free
    found: set[str] = set()
    for one in sorted(every, key=lambda one: (one.microdollars, one.node)):
        if headroom.fits(there):
            break
        if one.empty and any(one.free.amount(what) for what in headroom.exceeding(there)):
            there += one.free
            found.add(one.node)
    return frozenset(found)
