"""`bayplan logs`: prints the logs of a run's pods, as long as the pods exist."""

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.errors import Negative, NoCluster
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient
    from bayplan.reports.runs import Attempt


@click.command(short_help="Print the logs of a run's pods.")
@click.argument("job", shell_complete=name_completion.jobs)
@click.option("--run", "wanted", metavar="RUN", help="Run; by default the newest with a pod.")
@click.option("--failed", is_flag=True, help="Take the newest run that failed.")
@click.option("--attempt", type=click.IntRange(1), metavar="N",
              help="Print only the Nth attempt; the first is 1.")  # fmt: skip
@click.option("-c", "--container", metavar="NAME", help="Container, if the pod has several.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Print only the last N lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing while the pod writes.")
@targeted()
def logs(  # noqa: PLR0917  click hands over one parameter for each option
    job: str,
    wanted: str | None,
    failed: bool,
    attempt: int | None,
    container: str | None,
    tail: int | None,
    follow: bool,
    target: Target,
) -> None:
    """Print the logs of a run's pods, with all attempts in order.

    Logs live as long as their pod and its node: of failed attempts spec.history.failed keeps the
    newest. Exit code: 0 printed, 1 no such pod is left, 3 the cluster could not give any log.
    """
    from bayplan.reports.live_jobs import as_now
    from bayplan.reports.runs import attempts, of_job

    with connected(target, names.BATCHJOB, job) as (cluster, stored):
        about, now = stored["metadata"], printing.now()
        selector = f"{names.JOB}={names.owner_value(about['name'])}"
        pods = cluster.pods(selector, about["namespace"])
        [body] = as_now([stored], pods, now)
        rows = of_job(body, pods, now)
        row = _chosen(rows, wanted, failed=failed)
        if row is None:
            raise Negative(_nothing(job, rows, wanted, failed=failed))
        there = attempts(body, pods).get(row["run"], [])
        gone = _gone(row, there, attempt)
        chosen = [one for one in there if attempt in {None, one.number + 1}]
        if not chosen:
            raise Negative(f"no pod is left of {_said(row, attempt)} of {job}: {_why(body)}"
                           f"{_others(rows, row)}")  # fmt: skip
        if gone:
            click.echo(f"{_listed(gone)} of run {row['run']} left no pod: {_why(body)}", err=True)
        query = [("follow", "true")] if follow else []
        query += [("tailLines", str(tail))] if tail is not None else []
        query += [("container", container)] if container else []
        _print(cluster, chosen, query, headed=len(chosen) > 1 or bool(gone))


def _print(
    cluster: "ApiClient", chosen: Sequence["Attempt"], query: list[tuple[str, str]], *, headed: bool
) -> None:
    """Print all logs that the cluster gives; if it gives none, its first error is raised."""
    out = sys.stdout.buffer
    errors: list[NoCluster] = []
    for one in chosen:
        pod = one.pod
        if headed:
            click.echo(f"==> {pod.name}: {_ending(one)} <==", err=True)
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/log"
        try:
            for chunk in cluster.stream(path, query):
                out.write(chunk)
                out.flush()
        except NoCluster as error:
            errors.append(error)
            if headed:
                click.echo(printing.plain(f"no log: {error.message}"), err=True)
    if len(errors) == len(chosen):
        raise errors[0]


def _chosen(
    rows: Iterable[Mapping[str, Any]], wanted: str | None, *, failed: bool
) -> Mapping[str, Any] | None:
    """The run that is meant: the named one, the newest that failed, or the newest with a pod."""
    if wanted is not None:
        return next((row for row in rows if row["run"] == wanted), None)
    if failed:
        return next((row for row in rows if row["wentWrong"] and row["state"] != "Missed"), None)
    with_pods = [row for row in rows if row["logs"]]
    return max(with_pods, key=_begun, default=None)


def _nothing(
    job: str, rows: Collection[Mapping[str, Any]], wanted: str | None, *, failed: bool
) -> str:
    """Why there is no run to choose."""
    see = f"see `bayplan runs {job}`"
    if wanted is not None:
        return f"run {wanted} of {job} is not known, and no pod is left of {wanted}; {see}"
    if failed:
        return f"no run of {job} that is known has failed; {see}"
    if not rows:
        return f"{job} has had no run yet"
    return f"no pod is left of any run of {job}; {see}"


def _begun(row: Mapping[str, Any]) -> int:
    return max(printing.epoch(row.get(name)) or 0 for name in ("startTime", "slotTime", "since"))


def _gone(row: Mapping[str, Any], there: Iterable["Attempt"], attempt: int | None) -> list[int]:
    """Which attempts of the run, counted from 1, have no pod any more."""
    from bayplan.reports.runs import attempts_of

    left = {one.number + 1 for one in there}
    every = range(1, (attempts_of(row) or 0) + 1)
    return [number for number in every if number not in left and attempt is None]


def _said(row: Mapping[str, Any], attempt: int | None) -> str:
    """A run in words, such as `attempt 2 of run s1 (Failed, ExitCode, exit code 3, on n1)`."""
    code, node = row.get("exitCode"), row.get("node")
    about = [
        row["state"],
        row.get("reason"),
        f"exit code {code}" if code is not None else "",
        f"on {node}" if node else "",
        f"ended {row['endTime']}" if row.get("endTime") else "",
    ]
    of = f"attempt {attempt} of " if attempt is not None else ""
    return f"{of}run {row['run']} ({', '.join(filter(None, about))})"


def _why(body: Mapping[str, Any]) -> str:
    """Why a pod may be gone: what the job keeps."""
    spec = body.get("spec") or {}
    history = spec.get("history") or {}
    keeps = (
        f"spec.history keeps {history.get('failed', 3)} failed and "
        f"{history.get('successful', 3)} successful ones"
    )
    ttl = spec.get("ttlSecondsAfterFinished")
    return f"{keeps}{f', for {ttl} s' if ttl is not None else ''}, as long as their node lives"


def _others(rows: Iterable[Mapping[str, Any]], chosen: Mapping[str, Any]) -> str:
    """The next run that went wrong and has a pod, to ask for instead."""
    other = next(
        (one for one in rows if one["logs"] and one["wentWrong"] and one is not chosen), None
    )
    return f"; --run {other['run']} ({other['state']}) has logs" if other else ""


def _listed(numbers: Sequence[int]) -> str:
    word = "attempt" if len(numbers) == 1 else "attempts"
    return f"{word} {', '.join(map(str, numbers))}"


def _ending(one: "Attempt") -> str:
    """`attempt 2, exit code 3` of a pod."""
    ending = one.pod.ending
    code = f", exit code {ending.exit_code}" if ending.exit_code is not None else ""
    return f"attempt {one.number + 1}{code}"
