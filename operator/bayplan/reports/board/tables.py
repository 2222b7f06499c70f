"""Tables of rows by key, and the difference between two states of them.

A page keeps the tables that it was sent once, and applies each difference to them.
"""

from collections.abc import Mapping
from typing import Any

Row = tuple[Any, ...]  # the values of a table's columns; each is JSON
Table = Mapping[str, Row]
Tables = Mapping[str, Table]
Delta = dict[str, dict[str, Any]]  # table -> {"set": {key: row}, "gone": [key]}

# The columns of each table. CPU is in milli-CPU, memory in bytes, money in microdollars an hour,
# times in epoch seconds (0: not known).
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "nodes": (
        "name", "type", "zone", "capacity", "pool", "state", "price", "priceSource",
        "cpu", "memory", "pods", "created", "keptBy", "nodePool",
    ),
    "pods": (
        "namespace", "name", "node", "owner", "cpu", "memory", "phase", "created",
        "reason", "message", "resident", "scheduler",
    ),
    "waste": ("node", "cpu", "memory", "fullOf", "cost"),
    "costs": ("namespace", "workload", "pods", "cost", "unpriced"),
    "jobs": (
        "namespace", "name", "schedule", "zone", "status", "next", "last", "result", "running",
        "waiting", "message", "parents", "failures", "runs", "upcoming", "suspended",
    ),
    "services": (
        "namespace", "name", "status", "wanted", "ready", "updated", "available", "waiting",
        "message", "current", "update", "rollout", "trouble",
    ),
    "pools": (
        "name", "mode", "status", "message", "cost", "bound", "planned", "waiting", "next",
        "unavailable", "blocked", "claims", "moves", "nodePool", "groups",
    ),
    "claims": ("name", "pool", "type", "zone", "state", "created", "message"),
    "decisions": (
        "time", "type", "reason", "note", "kind", "namespace", "name", "count",
    ),
    "lacks": ("kind", "why"),
}  # fmt: skip


def difference(before: Tables, after: Tables) -> Delta:
    """What has to be applied to `before` so that it equals `after`; empty if they are equal."""
    found: Delta = {}
    for name in before.keys() | after.keys():
        old, new = before.get(name, {}), after.get(name, {})
        changed = {key: row for key, row in new.items() if old.get(key) != row}
        gone = [key for key in old if key not in new]
        if changed or gone:
            found[name] = {"set": changed, "gone": gone}
    return found


def applied(tables: Tables, delta: Delta) -> dict[str, dict[str, Row]]:
    """The tables after a difference, as the page computes them."""
    found = {name: dict(rows) for name, rows in tables.items()}
    for name, change in delta.items():
        rows = found.setdefault(name, {})
        for key in change["gone"]:
            rows.pop(key, None)
        rows.update(change["set"])
    return found
