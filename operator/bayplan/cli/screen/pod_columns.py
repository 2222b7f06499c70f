"""The columns of pods: what state they are in, what they ask for, where they are."""

from bayplan.cli.printing import age, epoch, now
from bayplan.cli.screen.columns import Column, Row
from bayplan.units import format_bytes

_GOOD = frozenset({"Running", "Succeeded", "Completed"})
_PASSING = frozenset({"Pending", "ContainerCreating", "PodInitializing", "Init", "Terminating"})


def _colour(row: Row) -> str:
    state = row["state"]
    return "green" if state in _GOOD else "yellow" if state in _PASSING else "red"


def _cpu(row: Row) -> str:
    milli = row["cpuMilli"]
    return f"{milli / 1000:g}" if milli is not None else "?"


def _memory(row: Row) -> str:
    size = row["memoryBytes"]
    return format_bytes(size) if size is not None else "?"


def _age(row: Row) -> str:
    created = epoch(row["createdAt"])
    return age(now() - created) if created is not None else ""


def columns(*, node: bool) -> tuple[Column, ...]:
    """The columns of pods; `node` tells whether they are on several nodes."""
    where = (Column("Node", lambda row: row["node"] or "none"),) if node else ()
    return (
        Column("Namespace", lambda row: str(row["namespace"]), names=True),
        Column("Pod", lambda row: str(row["name"]), names=True),
        Column("State", lambda row: str(row["state"]), style=_colour),
        *where,
        Column("CPU", _cpu, right=True),
        Column("Memory", _memory, right=True),
        Column("Ready", lambda row: f"{row['ready']}/{row['containers']}", right=True),
        Column("Restarts", lambda row: str(row["restarts"]), right=True),
        Column("Age", _age, right=True),
        Column("Owner", lambda row: str(row["owner"]), wide=True),
    )
