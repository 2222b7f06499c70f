"""`bayplan dashboard`: a page on this machine that shows the cluster, or a file, and no more."""

import asyncio
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bayplan.cli.target import Target, context_name, named_by_context, targeted
from bayplan.inputs import InputError

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command(short_help="Open a page that shows nodes, money, jobs, services and Pools.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True,
              help="Port on 127.0.0.1; 0 takes a free one.")  # fmt: skip
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
@click.option("--from", "file", type=_FILE, metavar="FILE",
              help="Show a support bundle, a plan (simulate -o json) or a recording.")  # fmt: skip
@click.option("--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="Write what is seen, to be shown later with --from.")  # fmt: skip
@targeted(of_namespace="Show this namespace only; by default all that you may see.")
def dashboard(
    port: int, opens: bool, file: Path | None, record: Path | None, target: Target
) -> None:
    """Serve a page on this machine that shows the cluster with your own rights.

    It prints a link. The page shows every node with its pods, what they cost, what waits and why,
    jobs and their runs, services, Pools, and what the operator decided. It never changes anything:
    it gets, lists and watches, and shows commands to copy. Secrets, variables and commands of
    containers are not shown. Only the browser that opened the link may read it. Ctrl-C ends it.

    Exit code: 0 ended by Ctrl-C, 2 wrong usage, 3 the cluster's address or credentials are unknown.
    """
    from bayplan.dashboard import files, running  # --help answers at once

    if file is not None and record is not None:
        raise click.UsageError("--from shows a file and --record writes one; give one of them")

    def ready(link: str) -> None:
        click.echo(link)
        if opens and not shown:
            webbrowser.open(link)
        shown.append(link)

    shown: list[str] = []
    if file is not None:
        recording = files.read(file)
        asyncio.run(running.show_recording(recording, file.name, port, ready))
        return
    cluster = running.Cluster(
        target.kubeconfig,
        target.context,
        target.namespace or "",
        named_by_context(target),
        context_name(target),
    )
    try:
        asyncio.run(running.show_cluster(cluster, _explain(target), port, ready, record))
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def _explain(target: Target) -> Any:
    """As `bayplan explain`, for the page; it runs in a thread and has a client of its own."""

    def asked(kind: str, namespace: str, name: str) -> Mapping[str, Any]:
        from bayplan.cli import client
        from bayplan.cli.packing import explain, explain_page, node_page, pool_page
        from bayplan.dashboard.server import Untold

        where = Target(namespace or None, target.context, target.kubeconfig)
        try:
            with client.connected(where) as cluster:
                if kind == "Node":
                    told = node_page.account(cluster, f"node/{name}")
                    return {"lines": list(node_page.lines(told))}
                if kind == "Pool":
                    told = pool_page.account(cluster, f"pool/{name}")
                    return {"lines": list(pool_page.lines(told))}
                found = explain.explained(cluster, kind, cluster.get(kind, name, namespace), "")
                waiting = found.pop("waiting")  # the page draws it
                return {
                    "lines": explain_page.lines({**found, "waiting": (), "events": ()}),
                    "waiting": waiting,
                }
        except (click.ClickException, InputError) as error:
            raise Untold(str(error)) from error

    return asked
