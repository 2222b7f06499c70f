"""The page with the logs of a pod."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bayplan.cli.screen.columns import Column, Row
from bayplan.cli.screen.pages import Page, Seen
from bayplan.model.untyped import mapping, sequence

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_LINES = 1_000
_MOST_BYTES = 1_000_000
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)")

TEXT = (Column("", lambda row: str(row["line"])),)  # one column without a title


def of_pod(row: Row) -> Page:
    """The last lines that each container of a pod has written."""

    def look(cluster: "ApiClient") -> Seen:
        body = cluster.get("Pod", row["name"], row["namespace"])
        return Seen(TEXT, [{"line": line} for line in _lines(cluster, body)])

    return Page(f"logs of {row['name']}", "lines", look, follows=True)


def gone(name: str) -> Page:
    """In place of logs that went with their pods."""

    def look(cluster: "ApiClient") -> Seen:
        del cluster
        line = "No pod of this run is left, so there are no logs (spec.history says how many stay)."
        return Seen(TEXT, [{"line": line}])

    return Page(f"logs of {name}", "lines", look)


def _lines(cluster: "ApiClient", body: dict[str, Any]) -> Iterator[str]:
    spec, status, about = mapping(body.get("spec")), mapping(body.get("status")), body["metadata"]
    path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/log"
    names = [mapping(one).get("name") for one in sequence(spec.get("initContainers"))]
    names += [mapping(one).get("name") for one in sequence(spec.get("containers"))]
    told = {
        mapping(one).get("name"): mapping(one)
        for key in ("initContainerStatuses", "containerStatuses")
        for one in sequence(status.get(key))
    }
    if not any(_has_written(told.get(name, {})) for name in names):
        yield "No container of this pod has started, so there are no logs."
        return
    for name in names:
        container = told.get(name, {})
        if not _has_written(container):
            continue
        before = bool(mapping(container.get("state")).get("waiting"))
        if len(names) > 1 or before:
            yield f"==> {name}{', before its restart' if before else ''} <=="
        query = [("container", str(name)), ("tailLines", str(_LINES))]
        query += [("limitBytes", str(_MOST_BYTES))]
        query += [("previous", "true")] if before else []
        yield from map(_clean, cluster.text(path, query).splitlines())


def _has_written(container: Any) -> bool:
    """Whether a container runs, has ended, or has run before it waits again."""
    now = mapping(container.get("state"))
    return bool(now.get("running") or now.get("terminated") or container.get("restartCount"))


def _clean(line: str) -> str:
    """Without colours and other commands to a terminal; tabs are blanks."""
    return _ESCAPES.sub("", line).expandtabs(4)
