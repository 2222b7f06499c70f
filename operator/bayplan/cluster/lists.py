"""What lists and watches answer: chunks of a list, lines of a watch.

One unreadable object never fails a list: it is left out, counted and logged.
"""

import logging
from dataclasses import dataclass

import msgspec
from msgspec import Raw

from bayplan import logs
from bayplan.cluster import wire
from bayplan.cluster.decode import Kind
from bayplan.cluster.wire import DecodeError, Seen, Struct


class _ListMeta(Struct):
    resource_version: str | None = None
    token: str | None = msgspec.field(default=None, name="continue")


class _List(Struct):
    metadata: _ListMeta = msgspec.field(default_factory=_ListMeta)
    items: list[Raw] | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a list: the objects read, the names of unreadable objects, the next chunk's token.

    `whole` is False when some object's name could not be read either.
    """

    seen: tuple[Seen, ...]
    unreadable: tuple[tuple[str, str], ...]
    whole: bool
    version: str
    token: str


def chunk(kind: Kind, body: bytes) -> Chunk:
    try:
        found = msgspec.json.decode(body, type=_List)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"list of {kind.name}: {error}") from error
    seen: list[Seen] = []
    unreadable: list[tuple[str, str]] = []
    whole = True
    for raw in found.items or ():
        try:
            seen.append(kind.decode(raw))
        except Exception as error:  # noqa: BLE001  one object must not stop all the others
            logs.say(logging.WARNING, "unreadable", kind=kind.name, error=repr(error))
            try:
                meta = wire.read(raw, wire.Meta).metadata
                unreadable.append(wire.sight(meta, None, namespaced=kind.namespaced).key)
            except DecodeError:
                whole = False
    return Chunk(
        tuple(seen),
        tuple(unreadable),
        whole,
        found.metadata.resource_version or "",
        found.metadata.token or "",
    )


class Event(Struct):
    """A line of a watch: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR, and its object."""

    type: str = ""
    object: Raw = Raw()


_decode_event = msgspec.json.Decoder(Event).decode


def event(line: bytes) -> Event:
    try:
        return _decode_event(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"line of a watch: {error}") from error


class _Name(Struct):
    name: str = ""
    namespace: str | None = None
    resource_version: str | None = None


class _Named(Struct):
    metadata: _Name


_decode_named = msgspec.json.Decoder(_Named).decode


def named(kind: Kind, raw: Raw) -> tuple[tuple[str, str], int] | None:
    """The object's key and version, at a tenth of the cost of a full read; None when it is odd."""
    try:
        found = _decode_named(raw).metadata
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    namespace = (found.namespace or "default") if kind.namespaced else ""
    return (namespace, found.name), wire.version_of(found.resource_version)


def version(raw: Raw | bytes) -> str:
    """The resourceVersion of any object, as a bookmark carries it."""
    return wire.read(raw, wire.Meta).metadata.resource_version or ""
