"""`bayplan restart`: asks by an annotation to replace every instance of a service."""

import datetime as dt

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted


@click.command(short_help="Replace all instances of a service, as an update does.")
@click.argument("service", shell_complete=name_completion.services)
@targeted()
@printing.formatted
def restart(service: str, target: Target, output: str) -> None:
    """Replace every instance of SERVICE by its update strategy, with the present template."""
    moment = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    with connected(target, names.LONGSERVICE, service) as (cluster, body):
        cluster.annotate(names.LONGSERVICE, body, {names.RESTARTED_AT: moment})
    printing.said(output, "restart", {"restartedAt": moment}, f"{service} restarts")
