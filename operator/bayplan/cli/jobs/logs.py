"""`bayplan logs`: prints the logs of a run's pods, as long as the pods exist."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.api import names
from bayplan.cli.errors import Negative
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient


@click.command(short_help="Print the logs of a run's pods.")
@click.argument("job")
@click.option("--run", "wanted", metavar="RUN", help="Run; by default the newest with a pod.")
@click.option("--failed", is_flag=True, help="Take the newest run that failed.")
@click.option("-c", "--container", metavar="NAME", help="Container, if the pod has several.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Print only the last N lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing while the pod writes.")
@targeted()
def logs(  # noqa: PLR0917  click hands over one parameter for each option
    job: str,
    wanted: str | None,
    failed: bool,
    container: str | None,
    tail: int | None,
    follow: bool,
    target: Target,
) -> None:
    """Print the logs of a run's pods, with all attempts in order.

    Logs live as long as their pod and its node. Exit code: 0 printed, 1 no pod of the run is left.
    """
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        chosen, pods = _pods(cluster, body, wanted, failed=failed)
        if not pods:
            raise Negative(f"no pod is left of {chosen or 'any run'} of {job}; see `bayplan runs`")
        query = [("follow", "true")] if follow else []
        query += [("tailLines", str(tail))] if tail is not None else []
        query += [("container", container)] if container else []
        out = sys.stdout.buffer
        for pod in pods:
            about = pod["metadata"]
            if len(pods) > 1:
                click.echo(f"==> {about['name']} <==", err=True)
            path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/log"
            for chunk in cluster.stream(path, query):
                out.write(chunk)
                out.flush()


def _pods(
    cluster: "ApiClient", body: Mapping[str, Any], wanted: str | None, *, failed: bool
) -> tuple[str, list[dict[str, Any]]]:
    """The chosen run and its pods, by attempt; a pod's name contains the name of its run."""
    from bayplan.api import run_names

    about = body["metadata"]
    prefix = run_names.prefix(about["name"], about["uid"])
    by_run: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for pod in cluster.listed("Pod", selector=f"{names.JOB}={names.owner_value(about['name'])}"):
        owner: Mapping[str, Any] = next(iter(pod["metadata"].get("ownerReferences") or ()), {})
        name = pod["metadata"]["name"]
        if owner.get("uid") != about["uid"] or not name.startswith(prefix):
            continue
        run, _, attempt = name[len(prefix) :].partition("-")
        number = attempt.partition("-")[0]
        by_run.setdefault(run, []).append((int(number) if number.isdecimal() else 0, pod))
    if wanted is None:
        history = (body.get("status") or {}).get("history") or ()
        bad = [one["run"] for one in history if one["outcome"] == "Failed"]
        newest = sorted(
            by_run,
            key=lambda run: max(pod["metadata"]["creationTimestamp"] for _, pod in by_run[run]),
            reverse=True,
        )
        wanted = next((run for run in newest if not failed or run in bad), "")
    pods = sorted(by_run.get(wanted, ()), key=lambda pair: (pair[0], pair[1]["metadata"]["name"]))
    return wanted, [pod for _, pod in pods]
