"""Reads the nodes, pods, DaemonSets and volumes of a cluster as manifests.

Nothing is written. If the user may not read volumes, the others are returned without them; the
simulation then assumes that every claim can be mounted.
"""

from collections.abc import Iterator

import click

from bayplan.cli import client
from bayplan.cli.errors import NoCluster, Refused
from bayplan.cli.target import Target
from bayplan.manifests import volumes
from bayplan.manifests.documents import Document

_KINDS = ("Node", "DaemonSet", "Pod", "Namespace")
_SPARED = {"Namespace"}  # needed only for labels: left out if the user may not list them


def documents(target: Target) -> Iterator[Document]:
    """The objects of the target's cluster, in all its namespaces."""
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
