"""How Kubernetes spells what all kinds share: metadata, owners, times, amounts, selectors.

Structs name only the fields we read; all other fields are skipped in C. Readings of raw bytes are
kept in bounded caches, so that content that many objects share is read once and held once.
"""

import functools
import logging
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from bayplan import logs, units
from bayplan.model import requirements, resources
from bayplan.model.pods import Owner

S = TypeVar("S")


class DecodeError(ValueError):
    """The bytes are not an object of the requested kind."""


class Struct(msgspec.Struct, rename="camel", gc=False):
    """Fields are camelCase on the wire. `gc=False`: no Struct ever holds a cycle."""


class OwnerReference(Struct):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Metadata(Struct):
    name: str = ""
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Raw = Raw()
    annotations: Raw = Raw()
    owner_references: list[OwnerReference] | None = None
    finalizers: list[str] | None = None


class Meta(Struct):
    """Any object, if only its metadata matters."""

    metadata: Metadata


class Expression(Struct):
    key: str
    operator: str
    values: list[str] | None = None


class NodeTerm(Struct):
    match_expressions: list[Expression] | None = None
    match_fields: list[Expression] | None = None


class LabelSelector(Struct):
    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """One sight of an object. `version` orders the sights of a kind (resourceVersion; 0: none)."""

    namespace: str
    name: str
    uid: str
    version: int
    value: Any

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name


def sight(metadata: Metadata, value: Any, *, namespaced: bool = True) -> Seen:
    """A sight of the object that has this metadata."""
    return Seen(
        sys.intern(metadata.namespace or "default") if namespaced else "",
        metadata.name,
        metadata.uid or "",
        version_of(metadata.resource_version),
        value,
    )


def read(raw: bytes | Raw, kind: type[S]) -> S:
    """Decode strictly, which is fast; read odd bytes once more, slowly and leniently.

    In the lenient reading nulls count as absent and numbers may be quoted.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        loose = _without_nulls(msgspec.json.decode(raw))
        return msgspec.json.decode(msgspec.json.encode(loose), type=kind, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(str(error)) from error


def part(raw: bytes, kind: type[S]) -> S | None:
    """A part of an object; a part that cannot be read counts as absent and is logged."""
    if not raw or raw == b"null":
        return None
    try:
        return read(raw, kind)
    except DecodeError as error:
        complain("part of a pod", error)
        return None


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value if one is not None]
    return value


@functools.lru_cache(maxsize=4096)  # things that happen in the same second happen to many objects
def epoch(text: str | None) -> int | None:
    """Epoch seconds of RFC 3339 text; None for any other text. Fractions are dropped.

    A time at or before the epoch is None, too: a kubelet writes 1970-01-01T00:00:00Z as the start
    of a container that never started.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    at = int(moment.timestamp() // 1)
    return at if at > 0 else None


def version_of(text: str | None) -> int:
    """A resourceVersion as a number: it grows with every write (Kubernetes KEP-5504)."""
    return int(text) if text and text.isascii() and text.isdecimal() else 0


# A small cache is enough: lists are ordered by name, so that objects with equal labels follow each
# other. The labels of a run are its own and need not be kept after it has gone.
@functools.lru_cache(maxsize=2048)
def texts(raw: bytes) -> Mapping[str, str]:
    """Like `texts_once`, but one object for all equal mappings."""
    return texts_once(raw)


def texts_once(raw: bytes) -> Mapping[str, str]:
    """A mapping of strings; other values are left out."""
    try:
        found = msgspec.json.decode(raw) if raw else None
    except msgspec.DecodeError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        sys.intern(key): sys.intern(value) for key, value in found.items() if isinstance(value, str)
    }


@functools.lru_cache(maxsize=2048)
def owner(kind: str, name: str, uid: str) -> Owner:
    """An object's owner; one `Owner` for all pods of the same owner."""
    return Owner(kind, name, uid)


