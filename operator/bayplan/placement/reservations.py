"""No starvation: who has waited long gets one node held, so that small tasks cannot pass for ever.

A hold is for a task that some node could take once runs on it have ended. Nothing new lands on the
held node but its task and, in the meantime, runs that are expected to end before the task fits
(backfill). When the task has room anywhere, the hold ends. It is decided from the snapshot and the
former holds alone: a restart reads them back from nominatedNodeName.

The law: a task for which a node is held starts once the runs have ended that were there when the
hold began. Backfill keeps it as far as runs keep to what is expected of them; one that takes longer
delays the task by as much, and from then on nothing more is let in. NOT here: preemption.
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
_NODES_PER_HOLD = 20  # of twenty nodes at most one is held, and always at least one


@dataclass(frozen=True, slots=True, eq=False)
class Starving:
    """A class that found no room: `open_` nodes refuse it for nothing but lack of resources."""

    waiting: Waiting
    key: TaskKey  # the first task without a node
    open_: BoolVector


def kept(
    holds: Mapping[TaskKey, str], waiting: Collection[Waiting], now: int, occupancy: Occupancy
) -> tuple[dict[int, Hold], list[Fault]]:
    """Row of a held node -> for whom, as far as the node is there and the task still waits.

    A hold that meets a defect of ours is not kept.
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
    """How long the task will not fit on its node, whatever ends early that may: seconds from now.

    What nobody knows the end of, or what should have ended already, may end at any moment. So the
    answer never grows but by what starts late: nobody's stay lengthens the wait.
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
    """Holds from now on: a former one while its node can still do, one a class, oldest first."""
    former = {hold.key: row for row, hold in occupancy.held.items()}
    most = max(1, len(occupancy.table.nodes) // _NODES_PER_HOLD)
    holds: dict[TaskKey, str] = {}
    taken: set[int] = set()
    by_age = sorted(starving, key=lambda one: (one.waiting.since, one.key))
    for one in by_age:
        if len(holds) == most:
            break
        if now - one.waiting.since < AFTER_SECONDS or one.waiting.kind.placement.gang:
            continue
        row = _row(one, former.get(one.key), taken, occupancy)
        if row is not None:
            taken.add(row)
            holds[one.key] = occupancy.table.nodes[row].name
    return holds


def next_at(starving: Iterable[Starving], now: int, occupancy: Occupancy) -> int | None:
    """When the next of these tasks may have a node held (epoch seconds): somebody must look then.

    Whatever else may change that rings by itself; the passing of a minute does not.
    """
    young = (
        one
        for one in starving
        if now - one.waiting.since < AFTER_SECONDS and not one.waiting.kind.placement.gang
    )
    moments = (
        one.waiting.since + AFTER_SECONDS
        for one in young
        if _row(one, None, set(), occupancy) is not None
    )
    return min(moments, default=None)


def _row(one: Starving, former: int | None, taken: set[int], occupancy: Occupancy) -> int | None:
    """The node that lacks the least of what its runs will give back; the former one if it can."""
    request = occupancy.snapshot.vector(one.waiting.kind.request)
    if request is None:
        return None
    asked = np.flatnonzero(request)
    # What landed in this very solve is not looked at: a hold that it spoils moves next time.
    room = occupancy.before[:, asked] + occupancy.snapshot.passing[:, asked]
    could = one.open_ & (room >= request[asked]).all(axis=1)
    could[list(taken)] = False
    if former is not None and could[former]:
        return former
    if not could.any():
        return None
    lack = np.maximum(request[asked] - occupancy.free[:, asked], 0) / request[asked]
    return int(np.argmin(np.where(could, lack.sum(axis=1), np.inf)))
