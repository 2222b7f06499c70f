"""The columns of BatchJobs and LongServices."""

from collections.abc import Callable

from bayplan.cli.screen.columns import Column, Row


def _said(key: str) -> Callable[[Row], str]:
    return lambda row: "" if row[key] is None else str(row[key])


def _counted(title: str, key: str) -> Column:
    return Column(title, _said(key), right=True)


def _median(row: Row) -> str:
    seconds = row["runSecondsP50"]
    return f"{seconds} s" if seconds is not None else ""


def _result(row: Row) -> str:
    return {"Failed": "red", "Succeeded": "green"}.get(row["result"], "")


def _status(row: Row) -> str:
    return "" if row["ready"] >= row["wanted"] else "yellow"


_NAMES = (
    Column("Namespace", _said("namespace"), names=True),
    Column("Name", _said("name"), names=True),
)

JOBS = (
    *_NAMES,
    Column("Next", _said("next")),
    Column("Result", _said("result"), style=_result),
    _counted("Running", "running"),
    _counted("Waiting", "waiting"),
    Column("Run p50", _median, right=True),
)

_SERVICES = (
    *_NAMES,
    _counted("Wanted", "wanted"),
    Column("Ready", _said("ready"), right=True, style=_status),
    _counted("Updated", "updated"),
    _counted("Waiting", "waiting"),
    Column("Status", _said("status")),
)


def services(*, drifted: bool) -> tuple[Column, ...]:
    """The columns of services; few have instances that drifted, so that column may be left out."""
    return (*_SERVICES, _counted("Drifted", "drifted")) if drifted else _SERVICES
