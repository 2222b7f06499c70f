"""`bayplan scale`: sets how many instances a service has. A GitOps tool may undo that."""

import click

from bayplan.api import names
from bayplan.cli import name_completion, printing
from bayplan.cli.named_object import connected
from bayplan.cli.target import Target, targeted

_MOST_REPLICAS = 10_000


@click.command(short_help="Set how many instances a service has.")
@click.argument("service", shell_complete=name_completion.services)
@click.argument("replicas", type=click.IntRange(0, _MOST_REPLICAS))
@targeted()
@printing.formatted
def scale(service: str, replicas: int, target: Target, output: str) -> None:
    """Set the number of instances of SERVICE through its scale subresource; 0 suspends it."""
    with connected(target, names.LONGSERVICE, service) as (cluster, body):
        cluster.patch(names.LONGSERVICE, body, {"spec": {"replicas": replicas}}, "scale")
    before = body["spec"].get("replicas", 1)
    values = {"before": before, "replicas": replicas}
    printing.said(output, "scale", values, f"{service}: {replicas} wanted, {before} before")
