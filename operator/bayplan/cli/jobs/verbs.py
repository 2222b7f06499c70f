"""Verbs of BatchJobs: each writes one annotation, which the operator takes into the status.

Nothing of a spec is written, so a GitOps tool has nothing to put back.
"""

import json
import secrets
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.api import names
from bayplan.cli import output as output_
from bayplan.cli.errors import Negative
from bayplan.cli.target import Target, connected, targeted
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_FOR_EVER = "9999-12-31T23:59:59Z"
_LOOK_SECONDS = 1.0
_LONGEST_ARGUMENTS = 4096


@click.command(short_help="Start a run now.")
@click.argument("job")
@click.argument("arguments", nargs=-1, metavar="[-- ARG...]")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="A variable of this run.")
@click.option("--wait", is_flag=True, help="Until the run has ended; exit code 1 if it failed.")
@click.option("--seconds", type=click.FloatRange(1), default=3600.0, show_default=True,
              help="How long to wait.")  # fmt: skip
@targeted()
@output_.formatted
def run(  # noqa: PLR0917  click hands over one parameter for each option
    job: str,
    arguments: tuple[str, ...],
    env: tuple[str, ...],
    wait: bool,
    seconds: float,
    target: Target,
    output: str,
) -> None:
    """Start one run of JOB now, suspended or not; what follows -- replaces its arguments.

    Exit code: 0, 1 the run failed (with --wait), 2 wrong arguments, 3 the cluster refused.
    """
    from bayplan.api import run_names

    told: dict[str, Any] = {}
    if arguments:
        told["args"] = list(arguments)
    if env:
        told["env"] = _variables(env)
    text = json.dumps(told) if told else None
    if text is not None and len(text) > _LONGEST_ARGUMENTS:
        raise InputError("arguments", f"longer than {_LONGEST_ARGUMENTS} characters as JSON")
    token = f"cli-{time.time_ns():x}-{secrets.token_hex(3)}"
    name = run_names.token_run(token)
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        cluster.annotate(names.BATCHJOB, body, {names.RUN_NOW: token, names.RUN_NOW_ARGS: text})
        outcome = _outcome(cluster, body, name, seconds) if wait else {}
    where = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
    ended = f"{outcome['outcome']} ({outcome.get('reason', '')})" if outcome else "asked for"
    output_.said(
        output, "run", {"run": name, "token": token, **outcome}, f"{where} run {name}: {ended}"
    )
    if wait and outcome["outcome"] != "Succeeded":
        click.get_current_context().exit(1)


