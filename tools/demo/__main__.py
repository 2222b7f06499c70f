"""`python -m tools.demo [--picture FILE]`, `--down`: start, show, leave up; or stop what is up.

A demo that is up already is replaced. Errors that a user can act on end in one line.
"""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from localcluster import kubelets, processes, programs
from localcluster.api import ApiError
from tools.demo import company, mirror, poster, rival, scene, screen, site

_WATCHED_SECONDS = 120
_EXPLAINED = (  # their messages say what to do
    ApiError,
    OSError,
    kubelets.NotPossibleError,
    processes.NotInTimeError,
    programs.BuildError,
    site.OperatorEndedError,
    subprocess.SubprocessError,
)
_INTERRUPTED = 130


@click.command()
@click.option("--down", is_flag=True, help="Stop the demo's cluster and the operator on it.")
@click.option(
    "--picture",
    "to",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also draw the comparison with kube-scheduler into this SVG file.",
)
def main(*, down: bool, to: Path | None) -> None:
    """Bayplan's main job on a real local cluster, beside kube-scheduler."""
    on = screen.console()
    try:
        if down:
            was_up = site.is_up()
            site.stop()
            on.print("Stopped." if was_up else "Nothing is up.")
        else:
            _run(on, to)
    except _EXPLAINED as error:
        sys.exit(f"demo: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        on.print("Interrupted." + (" The cluster is up; `make down` stops it." * site.is_up()))
        sys.exit(_INTERRUPTED)


def _run(on: Console, to: Path | None) -> None:
    began = time.monotonic()
    if site.is_up():
        with _step(on, began, "stopped the demo that was up"):
            site.stop()
    programs.build()
    real_nodes = _has_real_nodes(on)
    kinds = "24 nodes shaped like four EC2 types" + (", 2 real kubelets" * real_nodes)
    with _step(on, began, f"cluster {site.NAME}: real control plane, {kinds}"):
        cluster = site.start(real_nodes=real_nodes)
    with _step(on, began, "CRDs, the operator's account and rights"):
        site.install(cluster)
    with _step(on, began, "operator: python -m bayplan, under its own account"):
        operator = site.Operator(cluster)
        operator.await_leading(cluster)
    bodies = [company.adapted(one, real_nodes=real_nodes) for one in company.manifests()]
    with _step(on, began, f"kubectl apply -f examples/data-company/: {len(bodies)} objects"):
        site.apply(cluster, bodies)
    with mirror.Mirror(cluster.kubeconfig, scene.PATHS) as held:
        with screen.Progress(on, began) as progress:
            seen, awaited = scene.play(
                cluster,
                held,
                check=operator.check,
                show=progress.show,
                within_seconds=_WATCHED_SECONDS,
            )
        last = scene.look(held)
    fullest = seen.fullest or last
    if awaited:
        on.print(f"Not seen within {_WATCHED_SECONDS} s: {', '.join(awaited)}.")
    screen.tables(on, fullest, last, seen.exit_codes)
    pods = fullest.comparable_pods
    with _step(on, began, f"the same {len(pods)} pods on an identical cluster with kube-scheduler"):
        theirs, without_room = rival.placed(pods)
    screen.comparison(on, fullest, theirs, without_room)
    if to is not None:
        drawn = poster.drawn(fullest.comparable_nodes, theirs, len(pods))
        to.write_text(drawn, encoding="utf-8")
    screen.what_next(on, last, cluster.kubeconfig, operator.metrics_port)
    on.print(f"\nTook {screen.clock(time.monotonic() - began)} minutes.")


def _has_real_nodes(on: Console) -> bool:
    """Whether real kubelets can be had; what they need is installed where this user may."""
    if kubelets.installable():
        on.print(f"Installing with apt-get, for real nodes: {' '.join(kubelets.PACKAGES)}")
        try:
            kubelets.install()
        except subprocess.CalledProcessError:
            on.print("apt-get failed.")
    why = site.why_no_real_nodes()
    if why:
        on.print(f"Fake nodes only: {why}.")
    return not why


@contextlib.contextmanager
def _step(on: Console, began: float, what: str) -> Iterator[None]:
    """A spinner on a terminal while it lasts; one line when it is done."""
    with on.status(what) if on.is_terminal else contextlib.nullcontext():
        yield
    on.print(f"{screen.clock(time.monotonic() - began)}  {what}")


if __name__ == "__main__":
    main()
