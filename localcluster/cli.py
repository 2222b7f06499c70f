"""The command line: start a cluster, use it with kubectl, stop it.

Errors that a user can act on end in one line; anything else is a bug and shows its traceback.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from localcluster import bundles, cluster, kubelets, processes, programs, state
from localcluster.cluster import KUBELET_SHAPES, Cluster
from localcluster.control_plane import KUBERNETES_GRACE_SECONDS

_NAME = click.option("--name", default="bayplan", show_default=True, help="Which cluster.")
_EXPLAINED = (  # their messages say what to do
    programs.BuildError,
    processes.NotInTimeError,
    state.ClusterExistsError,
    state.NoSuchClusterError,
    kubelets.NotPossibleError,
    ValueError,
)


class _Explained(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what a user can act on becomes one line and exit code 1."""
        try:
            return super().invoke(ctx)
        except _EXPLAINED as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Explained)
def main() -> None:
    """A real Kubernetes control plane on this machine, without Docker."""


@main.command()
@click.argument("names", nargs=-1)
@click.option("--kind", is_flag=True, help="Also kind, which checks kind-config.yaml.")
def build(names: tuple[str, ...], *, kind: bool) -> None:
    """Build the programs into the user's cache (once; about 8 minutes on 2 cores).

    As root, the Debian packages that real nodes need are installed first. A bundle's name (spark …)
    fetches what tests of that application run.
    """
    if not names and kubelets.installable():
        click.echo(f"Installing with apt-get: {' '.join(kubelets.PACKAGES)}")
        kubelets.install()
    wanted = [*(names or programs.CLUSTER), *(["kind"] if kind else [])]
    known = [*programs.PROGRAMS, *bundles.BUNDLES]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise click.UsageError(f"no program {unknown[0]!r}; there are {', '.join(known)}")
    built = programs.build([name for name in wanted if name in programs.PROGRAMS])
    fetched = bundles.build([bundles.BUNDLES[name] for name in wanted if name in bundles.BUNDLES])
    for name, path in (built | fetched).items():
        click.echo(f"{name:24} {path}")


@main.command()
@_NAME
@click.option("--kwok", default="", help="Fake nodes: 'm5.2xlarge:us-east-1a=6,c5.xlarge:…=10'.")
@click.option("--kubelets", default=0, help="Real nodes: kubelets with containerd (root).")
@click.option(
    "--kubelet-shapes",
    default=KUBELET_SHAPES,
    show_default=True,
    help="As what the real nodes show themselves, in turn.",
)
@click.option("--scheduler", is_flag=True, help="kube-scheduler, for pods that name no other.")
@click.option("--audit", is_flag=True, help="Keep an audit log of every request.")
@click.option("--port", type=int, help="Port of the API server; else a free one.")
@click.option(
    "--apiserver-flag", "apiserver_flags", multiple=True, help="One more flag; repeatable."
)
@click.option(
    "--controller-manager-flag",
    "controller_manager_flags",
    multiple=True,
    help="One more flag; repeatable.",
)
@click.option(
    "--node-monitor-grace-seconds",
    default=KUBERNETES_GRACE_SECONDS,
    show_default=True,
    help="A silent node counts as unreachable after this.",
)
@click.option(
    "--prices",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Prices file; fake nodes are labelled with them.",
)
def start(name: str, **options: Any) -> None:
    """Start a cluster that stays until `stop`."""
    started = Cluster.start(name, stays=True, **options)
    click.echo(f"{started.server}\nexport KUBECONFIG={shlex.quote(str(started.kubeconfig))}")


@main.command()
@_NAME
@click.option("--all", "every", is_flag=True, help="Every cluster of this user.")
def stop(name: str, *, every: bool) -> None:
    """Stop a cluster, whatever state it is in, and leave nothing behind."""
    for each in state.names() if every else [name]:
        cluster.remove(each)
        click.echo(f"{each}: stopped")


@main.command()
def status() -> None:
    """Every cluster, where it answers and which of its programs run."""
    for record in state.all_records():
        running = sorted(set(processes.roles(record.folder)))
        port = record.ports["apiserver"]
        click.echo(f"{record.name}: https://127.0.0.1:{port}  {' '.join(running) or 'not running'}")


@main.command()
@_NAME
def kubeconfig(name: str) -> None:
    """Print the path of the administrator's kubeconfig."""
    click.echo(Cluster.open(name).kubeconfig)


@main.command()
@_NAME
def env(name: str) -> None:
    """Print shell lines to evaluate: KUBECONFIG, and PATH with `bayplan` and the built kubectl."""
    folders = [Path(sys.executable).parent, programs.path("kubectl").parent]
    click.echo(f"export KUBECONFIG={shlex.quote(str(Cluster.open(name).kubeconfig))}")
    click.echo(f"export PATH={shlex.quote(os.pathsep.join(map(str, folders)))}:$PATH")
