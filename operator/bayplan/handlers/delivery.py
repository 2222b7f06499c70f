"""What kopf brings: every event of the custom kinds goes into the cache; nothing is decided here.

`on.event` alone is used: it writes nothing to the cluster (no finalizer, no annotation, no
patch). What kopf misses after a lost watch is healed by the lists of `cluster`, for which a new
initial listing rings (`relisted`).
"""

from collections.abc import Mapping
from typing import Any, Protocol

import kopf

from bayplan.api import names
from bayplan.api.kinds import KINDS
from bayplan.api.resource import Key


class Sink(Protocol):
    """Where deliveries go. Called from kopf's thread."""

    def put(self, body: Mapping[str, Any]) -> None: ...
    def drop(self, key: Key, uid: str) -> None: ...
    def relisted(self) -> None: ...


def register(registry: kopf.OperatorRegistry, sink: Sink) -> None:
    """Let kopf deliver the custom kinds from this registry into this sink."""
    for kind in KINDS:
        kopf.on.event(
            names.GROUP, names.VERSION, kind.plural, registry=registry, id=f"deliver-{kind.plural}"
        )(_Delivery(kind.name, sink).deliver)


class _Delivery:
    """One kind's events, in the order in which kopf hands them over."""

    def __init__(self, kind: str, sink: Sink) -> None:
        self._kind = kind
        self._sink = sink
        self._watched = False

    async def deliver(self, *, event: Mapping[str, Any], **_: object) -> None:
        """A type of None comes from a list: after watched events it means kopf listed again."""
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
