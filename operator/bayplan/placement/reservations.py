"""No starvation: a long-waiting task gets a node held, so that small tasks cannot always pass it.

A hold is for a task that some node could take once runs on that node have ended. Nothing new lands
on the held node except its task and, in the meantime, runs that are expected to end before the task
fits (backfill). The hold ends when the task has room anywhere. Holds are decided from the snapshot
and the former holds alone: after a restart they are read back from nominatedNodeName.

The law: a task with a held node starts once the runs that were there when the hold began have
ended. Backfill keeps this law if runs end when they are expected to; a run that takes longer delays
the task by as much, and from then on nothing more is let in. NOT here: preemption.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bayplan.model.workloads import Fault, TaskKey, Waiting
from bayplan.placement.occupancy import Hold, Occupancy

BoolVector = npt.NDArray[np.bool_]
IntVector = npt.NDArray[np.int64]
IntMatrix = npt.NDArray[np.int64]

AFTER_SECONDS = 60
_CLOSING = 1e6  # more than a task can lack
_NODES_PER_HOLD = 20  # at most one node in twenty is held, but one hold is always allowed


@dataclass(frozen=True, slots=True, eq=False)
class Starving:
    """A class that found no room: `open_` nodes refuse it only for lack of resources."""

    waiting: Waiting
    key: TaskKey  # the first task without a node
    open_: BoolVector


def kept(
    holds: Mapping[TaskKey, str], waiting: Collection[Waiting], now: int, occupancy: Occupancy
) -> tuple[dict[int, Hold], list[Fault]]:
    """Row of a held node -> its `Hold`, if the node still exists and the task still waits.

    A hold that meets a defect of ours is not kept; it is among the returned faults.
    """
    found: dict[int, Hold] = {}
    faults: list[Fault] = []
    if not holds:
        return found, faults
    groups = {key: group for group in waiting for key in group.keys if key in holds}
    rows = occupancy.snapshot.rows
    asked = any(group.lasts is not None for group in waiting)
    for key, group in groups.items():
        name = holds[key]
        if name not in rows:
            continue
        try:
            spare = _spare(group, name, now, occupancy) if asked else 0
        except Exception as error:  # noqa: BLE001  one of them must not stop all the others
            faults.append(Fault("hold", "/".join(key), error))
        else:
            found[rows[name]] = Hold(key, group, spare)
    return found, faults


def _spare(waiting: Waiting, name: str, now: int, occupancy: Occupancy) -> int:
    """Seconds from now for which the task cannot fit on its node, even if pods there end early.

    A pod whose end is unknown or overdue may end at any moment. So the result grows only by pods
    that start late; a pod that stays longer does not lengthen the wait.
    """
    request = occupancy.snapshot.vector(waiting.kind.request)
    if request is None:
        return 0
    lack = np.where(request > 0, request - occupancy.free[occupancy.snapshot.rows[name]], 0)
    leaving = [
        (max(pod.ends_at or now, now) - now, pod.request)
        for pod in occupancy.snapshot.pods_on(name)
        if pod.passing
    ]
    spare = 0
    for seconds, given in sorted(leaving, key=lambda end: end[0]):
        if (lack <= 0).all():
            break
        spare = seconds
        lack -= np.array([given.amount(column) for column in occupancy.snapshot.columns])
    return spare if (lack <= 0).all() else 0


def renewed(starving: Iterable[Starving], now: int, occupancy: Occupancy) -> dict[TaskKey, str]:
    """Holds from now on: a former hold while its node will do, one per class, oldest first."""
    former = {hold.key: row for row, hold in occupancy.held.items()}
    most = max(1, len(occupancy.table.nodes) // _NODES_PER_HOLD)
    holds: dict[TaskKey, str] = {}
    taken: set[int] = set()
    by_age = sorted(starving, key=lambda one: (one.waiting.since, one.key))
    for one in by_age:
        if len(holds) == most:
            break
        if now - one.waiting.since < AFTER_SECONDS or _needs_more(one):
            continue
        row = _row(one, former.get(one.key), taken, occupancy)
        if row is not None:
            taken.add(row)
            holds[one.key] = occupancy.table.nodes[row].name
    return holds


def next_at(starving: Iterable[Starving], now: int, occupancy: Occupancy) -> int | None:
    """When the next of these tasks may get a hold (epoch seconds): the caller must look then.

    Every other change wakes the scheduler by itself; the passing of time does not.
    """
    young = (
        one for one in starving if now - one.waiting.since < AFTER_SECONDS and not _needs_more(one)
    )
    moments = (
        one.waiting.since + AFTER_SECONDS
        for one in young
        if _row(one, None, set(), occupancy) is not None
    )
    return min(moments, default=None)


def _needs_more(one: Starving) -> bool:
    """Whether a node for the task alone does not help it."""
    kind = one.waiting.kind
    return kind.placement.gang or kind.companions is not None


def _row(one: Starving, former: int | None, taken: set[int], occupancy: Occupancy) -> int | None:
    """Row of the node that lacks least and can fit it once runs end; the former one if it can."""
    request = occupancy.snapshot.vector(one.waiting.kind.request)
    if request is None:
        return None
    asked = np.flatnonzero(request)
    # What landed in this very solve is ignored: if it spoils a hold, the hold moves next time.
    room = occupancy.before[:, asked] + occupancy.snapshot.passing[:, asked]
    if occupancy.awaited:
        room -= occupancy.room_kept()[:, asked]
    could = one.open_ & (room >= request[asked]).all(axis=1)
    could[list(taken)] = False
    if former is not None and could[former]:
        return former
    if not could.any():
        return None
    lack = (np.maximum(request[asked] - occupancy.free[:, asked], 0) / request[asked]).sum(axis=1)
    if occupancy.closing is not None:
        lack += occupancy.closing * _CLOSING
    return int(np.argmin(np.where(could, lack, np.inf)))
