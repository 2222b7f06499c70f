"""Reads BatchJobs with their pods, so that what commands say of runs is never behind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from bayplan.api import names
from bayplan.cli import printing
from bayplan.cli.errors import Refused

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.model.pods import Pod


@dataclass(frozen=True, slots=True)
class LiveJobs:
    """BatchJobs with the status that their pods show, and these pods.

    Without the right to list pods, the stored statuses have to do: then `pods` is None, and
    `behind` says so.
    """

    bodies: list[dict[str, Any]]
    pods: "list[Pod] | None"
    behind: str = ""

    def warn(self) -> None:
        """Say on standard error if the statuses may be behind."""
        if self.behind:
            click.echo(printing.plain(self.behind), err=True)


def job_as_now(cluster: "ApiClient", body: Mapping[str, Any]) -> dict[str, Any]:
    """The BatchJob, with the status that its pods show; a warning if it may be behind."""
    found = live_job(cluster, body)
    found.warn()
    return found.bodies[0]


def live_job(cluster: "ApiClient", body: Mapping[str, Any]) -> LiveJobs:
    """One BatchJob and its pods."""
    about = body["metadata"]
    selector = f"{names.JOB}={names.owner_value(about['name'])}"
    return _live(cluster, [body], selector, about["namespace"])


def live_jobs(
    cluster: "ApiClient", bodies: Sequence[Mapping[str, Any]], namespace: str | None = None
) -> LiveJobs:
    """The BatchJobs of a namespace (None: those chosen; empty: all) and their pods."""
    return _live(cluster, bodies, names.JOB, namespace)


def _live(
    cluster: "ApiClient",
    bodies: Sequence[Mapping[str, Any]],
    selector: str,
    namespace: str | None,
) -> LiveJobs:
    from bayplan.reports.live_jobs import as_now

    try:
        pods = cluster.pods(selector, namespace) if bodies else []
    except Refused as refused:
        behind = f"as the status says, which may be behind: {refused}"
        return LiveJobs([dict(body) for body in bodies], None, behind)
    return LiveJobs(as_now(bodies, pods, printing.now()), pods)
