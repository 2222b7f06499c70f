"""`bayplan run`: asks for a run now, by an annotation that the operator copies to the status."""

import json
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.errors import Negative
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted
from bayplan.inputs import InputError

if TYPE_CHECKING:
    from bayplan.cli.client import ApiClient

_LOOK_SECONDS = 1.0
_LONGEST_ARGUMENTS = 4096


@click.command(short_help="Start a run now.")
@click.argument("job", shell_complete=name_completion.jobs)
@click.argument("arguments", nargs=-1, metavar="[-- ARG...]")
@click.option("-e", "--env", multiple=True, metavar="NAME=VALUE", help="Variable for this run.")
@click.option("--wait", is_flag=True, help="Wait until the run ends; exit code 1 if it failed.")
@click.option("--seconds", type=click.FloatRange(1), default=3600.0, show_default=True,
              help="How long to wait.")  # fmt: skip
@targeted()
@printing.formatted
def run(  # noqa: PLR0917  click hands over one parameter for each option
    job: str,
    arguments: tuple[str, ...],
    env: tuple[str, ...],
    wait: bool,
    seconds: float,
    target: Target,
    output: str,
) -> None:
    """Start a run of JOB now, even if JOB is suspended; the words after -- replace its arguments.

    Exit code: 0 done, 1 the run failed (with --wait), 2 wrong arguments, 3 the cluster refused.
    """
    from bayplan.api import run_names

    changed: dict[str, Any] = {}
    if arguments:
        changed["args"] = list(arguments)
    if env:
        changed["env"] = _variables(env)
    text = json.dumps(changed) if changed else None
    if text is not None and len(text) > _LONGEST_ARGUMENTS:
        raise InputError("arguments", f"longer than {_LONGEST_ARGUMENTS} characters as JSON")
    token = f"cli-{time.time_ns():x}-{secrets.token_hex(3)}"
    name = run_names.token_run(token)
    with connected(target, names.BATCHJOB, job) as (cluster, body):
        cluster.annotate(names.BATCHJOB, body, {names.RUN_NOW: token, names.RUN_NOW_ARGS: text})
        outcome = _outcome(cluster, body, name, seconds) if wait else {}
    where = f"{body['metadata']['namespace']}/{body['metadata']['name']}"
    ended = f"{outcome['outcome']} ({outcome.get('reason', '')})" if outcome else "asked for"
    printing.said(
        output, "run", {"run": name, "token": token, **outcome}, f"{where} run {name}: {ended}"
    )
    if wait and outcome["outcome"] != "Succeeded":
        click.get_current_context().exit(1)


def _variables(env: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in env:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError("--env", f"{text!r} is not NAME=VALUE")
        found[name] = value
    return found


def _outcome(
    cluster: "ApiClient", body: Mapping[str, Any], run: str, seconds: float
) -> dict[str, Any]:
    """The finished run, from the status; looks once a second, `Negative` after `seconds`."""
    ends = time.monotonic() + seconds
    while True:
        now = cluster.get(names.BATCHJOB, body["metadata"]["name"])
        for one in (now.get("status") or {}).get("history") or ():
            if one["run"] == run:
                return dict(one)
        if time.monotonic() >= ends:
            raise Negative(f"run {run} has not ended within {seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)
