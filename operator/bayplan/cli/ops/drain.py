"""`bayplan drain`: empties a node; services keep their instances and runs may finish."""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bayplan.cli import name_completion
from bayplan.cli.target import Target, targeted

if TYPE_CHECKING:
    from bayplan.cli.ops import drain_steps  # --help answers at once

_NOT_EMPTY = 1


@click.command(short_help="Empty a node: services move first, and runs may finish.")
@click.argument("node", shell_complete=name_completion.nodes)
@click.option(
    "--move-seconds",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="How long the operator may take to replace instances; then they are evicted.",
)
@click.option(
    "--run-seconds",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="How long runs of BatchJobs may go on; then they are evicted and run again.",
)
@click.option("--seconds", type=click.FloatRange(0), default=1800.0, show_default=True,
              help="How long to try in all.")  # fmt: skip
@click.option(
    "--force",
    is_flag=True,
    help="Evict also pods that nothing would create again, or whose volumes are here only.",
)
@targeted(
    everywhere=True,
    of_namespace="Accepted but not used; pods of all namespaces leave the node.",
    of_all="Accepted but not needed; pods of all namespaces leave the node.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")
def drain(  # noqa: PLR0917  click hands over one parameter for each option
    node: str,
    move_seconds: float,
    run_seconds: float,
    seconds: float,
    force: bool,
    target: Target,
    output: str,
) -> None:
    """Cordon NODE, let the operator move services, let runs finish, evict what remains.

    An instance of a LongService goes when its replacement on another node is healthy. Evictions
    respect disruption budgets; refused evictions are tried again until the time is over.
    DaemonSets' pods stay. A pod whose volume exists on this node only stays and is named, without
    --force. The node stays cordoned. Exit code: 0 empty, 1 not empty in time, 2 wrong usage, 3 the
    cluster refused.
    """
    from bayplan.cli import client  # --help answers at once
    from bayplan.cli.ops import drain_steps

    for option, given in (("--move-seconds", move_seconds), ("--run-seconds", run_seconds)):
        if given > seconds:
            raise click.UsageError(
                f"{option} {given:g} is longer than --seconds {seconds:g}: raise --seconds"
            )
    order = drain_steps.Order(node, move_seconds, run_seconds, seconds, force=force)
    try:
        with client.connected(target, drain_steps.PATIENCE_SECONDS) as cluster, _shown() as shown:
            done = drain_steps.carry_out(order, cluster, shown)
    except drain_steps.NeedsForce as error:
        raise click.UsageError(f"{node}: {error}; add --force to evict them too") from error
    if output == "json":
        click.echo(json.dumps({"schema": "bayplan.dev/drain/v1", **done.as_json()}))
    else:
        click.echo(_told(done))
    sys.exit(0 if done.empty else _NOT_EMPTY)


def _told(done: "drain_steps.Drain") -> str:
    """The outcome, and each pod that remains with its reason."""
    figures = done.as_json()
    counts = (
        f"{figures['instancesMoved']} instances moved, {figures['runsFinished']} runs finished, "
        f"{figures['evicted']} pods evicted"
    )
    if done.empty:
        return (
            f"{done.node} is empty after {done.seconds:.0f} s: {counts}\n"
            f"It stays cordoned; kubectl uncordon {done.node} lets pods in again"
        )
    rest = [f"  {pod.kind.value} {pod.label} {done.why(pod)}" for pod in done.there]
    return "\n".join(
        [f"{done.node} is not empty after {done.seconds:.0f} s: {counts}; these remain", *rest]
    )


@contextlib.contextmanager
def _shown() -> Iterator["drain_steps.Shown"]:
    """Shows progress on standard error: a bar on a terminal, otherwise a line for each change."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.table import Column

    console = Console(stderr=True)
    if not console.is_terminal:
        last = ""

        def line(state: "drain_steps.Drain") -> None:
            nonlocal last
            text = f"{state.gone} of {len(state.seen)} pods gone; {state.summary()}"
            if text != last and not state.empty:
                last = text
                click.echo(text, err=True)

        yield line
        return
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    # No markup: the text may contain messages of the API server.
    said = TextColumn("{task.description}", markup=False, table_column=rest)
    columns = (BarColumn(20), MofNCompleteColumn(), Elapsed(), said)
    with Progress(*columns, console=console, transient=True, expand=True) as progress:
        bar = progress.add_task("", total=None)

        def turn(state: "drain_steps.Drain") -> None:
            total = len(state.seen)
            text = state.summary()
            progress.update(bar, completed=state.gone, total=total, description=text)

        yield turn
