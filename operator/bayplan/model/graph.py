"""Which job waits for which: circles, and the descendants of a resource."""

from collections.abc import Callable
from dataclasses import dataclass, field

Key = tuple[str, str, str]  # kind, namespace, name
MOST_ANCESTORS = 1000


def cycle(name: str, parents: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """A shortest path from a job over its parents back to itself; empty when there is none.

    Visits at most MOST_ANCESTORS jobs.
    """
    ways: dict[str, tuple[str, ...]] = {}
    near: list[tuple[str, ...]] = [(name,)]
    while near and len(ways) < MOST_ANCESTORS:
        further = []
        for way in near:
            for parent in parents(way[-1]):
                if parent == name:
                    return (*way, name)
                if parent not in ways:
                    ways[parent] = (*way, parent)
                    further.append(ways[parent])
        near = further
    return ()


@dataclass(slots=True, eq=False)
class Lineage:
    """Which jobs name which parents, so that a parent's children can be looked up."""

    _parents: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    _children: dict[Key, set[Key]] = field(default_factory=dict)

    def link(self, job: Key, parents: tuple[str, ...]) -> None:
        """Set the parents that a job names now; none when the job has gone. O(its parents)."""
        before = self._parents.get(job, ())
        if before == parents:
            return
        for key in self._keys(job, before):
            self._children[key].discard(job)
            if not self._children[key]:
                del self._children[key]
        for key in self._keys(job, parents):
            self._children.setdefault(key, set()).add(job)
        self._parents[job] = parents
        if not parents:
            del self._parents[job]

    def descendants(self, job: Key, *, near: bool = False) -> frozenset[Key]:
        """At most MOST_ANCESTORS jobs that descend from this job; `near`: only its children."""
        found: set[Key] = set()
        further = [job]
        while further and len(found) < MOST_ANCESTORS:
            children = self._children.get(further.pop(), set()) - found
            found |= children
            further += () if near else children
        return frozenset(found)

    @staticmethod
    def _keys(job: Key, parents: tuple[str, ...]) -> set[Key]:
        kind, namespace, _ = job
        return {(kind, namespace, parent) for parent in parents}
