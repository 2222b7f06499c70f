"""Finds offline what an API server would refuse in a resource, by its schema and CEL rules.

The schema is built from the same models as the definitions in `crds/`. Messages are the API
server's own if they are clear. Transition rules (`oldSelf`) need the stored object, so only the
server can check them.
"""

import datetime as dt
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import re2

from bayplan import units
from bayplan.api import crds, kinds
from bayplan.api.structural import Schema
from bayplan.cli.lint import cel_rules

Path = tuple[str | int, ...]

_RULES = "x-kubernetes-validations"
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_INT_OR_STRING = "x-kubernetes-int-or-string"


@dataclass(frozen=True, slots=True)
class Fault:
    """A place in an object, and what is wrong there."""

    path: Path
    message: str


@functools.cache
def schema_of(kind: str) -> Schema:
    """The schema of a whole object without its status: manifests have no status."""
    [version] = crds.definition(kinds.DEFINED_BY_NAME[kind])["spec"]["versions"]
    whole: Schema = version["schema"]["openAPIV3Schema"]
    properties = {key: one for key, one in whole["properties"].items() if key != "status"}
    return {**whole, "properties": properties}


def faults(kind: str, body: Mapping[str, Any]) -> list[Fault]:
    """All faults that the API server would report; rules run only if the schema finds none."""
    schema = schema_of(kind)
    whole = {key: value for key, value in body.items() if key != "status"}
    found = list(_shape(schema, whole, ()))
    return found or list(_rules(schema, _filled(schema, _named(whole)), ()))


def _named(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object with a name, because every object has a name when the server runs rules."""
    about = body.get("metadata")
    if not isinstance(about, dict) or about.get("name"):
        return body
    return {**body, "metadata": {**about, "name": f"{about.get('generateName') or ''}x"}}


def dotted(path: Path) -> str:
    """A path as text, such as `spec.schedules[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shape(schema: Schema, value: Any, path: Path) -> Iterator[Fault]:
    if schema.get(_INT_OR_STRING):
        yield from _int_or_string(schema, value, path)
        return
    match schema["type"], value:
        case "object", dict():
            yield from _object(schema, value, path)
        case "array", list():
            yield from _list(schema, value, path)
        case "string", str():
            yield from _text(schema, value, path)
        case "integer", int() if not isinstance(value, bool):
            yield from _number(schema, value, path)
        case "boolean", bool():
            pass
        case kind, _:
            yield Fault(path, f"must be of type {kind}, is {units.shown(value)}")


def _int_or_string(schema: Schema, value: Any, path: Path) -> Iterator[Fault]:
    if isinstance(value, str):
        yield from _text(schema, value, path)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from _number(schema, value, path)
    else:
        yield Fault(path, f"must be of type integer,string, is {units.shown(value)}")


def _object(schema: Schema, value: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    known: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for key in schema.get("required", ()):
        if key not in value:
            yield Fault((*path, key), "Required value")
    if len(value) > schema.get("maxProperties", len(value)):
        yield Fault(path, f"must have at most {schema['maxProperties']} items")
    for key, inner in value.items():
        where = (*path, key)
        if inner is None:
            # The server drops nulls of unknown fields and of fields with a default.
            if key in known and "default" not in known[key]:
                yield Fault(where, f"must be of type {known[key].get('type', 'integer,string')}, "
                            "is null; remove it")  # fmt: skip
        elif key in known:
            yield from _shape(known[key], inner, where)
        elif others is not None:
            yield from _shape(others, inner, where)
        elif not schema.get(_PRESERVE) and path != ("metadata",):
            yield Fault(where, f'unknown field "{dotted(where)}"{_meant(key, known)}')


def _meant(key: str, known: Mapping[str, Schema]) -> str:
    import difflib  # only needed for a mistyped field

    near = difflib.get_close_matches(key, known, 1)
    return f"; is {near[0]!r} meant?" if near else ""


def _list(schema: Schema, value: list[Any], path: Path) -> Iterator[Fault]:
    if len(value) < schema.get("minItems", 0):
        yield Fault(path, f"should have at least {schema['minItems']} items")
    if len(value) > schema["maxItems"]:
        yield Fault(path, f"must have at most {schema['maxItems']} items")
        return
    for index, inner in enumerate(value):
        yield from _shape(schema["items"], inner, (*path, index))
    seen: list[Any] = []
    for index, inner in enumerate(value):
        mark = _mark(schema, inner)
        if mark is not None and mark in seen:
            yield Fault((*path, index), f"Duplicate value: {units.shown(mark)}")
        seen.append(mark)


def _mark(schema: Schema, inner: Any) -> Any:
    """The part of an item that must be unique in a list of this type; None if nothing is."""
    match schema["x-kubernetes-list-type"]:
        case "set":
            return inner
        case "map" if isinstance(inner, dict):
            items = schema["items"]["properties"]
            keys = schema["x-kubernetes-list-map-keys"]
            return {key: inner.get(key, items[key].get("default")) for key in keys}
    return None


def _text(schema: Schema, value: str, path: Path) -> Iterator[Fault]:
    if "enum" in schema and value not in schema["enum"]:
        words = ", ".join(f'"{one}"' for one in schema["enum"])
        yield Fault(path, f"{units.shown(value)}: supported values: {words}")
    elif len(value) < schema.get("minLength", 0):
        yield Fault(path, f"should be at least {schema['minLength']} chars long")
    elif len(value) > schema.get("maxLength", len(value)):
        yield Fault(path, f"may not be more than {schema['maxLength']} bytes")
    elif "pattern" in schema and not re2.search(schema["pattern"], value):
        yield Fault(path, f"{units.shown(value)} should match {schema['pattern']!r}")
    elif schema.get("format") == "date-time" and not _is_time(value):
        yield Fault(path, f"{units.shown(value)} must be a time such as 2026-01-31T06:00:00Z")


def _is_time(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _number(schema: Schema, value: int, path: Path) -> Iterator[Fault]:
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    if value < low:
        yield Fault(path, f"{value} should be greater than or equal to {low}")
    elif value > high:
        yield Fault(path, f"{value} should be less than or equal to {high}")


def _filled(schema: Schema, value: Any) -> Any:
    """The value with the defaults that the API server stores before it runs rules."""
    if isinstance(value, list) and "items" in schema:
        return [_filled(schema["items"], inner) for inner in value]
    if not isinstance(value, dict):
        return value
    known: Mapping[str, Schema] = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    filled = {
        key: _filled(known.get(key, others), inner)
        for key, inner in value.items()
        if inner is not None
    }
    defaults = {key: one["default"] for key, one in known.items() if "default" in one}
    return {**defaults, **filled}


def _rules(schema: Schema, value: Any, path: Path) -> Iterator[Fault]:
    for rule in schema.get(_RULES, ()):
        new = rule.get("optionalOldSelf") or "oldSelf" not in rule["rule"]
        if new and not cel_rules.holds(rule["rule"], value):
            at = rule.get("fieldPath", "").removeprefix(".")
            yield Fault((*path, *filter(None, at.split("."))), rule["message"])
    if isinstance(value, list) and "items" in schema:
        for index, inner in enumerate(value):
            yield from _rules(schema["items"], inner, (*path, index))
    if isinstance(value, dict):
        others = schema.get("additionalProperties", {})
        for key, inner in value.items():
            yield from _rules(schema.get("properties", {}).get(key, others), inner, (*path, key))