def _variables(env: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for one in env:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise InputError("--env", f"{one!r} is not NAME=VALUE")
        found[name] = value
    return found


def _outcome(
    cluster: "ApiClient", body: Mapping[str, Any], run: str, seconds: float
) -> dict[str, Any]:
    """The finished run; looks once a second."""
    ends = time.monotonic() + seconds
    while True:
        now = cluster.get(names.BATCHJOB, body["metadata"]["name"])
        for one in (now.get("status") or {}).get("history") or ():
            if one["run"] == run:
                return dict(one)
        if time.monotonic() >= ends:
            raise Negative(f"run {run} has not ended within {seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)


@click.command(short_help="Runs of a job: unfinished ones and the last that ended.")
@click.argument("job")
@targeted()
@output_.formatted
def runs(job: str, target: Target, output: str) -> None:
    """List unfinished runs of JOB, then the last ten that ended, the newest first."""
    with connected(target, names.BATCHJOB, job) as (_, body):
        status = body.get("status") or {}
    rows = [{**_told(one), "state": _active(one)} for one in status.get("active") or ()]
    rows += [{**_told(one), "state": one["outcome"]} for one in status.get("history") or ()]
    if output_.is_data(output):
        output_.data(output, "runs", {"runs": rows, "statistics": status.get("statistics") or {}})
        return
    headings = ["run", "state", "slot", "started", "took", "attempts", "reason"]
    wide = ["exit code", "node", "pods", "detail"] if output == "wide" else []
    table = []
    for one in rows:
        attempts = one["attempt"] + 1 if "attempt" in one else one.get("attempts", "")
        row = [one["run"], one["state"], one.get("slotTime"), one.get("startTime"), _took(one),
               attempts, one.get("reason")]  # fmt: skip
        more = [one.get("exitCode"), one.get("node"), ",".join(one.get("pods") or ()),
                one.get("detail")]  # fmt: skip
        table.append([*row, *(more if wide else [])])
    click.echo(output_.table([*headings, *wide], table) if table else "No run yet.\n", nl=False)


def _told(one: Mapping[str, Any]) -> Mapping[str, Any]:
    """A run without the start that never was: older operators stored a kubelet's 1970."""
    never = "startTime" in one and output_.epoch(one["startTime"]) is None
    return {name: value for name, value in one.items() if not (never and name == "startTime")}


def _active(one: Mapping[str, Any]) -> str:
    if one.get("retryTime"):
        return f"Retrying at {one['retryTime']}"
    return "Running" if _told(one).get("startTime") else "Starting"


def _took(one: Mapping[str, Any]) -> str:
    start, end = output_.epoch(one.get("startTime")), output_.epoch(one.get("endTime"))
    if start is None:
        return ""
    return output_.age((output_.now() if end is None else end) - start)


@click.command(short_help="Logs of a run's pods.")
@click.argument("job")
@click.option("--run", "wanted", metavar="RUN", help="This run; the newest with a pod unless told.")
@click.option("--failed", is_flag=True, help="The newest that failed.")
@click.option("-c", "--container", metavar="NAME", help="Of several containers.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Only the last lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on while the pod writes.")
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
    """Print what pods of a run wrote, all attempts in order.

    Logs live as long as pod and node do. Exit code: 0, 1 no pod of such a run is left.
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
    """The run meant and its pods, by attempt; every pod knows its run by name."""
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


@click.command(short_help="Start no scheduled run until resumed, or until a time.")
@click.argument("job")
@click.option("--until", metavar="TIME|DURATION", help="2h, 2026-01-31T06:00Z; for ever if absent.")
@targeted()
@output_.formatted
def pause(job: str, until: str | None, target: Target, output: str) -> None:
    """Start no scheduled run of JOB; what runs goes on, and `bayplan run` works."""
    from bayplan.api.times import rfc3339
    from bayplan.cli import moment
    from bayplan.schedules import zones

    text = _FOR_EVER
    if until is not None:
        text = rfc3339(moment.until("--until", until, output_.now(), zones.zone("UTC")))
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        cluster.annotate(names.BATCHJOB, body, {names.PAUSED_UNTIL: text})
    shown = "resumed" if until is None else text
    output_.said(output, "pause", {"pausedUntil": text}, f"{job} is paused until {shown}")


@click.command(short_help="End a pause.")
@click.argument("job")
@targeted()
@output_.formatted
def resume(job: str, target: Target, output: str) -> None:
    """End a pause of JOB at once. Scheduled times that passed meanwhile are not made up for."""
    from bayplan.api.times import rfc3339

    with connected(target, names.BATCHJOB, job) as (cluster, body):
        cluster.annotate(names.BATCHJOB, body, {names.PAUSED_UNTIL: rfc3339(0)})
        suspended = bool(body["spec"].get("suspend"))
    output_.said(output, "resume", {"suspended": suspended}, f"{job} is resumed")
    if suspended:
        click.echo("its spec says `suspend: true`: no scheduled run starts", err=True)


@click.command(short_help="End an unfinished run; its pod goes.")
@click.argument("job")
@click.argument("name", metavar="[RUN]", required=False)
@targeted()
@output_.formatted
def cancel(job: str, name: str | None, target: Target, output: str) -> None:
    """End RUN, or the only unfinished run of JOB. It is not tried again.

    Exit code: 0, 1 no such run is unfinished.
    """
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        active = [one["run"] for one in (body.get("status") or {}).get("active") or ()]
        chosen = only(job, name, active, "unfinished")
        cluster.annotate(names.BATCHJOB, body, {names.CANCEL_RUN: chosen})
    output_.said(output, "cancel", {"run": chosen}, f"{job} run {chosen} is to end")


@click.command("mark-success", short_help="Let a run count as a success.")
@click.argument("job")
@click.argument("name", metavar="RUN")
@targeted()
@output_.formatted
def mark_success(job: str, name: str, target: Target, output: str) -> None:
    """Let RUN of JOB count as a success: children run, and the row of failures ends.

    Exit code: 0, 1 no such run is in the status.
    """
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        status = body.get("status") or {}
        known = [one["run"] for key in ("active", "history") for one in status.get(key) or ()]
        chosen = only(job, name, known, "known")
        cluster.annotate(names.BATCHJOB, body, {names.MARK_SUCCESS: chosen})
    output_.said(output, "mark-success", {"run": chosen}, f"{job} run {chosen} counts as a success")


def only(job: str, name: str | None, runs: list[str], what: str) -> str:
    """The run named, or the only one there is."""
    if name is None and len(runs) == 1:
        return runs[0]
    if name is None or name not in runs:
        told = ", ".join(runs) or "none"
        asked = "name one" if name is None else f"{name} is not"
        raise Negative(f"{asked}: {what} runs of {job}: {told}")
    return name
