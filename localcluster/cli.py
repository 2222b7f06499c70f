"""The command line."""

import shlex

import click

from localcluster import cluster, processes, programs, state
from localcluster.cluster import Cluster

_NAME = click.option("--name", default="bayplan", show_default=True, help="Which cluster.")
_ROLES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok")


@click.group(help=__doc__)
def main() -> None:
    """Errors that a user can act on end in one line."""


@main.command()
@click.argument("names", nargs=-1)
def build(names: tuple[str, ...]) -> None:
    """Build the programs (once; about 8 minutes on 2 cores) into the user's cache."""
    for name, path in programs.build(names or programs.CLUSTER).items():
        click.echo(f"{name:24} {path}")


@main.command()
@_NAME
@click.option("--kwok", default="", help='Fake nodes: "m5.2xlarge:us-east-1a=6,c5.xlarge:…=10".')
@click.option("--scheduler", is_flag=True, help="kube-scheduler, for pods that name none.")
@click.option("--audit", is_flag=True, help="Keep an audit log.")
@click.option("--port", type=int, help="Port of the API server.")
def start(name: str, kwok: str, scheduler: bool, audit: bool, port: int | None) -> None:
    """Start a cluster that stays until `stop`."""
    started = Cluster.start(
        name, kwok=kwok, scheduler=scheduler, audit=audit, port=port, stays=True
    )
    click.echo(f"{started.server}\nexport KUBECONFIG={shlex.quote(str(started.kubeconfig))}")


@main.command()
@_NAME
@click.option("--all", "every", is_flag=True, help="Every cluster of this user.")
def stop(name: str, every: bool) -> None:
    """Stop a cluster and leave nothing behind."""
    for each in [record.name for record in state.all_records()] if every else [name]:
        cluster.remove(each)
        click.echo(f"{each}: stopped")


@main.command()
def status() -> None:
    """Every cluster and which of its programs run."""
    for record in state.all_records():
        running = [role for role in _ROLES if processes.marked(record.folder, role)]
        port = record.ports["apiserver"]
        click.echo(f"{record.name}: https://127.0.0.1:{port}  {' '.join(running) or 'not running'}")


@main.command()
@_NAME
def kubeconfig(name: str) -> None:
    """The path of the administrator's kubeconfig."""
    click.echo(Cluster.open(name).kubeconfig)


@main.command()
@_NAME
def env(name: str) -> None:
    """Shell lines to be evaluated: KUBECONFIG, and PATH with the kubectl that was built."""
    kubectl = programs.path("kubectl").parent
    click.echo(f"export KUBECONFIG={shlex.quote(str(Cluster.open(name).kubeconfig))}")
    click.echo(f"export PATH={shlex.quote(str(kubectl))}:$PATH")
