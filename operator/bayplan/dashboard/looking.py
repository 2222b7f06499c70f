"""One object in full, without what nobody needs to see: no variables, commands or Secrets."""

import json
from collections.abc import Mapping
from typing import Any

from bayplan.cluster import errors, requests
from bayplan.cluster.transport import Request, Transport
from bayplan.dashboard.server import Untold
from bayplan.model.untyped import mapping, sequence

SHOWN = frozenset({"Node", "Pod", "BatchJob", "LongService", "Pool", "NodeClaim"})
_MOST_EVENTS = 50


class Looking:
    """Asks the API server for an object and for its events, with the user's own rights."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def look(self, kind: str, namespace: str, name: str) -> Mapping[str, Any]:
        if kind not in SHOWN or "/" in namespace + name:
            raise Untold(f"The dashboard shows no {kind} {name}.")
        try:
            body = await self._read(requests.get(kind, namespace, name))
        except errors.ClusterError as error:
            raise Untold(str(error)) from error
        return {**pruned(body), "kind": kind, "events": await self._events(body, namespace)}

    async def _events(self, body: Mapping[str, Any], namespace: str) -> list[dict[str, Any]]:
        uid = str(mapping(body.get("metadata")).get("uid") or "")
        request = requests.list_chunk(
            "Event", namespace or "default", limit=_MOST_EVENTS, fields=f"regarding.uid={uid}"
        )
        try:
            found = await self._read(request)
        except errors.ClusterError:
            return []  # the object itself is worth showing
        return [_event(one) for one in map(mapping, sequence(found.get("items")))]

    async def _read(self, request: Request) -> Mapping[str, Any]:
        return mapping(json.loads(await self._transport.send(request)))


def pruned(body: Mapping[str, Any]) -> dict[str, Any]:
    """Names, labels and status of an object; of its spec nothing."""
    about, status = mapping(body.get("metadata")), mapping(body.get("status"))
    return {
        "name": about.get("name"),
        "namespace": about.get("namespace", ""),
        "created": about.get("creationTimestamp"),
        "labels": dict(mapping(about.get("labels"))),
        "annotations": {
            key: str(value)[:1000]
            for key, value in mapping(about.get("annotations")).items()
            if key.startswith(("bayplan.dev/", "karpenter.sh/"))
        },
        "conditions": [
            {key: one.get(key) for key in ("type", "status", "reason", "message")}
            for one in map(mapping, sequence(status.get("conditions")))
        ],
        "containers": [
            {key: one.get(key) for key in ("name", "ready", "restartCount", "state", "lastState")}
            for one in map(mapping, sequence(status.get("containerStatuses")))
        ],
    }


def _event(one: Mapping[str, Any]) -> dict[str, Any]:
    series = mapping(one.get("series"))
    return {
        "time": series.get("lastObservedTime") or one.get("eventTime")
        or one.get("deprecatedLastTimestamp"),
        "type": one.get("type"),
        "reason": one.get("reason"),
        "note": one.get("note"),
        "by": one.get("reportingController"),
    }  # fmt: skip
