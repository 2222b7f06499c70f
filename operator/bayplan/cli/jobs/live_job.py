"""Reads BatchJobs with their pods, so that what commands say of runs is never behind."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bayplan.api import names
from bayplan.cli import printing
from bayplan.cli.errors import Refused

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.model.pods import Pod


def job_as_now(cluster: "ApiClient", body: Mapping[str, Any]) -> dict[str, Any]:
    """The BatchJob, with the status that its pods show."""
    [found], _ = jobs_and_pods(cluster, [body], only=body)
    return found


def jobs_as_now(cluster: "ApiClient", bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The BatchJobs of the chosen namespaces, each with the status that its pods show.

    Without the right to list pods, the stored statuses have to do.
    """
    from bayplan.reports.live_jobs import as_now

    try:
        pods = cluster.pods(names.JOB) if bodies else []
    except Refused:
        return [dict(body) for body in bodies]
    return as_now(bodies, pods, printing.now())


def jobs_and_pods(
    cluster: "ApiClient", bodies: Sequence[Mapping[str, Any]], only: Mapping[str, Any] | None = None
) -> tuple[list[dict[str, Any]], "list[Pod] | None"]:
    """The BatchJobs as their pods show them, and these pods; None without the right to list pods.

    `only`: the one BatchJob whose pods are wanted; else those of the chosen namespaces.
    """
    from bayplan.reports.live_jobs import as_now

    selector, namespace = names.JOB, None
    if only is not None:
        about = only["metadata"]
        selector = f"{names.JOB}={names.owner_value(about['name'])}"
        namespace = about["namespace"]
    try:
        pods = cluster.pods(selector, namespace)
    except Refused as refused:
        click.echo(f"as the status says, which may be behind: {refused}", err=True)
        return [dict(body) for body in bodies], None
    return as_now(bodies, pods, printing.now()), pods
