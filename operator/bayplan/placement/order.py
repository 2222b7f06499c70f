"""Who is placed first: priority, then how long it has waited, then its name.

Total and deterministic: two orders of the same tasks give the same plan.
"""

from collections.abc import Sequence

from bayplan.model.workloads import TaskKey, Waiting


def ordered(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Highest priority first, among equals the longest wait, then the name of its first task."""
    return sorted((group for group in waiting if group.keys), key=_rank)


def _rank(group: Waiting) -> tuple[int, int, TaskKey]:
    return -group.kind.priority, group.since, group.keys[0]
