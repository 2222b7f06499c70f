"""A small API server in memory: what it stores, how it answers, what its watches show.

It knows what the operator asks of pods, nodes and the two custom kinds, with the answers of a
real one where the operator relies on them: uid preconditions, resourceVersions, finalizers, grace,
names that are taken. It validates nothing else and admits everything.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from bayplan.api.times import rfc3339
from bayplan.cluster import errors, requests
from bayplan.cluster.transport import Request

Key = tuple[str, str]  # namespace, name
Body = dict[str, Any]

encode = msgspec.json.encode
decode = msgspec.json.decode

GRACE_SECONDS = 30


class Refused(Exception):  # noqa: N818  an answer, not an error of ours
    """An answer of 400 or more."""

    def __init__(self, status: int, reason: str, message: str = "", field: str = "") -> None:
        super().__init__(f"{status} {reason}")
        causes = [{"field": field}] if field else []
        said = {"message": message or reason, "reason": reason, "details": {"causes": causes}}
        self.status, self.body = status, encode(said)


@dataclass(slots=True)
class Store:
    """`now` is the server's clock; `told` hears of each change: kind, key, before, after, verb."""

    now: Callable[[], int]
    told: Callable[[str, Key, Body | None, Body | None, str], None]
    version: int = 1000
    stored: dict[str, dict[Key, Body]] = field(default_factory=dict)
    _raw: dict[tuple[str, Key], bytes] = field(default_factory=dict)
    _events: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    _versions: dict[str, list[int]] = field(default_factory=dict)
    _compacted: dict[str, int] = field(default_factory=dict)
    _uids: int = 0
    _waiting: dict[str, asyncio.Event] = field(default_factory=dict)

    def of(self, kind: str) -> dict[Key, Body]:
        return self.stored.setdefault(kind, {})

    def copy(self, kind: str, key: Key) -> Body:
        """An object to be changed and put back."""
        raw = self._raw.get((kind, key))
        if raw is None:
            raise Refused(404, "NotFound")
        return cast("Body", decode(raw))

    # ---- changes ----------------------------------------------------------------------------

    def create(self, kind: str, body: Body, verb: str = "create") -> bytes:
        metadata = body["metadata"]
        key = metadata.get("namespace", ""), metadata["name"]
        if key in self.of(kind):
            raise Refused(409, "AlreadyExists")
        self._uids += 1
        # As of a random uid the first characters differ.
        metadata["uid"] = f"{self._uids * 40_503 % 2**20:05x}-{self._uids:06}"
        metadata["generation"] = 1
        metadata["creationTimestamp"] = rfc3339(self.now())
        return self._put(kind, key, body, "ADDED", verb)

    def replace(self, kind: str, key: Key, body: Body, verb: str) -> bytes:
        """Store what `copy` gave; an object that is going goes when nothing holds it."""
        before = self.of(kind)[key]
        if body == before:
            return self._raw[kind, key]
        metadata = body["metadata"]
        if body.get("spec") != before.get("spec"):
            metadata["generation"] = before["metadata"].get("generation", 1) + 1
        going = (
            metadata.get("deletionTimestamp") and metadata.get("deletionGracePeriodSeconds") == 0
        )
        if going and not metadata.get("finalizers"):
            return self.remove(kind, key, body, verb)
        return self._put(kind, key, body, "MODIFIED", verb)

    def remove(self, kind: str, key: Key, body: Body, verb: str) -> bytes:
        before = self.of(kind).pop(key)
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        raw = encode(body)
        del self._raw[kind, key]
        self._publish(kind, "DELETED", raw)
        self.told(kind, key, before, None, verb)
        return raw

    def _put(self, kind: str, key: Key, body: Body, word: str, verb: str) -> bytes:
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        before = self.of(kind).get(key)
        raw = encode(body)
        self.of(kind)[key] = body
        self._raw[kind, key] = raw
        self._publish(kind, word, raw)
        self.told(kind, key, before, body, verb)
        return raw

    def _publish(self, kind: str, word: str, raw: bytes) -> None:
        events = self._events.setdefault(kind, [])
        events.append((self.version, b'{"type":"%b","object":%b}\n' % (word.encode(), raw)))
        self._versions.setdefault(kind, []).append(self.version)
        event = self._waiting.pop(kind, None)
        if event is not None:
            event.set()

    def compact(self) -> None:
        """Forget what happened: watches that are behind are told so."""
        for kind, events in self._events.items():
            events.clear()
            self._versions[kind].clear()
            self._compacted[kind] = self.version

    # ---- watches ----------------------------------------------------------------------------

    def since(self, kind: str, version: int) -> list[tuple[int, bytes]]:
        """The events after a version; raises 410 when they are not known any more."""
        if version < self._compacted.get(kind, 0):
            raise Refused(410, "Expired")
        return self._events.get(kind, [])[bisect_right(self._versions.get(kind, []), version) :]

    async def change(self, kind: str) -> None:
        """Wait for the next event of a kind."""
        await self._waiting.setdefault(kind, asyncio.Event()).wait()

    # ---- requests ---------------------------------------------------------------------------

    def answer(self, request: Request) -> bytes:
        """Carry a request out; raises the error that its refusal is."""
        try:
            return self._answer(request)
        except Refused as refused:
            raise errors.of(refused.status, refused.body) from None

    def _answer(self, request: Request) -> bytes:
        if request.kind not in requests.PATHS:
            raise Refused(404, "NotFound")
        key, part = named(request)
        kind = request.kind
        body = decode(request.body) if request.body else {}
        if kind == "Event":
            return b"{}"
        match request.method, part:
            case "GET", _ if request.verb == "list":
                return self._list(kind)
            case "GET", _:
                self.copy(kind, key)
                return self._raw[kind, key]
            case "POST", "binding":
                return self._bind(key, body)
            case "POST", "":
                return self._create_pod(body, dry_run=("dryRun", "All") in request.query)
            case "DELETE", _:
                return self.delete(kind, key, body, request.verb)
            case "PATCH", "status" if kind != "Pod":
                return self._write_status(kind, key, body)
            case "PATCH", _:
                return self._patch_pod(key, body, request.verb)
        raise AssertionError(f"unexpected {request.method} {request.path}")

    def _list(self, kind: str) -> bytes:
        head = b'{"metadata":{"resourceVersion":"%d"},"items":[' % self.version
        return head + b",".join(self._raw[kind, key] for key in self.of(kind)) + b"]}"

    def _create_pod(self, body: Body, *, dry_run: bool) -> bytes:
        if dry_run:
            body["metadata"]["uid"] = "dry"
            return encode(body)
        body["status"] = {"phase": "Pending"}
        return self.create("Pod", body)

    def _bind(self, key: Key, body: Body) -> bytes:
        pod = self.copy("Pod", key)
        if pod["metadata"]["uid"] != body["metadata"]["uid"] or pod["spec"].get("nodeName"):
            raise Refused(409, "Conflict")
        if pod["metadata"].get("deletionTimestamp"):
            raise Refused(409, "Conflict")
        pod["spec"]["nodeName"] = body["target"]["name"]
        self.placed(pod)
        self.replace("Pod", key, pod, "bind")
        return b"{}"

    def placed(self, pod: Body) -> None:
        """A pod has got its node: what else the server writes on it."""

    def delete(self, kind: str, key: Key, options: Mapping[str, Any], verb: str) -> bytes:
        """Pods that run are given time; what runs nowhere goes at once, unless it is held."""
        body = self.copy(kind, key)
        metadata = body["metadata"]
        wanted = options.get("preconditions", {}).get("uid", metadata["uid"])
        if wanted != metadata["uid"]:
            raise Refused(409, "Conflict")
        grace = 0
        if kind == "Pod" and body["spec"].get("nodeName") and not is_terminal(body):
            grace = options.get("gracePeriodSeconds", GRACE_SECONDS)
        if metadata.get("deletionGracePeriodSeconds", grace + 1) <= grace:
            return self._raw[kind, key]
        metadata["deletionTimestamp"] = rfc3339(self.now() + grace)
        metadata["deletionGracePeriodSeconds"] = grace
        return self.replace(kind, key, body, verb)

    def _write_status(self, kind: str, key: Key, patch: Body) -> bytes:
        body = self.copy(kind, key)
        if patch["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Refused(409, "Conflict")
        before = body.get("status", {}).get("lastSlotTime", "")
        body["status"] = merged(body.get("status", {}), patch["status"])
        if body["status"].get("lastSlotTime", "") < before:
            raise Refused(422, "Invalid", "lastSlotTime never goes back")
        return self.replace(kind, key, body, "status")

    def _patch_pod(self, key: Key, patch: Body, verb: str) -> bytes:
        body = self.copy("Pod", key)
        metadata = body["metadata"]
        if patch["metadata"]["uid"] != metadata["uid"]:
            raise Refused(422, "Invalid", field="metadata.uid")
        gone = patch["metadata"].get("$deleteFromPrimitiveList/finalizers", ())
        if gone:
            metadata["finalizers"] = [
                one for one in metadata.get("finalizers", ()) if one not in gone
            ]
        told = patch.get("status", {})
        if told:
            status = body["status"]
            status["conditions"] = told["conditions"]
            status["nominatedNodeName"] = told.get("nominatedNodeName")
        return self.replace("Pod", key, body, verb)


def is_terminal(pod: Mapping[str, Any]) -> bool:
    return pod["status"]["phase"] in {"Succeeded", "Failed"}


def named(request: Request) -> tuple[Key, str]:
    """The object a path names, and the subresource."""
    words = request.path.split("/")
    plural = requests.PATHS[request.kind][1]
    at = words.index(plural)
    space = words[at - 1] if words[at - 2 : at - 1] == ["namespaces"] else ""
    rest = [*words[at + 1 :], "", ""]
    return (space, rest[0]), rest[1]


def merged(old: Mapping[str, Any], patch: Mapping[str, Any]) -> Body:
    """RFC 7386."""
    found = {name: value for name, value in old.items() if patch.get(name, value) is not None}
    for name, value in patch.items():
        if isinstance(value, dict):
            before = found.get(name)
            found[name] = merged(before if isinstance(before, dict) else {}, value)
        elif value is not None:
            found[name] = value
    return found
