"""The order in which tasks are placed: priority, then how long they have waited, then the name.

The order is total and deterministic: the same tasks in any order give the same plan.
"""

from collections.abc import Sequence

from bayplan.model.workloads import TaskKey, Waiting


def ordered(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Highest priority first; then the longest wait; then by the name of the first task."""
    return sorted((group for group in waiting if group.keys), key=_rank)


def _rank(group: Waiting) -> tuple[int, int, TaskKey]:
    return -group.kind.priority, group.since, group.keys[0]
