"""What a cluster holds now, as manifests: its nodes, pods, DaemonSets and volumes.

Read, never written. Who may not read volumes gets the rest: claims are taken to be mountable then.
"""

from collections.abc import Iterator

import click

from bayplan.cli import client
from bayplan.cli.errors import NoCluster, Refused
from bayplan.cli.target import Target
from bayplan.manifests import volumes
from bayplan.manifests.documents import Document

_KINDS = ("Node", "DaemonSet", "Pod", "Namespace")
_SPARED = {"Namespace"}  # for their labels alone: who may not list them does without


def documents(target: Target) -> Iterator[Document]:
    """Objects of the cluster that is meant, of all its namespaces."""
    where = f"cluster {target.context}" if target.context else "the current cluster"
    try:
        bodies = list(_listed(target))
    except NoCluster as error:
        raise NoCluster(f"{where}: {error}") from error
    for body in bodies:
        yield Document(where, body, live=True)


def _listed(target: Target) -> Iterator[client.Body]:
    with client.connected(target) as cluster:
        for kind in _KINDS:
            try:
                yield from cluster.listed(kind, "")
            except Refused:
                if kind not in _SPARED:
                    raise
        for kind in sorted(volumes.KINDS):
            try:
                yield from cluster.listed(kind, "")
            except Refused as refused:
                click.echo(f"without each {kind} of the cluster: {refused}", err=True)
