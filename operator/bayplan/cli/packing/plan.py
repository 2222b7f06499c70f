"""`bayplan plan`: what the operator would do now, on the live cluster. Nothing is written."""

from collections import Counter
from typing import Any

import click

from bayplan.cli.printing import data, formatted, is_data, now, plain, table
from bayplan.cli.target import Target, targeted


@click.command(short_help="What Bayplan would do now; nothing is written.")
@targeted(everywhere=True)
@click.option("--node-selector", default="", help="The operator's own setting; empty: all nodes.")
@formatted
def plan(node_selector: str, target: Target, output: str) -> None:
    """Run one cycle of the operator's own loop on the live cluster, and print instead of writing.

    Lists pods that would be created, bound or deleted, and what waits and why. Without a namespace
    the whole cluster. Exit code: 0 everything has a place, 1 something waits for room, 3 the
    cluster refused.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.reports.plan import changes
    from bayplan.scheduler import dry_run

    with client.connected(target) as cluster:
        found = dry_run.session(cluster, now(), node_selector)
    told = changes(found, target.namespace or "")
    if is_data(output):
        data(output, "plan", told)
    else:
        _print(told, wide=output == "wide")
    click.get_current_context().exit(1 if told["waiting"] else 0)


def _print(told: dict[str, Any], *, wide: bool) -> None:
    """Pods of one workload that go to one node are one line; wide: each its own."""
    if wide:
        rows = [
            (one["action"], one["of"], f"{one['namespace']}/{one['pod']}", one["node"] or "-")
            for one in told["changes"]
        ]
        headings = ("action", "workload", "pod", "node")
    else:
        groups = Counter((one["action"], one["of"], one["node"] or "-") for one in told["changes"])
        rows = [(what, of, str(count), node) for (what, of, node), count in groups.items()]
        headings = ("action", "workload", "pods", "node")
    if rows:
        click.echo(table(headings, rows), nl=False)
    else:
        click.echo("Nothing to do.")
    for one in told["waiting"]:
        click.echo(plain(f"no room for {one['pods']} of {one['of']}: {one['message']}"))
    for name in told["unreadable"]:
        click.echo(plain(f"left out, cannot be read: {name}"), err=True)