def controller(references: list[OwnerReference] | None) -> Owner | None:
    for one in references or ():
        if one.controller:
            return owner(one.kind, one.name, one.uid)
    return None


def maker(references: list[OwnerReference] | None) -> Owner | None:
    """The pod among the owners of a pod without a controller: it made this pod."""
    for one in references or ():
        if one.kind == "Pod":
            return owner(one.kind, one.name, one.uid)
    return None


def complain(what: str, error: object) -> None:
    """Callers sit behind a cache keyed by the bytes: the same oddity is logged once."""
    logs.say(logging.WARNING, "unreadable", what=what, error=error)


def amounts(found: Mapping[str, Any] | None) -> dict[str, int]:
    """Quantities as integers, at most `resources.MOST`; other values are left out and logged."""
    known: dict[str, int] = {}
    for name, value in (found or {}).items():
        # A person's YAML may hold 0.5: the shortest decimal text is what that person meant.
        text = repr(value) if isinstance(value, float | dict | list | None) else value
        try:
            known[name] = max(-resources.MOST, min(units.amount(name, text), resources.MOST))
        except units.TooLargeError:
            known[name] = resources.MOST
        except units.QuantityError as error:
            complain(f"quantity of {units.shown(name)}", error)
    return known


@functools.lru_cache(maxsize=4096)
def vector(raw: bytes) -> resources.Vector:
    """A resource list; one object for all equal lists."""
    try:
        found = msgspec.json.decode(raw, type=dict[str, Any] | None) if raw else None
    except msgspec.DecodeError as error:
        complain("resource list", error)
        found = None
    return resources.Vector(amounts(found))


def node_term(term: NodeTerm) -> requirements.Term:
    """A node selector term: all expressions must hold; a term without expressions matches nothing.

    A term also matches nothing if it has a value that no label can have, or too many or too few
    values (as in kubernetes/component-helpers, nodeaffinity).
    """
    labels = tuple(
        (one.key, requirements.requirement(one.operator, one.values or ()))
        for one in term.match_expressions or ()
    )
    name = requirements.ANYTHING
    for field in term.match_fields or ():
        wanted = requirements.requirement(field.operator, field.values or ())
        known = field.key == "metadata.name" and len(field.values or ()) == 1
        name = name & (wanted if known else requirements.NOTHING)
    sound = (labels or term.match_fields) and all(map(_is_sound, term.match_expressions or ()))
    return requirements.Term(labels, name, never=not sound)


_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
_LONGEST_VALUE = 63
_COUNTS = {"Exists": (0, 0), "DoesNotExist": (0, 0), "Gt": (1, 1), "Lt": (1, 1)}


def _is_sound(one: Expression) -> bool:
    values = one.values or ()
    fewest, most = _COUNTS.get(one.operator, (1, len(values)))
    return fewest <= len(values) <= most and all(
        len(value) <= _LONGEST_VALUE and _LABEL_VALUE.fullmatch(value) for value in values
    )


def selector_term(
    selector: LabelSelector | None,
    more: Mapping[str, str] | None = None,
    unlike: Mapping[str, str] | None = None,
) -> requirements.Term:
    """A label selector; an absent selector matches nothing, an empty selector everything.

    `more` are further labels that must be equal (matchLabelKeys), `unlike` are labels that must not
    be equal (mismatchLabelKeys). The API server writes both into the selector of a pod that it
    stores; expressions that are there already are not added again.
    """
    if selector is None:
        return requirements.Term(never=True)
    equal = {**(selector.match_labels or {}), **(more or {})}
    labels = [
        (key, requirements.requirement("In", [value])) for key, value in sorted(equal.items())
    ]
    labels += [
        (key, requirements.requirement("NotIn", [value]))
        for key, value in sorted((unlike or {}).items())
    ]
    stated = [
        (one.key, requirements.requirement(one.operator, one.values or ()))
        for one in selector.match_expressions or ()
    ]
    return requirements.Term((*labels, *(one for one in stated if one not in labels)))
