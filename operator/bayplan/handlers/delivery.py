"""Puts every event of the custom kinds that kopf delivers into the cache; decides nothing.

Only `on.event` is used, because it writes nothing to the cluster (no finalizer, no annotation, no
patch). Events that kopf misses after a lost watch are repaired by the lists of `cluster`; a new
initial listing triggers them (`relisted`).
"""

from collections.abc import Mapping
from typing import Any, Protocol

import kopf

from bayplan.api import names
from bayplan.api.kinds import KINDS
from bayplan.api.resource import Key


class Sink(Protocol):
    """Receives deliveries. Its methods are called from kopf's thread."""

    def put(self, body: Mapping[str, Any]) -> None: ...
    def drop(self, key: Key, uid: str) -> None: ...
    def relisted(self) -> None: ...


def register(registry: kopf.OperatorRegistry, sink: Sink) -> None:
    """Register handlers so that kopf delivers the custom kinds to the sink."""
    for kind in KINDS:
        kopf.on.event(
            names.GROUP, names.VERSION, kind.plural, registry=registry, id=f"deliver-{kind.plural}"
        )(_Delivery(kind.name, sink).deliver)


class _Delivery:
    """Delivers the events of a kind, in kopf's order."""

    def __init__(self, kind: str, sink: Sink) -> None:
        self._kind = kind
        self._sink = sink
        self._watched = False

    async def deliver(self, *, event: Mapping[str, Any], **_: object) -> None:
        """Deliver an event. Type None comes from a list; after watch events kopf listed again."""
        body = event["object"]
        if event["type"] is None and self._watched:
            self._watched = False
            self._sink.relisted()
        elif event["type"] is not None:
            self._watched = True
        if event["type"] == "DELETED":
            metadata = body["metadata"]
            key = (self._kind, metadata["namespace"], metadata["name"])
            self._sink.drop(key, metadata["uid"])
        else:
            self._sink.put({"kind": self._kind, **body})
