"""The columns of the runs of a BatchJob."""

from bayplan.cli.printing import age, epoch, now
from bayplan.cli.screen.columns import Column, Row
from bayplan.reports.runs import attempts_of

_COLOURS = {"Succeeded": "green", "Failed": "red", "Missed": "red", "AttemptFailed": "red"}


def _age(key: str, row: Row) -> str:
    moment = epoch(row.get(key))
    return f"{age(now() - moment)} ago" if moment is not None else ""


def _took(row: Row) -> str:
    start, end = epoch(row.get("startTime")), epoch(row.get("endTime"))
    return "" if start is None else age((now() if end is None else end) - start)


def _said(row: Row, key: str) -> str:
    return "" if row.get(key) is None else str(row[key])


def _logs(row: Row) -> str:
    if "logs" not in row:
        return ""
    return str(len(row["logs"])) if row["logs"] else "gone"


COLUMNS = (
    Column("Run", lambda row: str(row["run"]), names=True),
    Column(
        "State", lambda row: str(row["state"]), style=lambda row: _COLOURS.get(row["state"], "")
    ),
    Column("Started", lambda row: _age("startTime", row), right=True),
    Column("Took", _took, right=True),
    Column("Reason", lambda row: _said(row, "reason")),
    Column("Exit code", lambda row: _said(row, "exitCode"), right=True),
    Column("Attempts", lambda row: str(attempts_of(row) or ""), right=True),
    Column("Pods", _logs, right=True),
    Column("Slot", lambda row: _said(row, "slotTime")),
    Column("Node", lambda row: _said(row, "node")),
    Column("Detail", lambda row: _said(row, "detail"), wide=True),
)
