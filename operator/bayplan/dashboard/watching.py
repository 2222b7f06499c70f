"""Keeps a `Store` equal to what the user may see of a cluster: with lists and watches alone.

A user who may not look everywhere sees one namespace; what may not be seen at all is named, with
the server's own words.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bayplan.cluster import decode, errors, requests
from bayplan.cluster.informer import Informer
from bayplan.cluster.transport import Transport
from bayplan.dashboard.store import KINDS, Store

ASK_AGAIN_SECONDS = 60.0  # after a refusal: rights may be granted, a kind may be installed
NO_ANSWER_SECONDS = 5.0
# Karpenter, or Bayplan itself, is not installed: that is no fault of the user's rights.
NOT_DEFINED = "not defined in this cluster"
_TO_ASK = frozenset({"no-answer", "http-401", "http-403", "http-404"})


@dataclass(frozen=True, slots=True)
class Watching:
    """`namespace` is all that is looked at (empty: everywhere).

    `fallback` is the namespace of a user who may not look everywhere. `jitter` gives 0 … 1.
    """

    transport: Transport
    store: Store
    jitter: Callable[[], float]
    namespace: str = ""
    fallback: str = "default"

    async def run(self) -> None:
        """Watch all kinds until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name in KINDS:
                tasks.create_task(self._watch(kind_of(name)))

    async def _watch(self, kind: decode.Kind) -> None:
        while True:
            where = await self._where(kind)
            failed = asyncio.Event()

            def restarted(_: str, cause: str, failed: asyncio.Event = failed) -> None:
                if cause in _TO_ASK:
                    failed.set()

            watch = asyncio.ensure_future(
                Informer(
                    kind, self.transport, self.store, self.jitter, restarted, namespace=where
                ).run()
            )
            fails = asyncio.ensure_future(failed.wait())
            try:
                await asyncio.wait({watch, fails}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                watch.cancel()
                fails.cancel()
                await asyncio.gather(watch, fails, return_exceptions=True)

    async def _where(self, kind: decode.Kind) -> str:
        """The namespace to watch (empty: all), once the user may list the kind there."""
        places = [self.namespace if kind.namespaced else ""]
        if kind.namespaced and not self.namespace:
            places.append(self.fallback)
        while True:
            why, forget = "", True
            for place in places:
                try:
                    await self.transport.send(requests.list_chunk(kind.name, place, limit=1))
                except errors.NotFound:
                    why = NOT_DEFINED
                except errors.Rejected as error:
                    why = why or str(error)
                except errors.ClusterError as error:
                    why, forget = f"No answer, so this may be old: {error}", False
                else:
                    narrowed = f"Only those of namespace {place} are shown: {why}" if why else ""
                    self.store.lack(kind.name, narrowed)
                    return place
            self.store.lack(kind.name, why, forget=forget)
            pause = ASK_AGAIN_SECONDS if forget else NO_ANSWER_SECONDS
            await asyncio.sleep(pause * (0.5 + 0.5 * self.jitter()))


def kind_of(name: str) -> decode.Kind:
    return decode.EVENTS if name == "Event" else decode.kind_of(name)
