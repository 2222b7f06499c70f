"""What a cluster holds now, as manifests: its nodes, pods, DaemonSets and volumes.

Read, never written. Who may not read volumes gets the rest: claims are taken to be mountable then.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import click

from bayplan.cli.errors import NoCluster
from bayplan.manifests import volumes
from bayplan.manifests.documents import Document

_KINDS = ("Node", "DaemonSet", "Pod", "Namespace")
_SPARED = {"Namespace"}  # for their labels alone: who may not list them does without
_CHUNK = 500
_MOST_CHUNKS = 1_000


def documents(context: str | None) -> Iterator[Document]:
    """Objects of the current cluster, or of another context of the kubeconfig."""
    from bayplan.cluster import errors  # only when needed

    where = f"cluster {context}" if context else "the current cluster"
    try:
        bodies = asyncio.run(_listed(context))
    except (errors.ClusterError, OSError) as error:
        raise NoCluster(f"{where}: {str(error) or type(error).__name__}") from error
    for body in bodies:
        yield Document(where, body, live=True)


async def _listed(context: str | None) -> list[dict[str, Any]]:
    # kubernetes and aiohttp take most of a second to load: only who asks for a cluster waits.
    import msgspec

    from bayplan.cluster import errors, requests, transport

    async with await transport.HttpTransport.connect(context=context, connections=2) as wire:

        async def all_of(kind: str) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = []
            token = ""
            for _ in range(_MOST_CHUNKS):
                request = requests.list_chunk(kind, limit=_CHUNK, token=token)
                try:
                    answer = msgspec.json.decode(await wire.send(request))
                except errors.Rejected:
                    if kind in _SPARED:
                        break
                    raise
                found += [{**item, "kind": kind} for item in answer.get("items") or ()]
                token = (answer.get("metadata") or {}).get("continue") or ""
                if not token:
                    break
            return found

        found = [body for kind in _KINDS for body in await all_of(kind)]
        for kind in sorted(volumes.KINDS):
            try:
                found += await all_of(kind)
            except errors.Rejected as refused:
                click.echo(f"without each {kind} of the cluster: {refused}", err=True)
        return found
