"""What a job may know of the jobs that it names as parents: their successes, and who leads to whom.

Only what their stored statuses tell, so that a restart changes nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bayplan.api.batchjob import BatchJobSpec
from bayplan.api.resource import Key, Resource
from bayplan.reconcile import conditions
from bayplan.reconcile.ledger import Success, fulfilled_of

MOST_ANCESTORS = 1000

Find = Callable[[str], Resource | None]  # a BatchJob of the namespace by name


@dataclass(frozen=True, slots=True)
class ParentSummary:
    """A parent as its stored status tells it; `successes` has the newest first.

    `once`: it runs when it is created and never again by itself.
    """

    successes: tuple[Success, ...] = ()
    once: bool = False
    suspended: bool = False
    failed: bool = False  # its last run, and that counts


@dataclass(frozen=True, slots=True)
class Kin:
    """The parents that exist, by name. `cycle` is the way from the job back to itself."""

    parents: Mapping[str, ParentSummary] = field(default_factory=dict)
    cycle: tuple[str, ...] = ()


ALONE = Kin()


def kin(job: Resource, find: Find) -> Kin:
    """What is known around a job; O(ancestors), nothing for a job without parents."""
    names = parents_of(job)
    if not names:
        return ALONE
    found = {name: find(name) for name in names}
    parents = {
        name: summary(one) for name, one in found.items() if one is not None and not one.deleting
    }
    return Kin(parents, cycle(job.name, lambda name: parents_of(find(name))))


def parents_of(job: Resource | None) -> tuple[str, ...]:
    """The names of a job's parents; none of one that is not there or cannot be read."""
    if job is None or not isinstance(job.spec, BatchJobSpec):
        return ()
    return tuple(parent.name for parent in job.spec.parents)


def summary(parent: Resource) -> ParentSummary:
    spec = parent.spec if isinstance(parent.spec, BatchJobSpec) else None
    stored = parent.status.get("conditions")
    soft = spec is not None and spec.treat_failure_as_success
    return ParentSummary(
        successes=fulfilled_of(parent.status),
        once=spec is not None and spec.runs_once,
        suspended=conditions.status_of(stored, conditions.SUSPENDED) == "True",
        failed=conditions.status_of(stored, conditions.LAST_RUN_SUCCEEDED) == "False" and not soft,
    )


def cycle(name: str, parents: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """A shortest way from a job over parents back to itself; empty when there is none.

    Looks at MOST_ANCESTORS at most.
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
    """Which jobs name which as a parent, looked up from the parent's side."""

    _parents: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    _children: dict[Key, set[Key]] = field(default_factory=dict)

    def link(self, job: Key, parents: tuple[str, ...]) -> None:
        """What a job names now; nothing when it has gone. O(its parents)."""
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
        """All jobs that lead back to this one, MOST_ANCESTORS at most; `near`: its children."""
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
