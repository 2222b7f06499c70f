"""Checks objects against Kubernetes' published schema: fields, types, required fields.

`tools/kubeschema.py` extracts these facts from the OpenAPI document of a release and writes them to
`kubernetes.json.gz`. Faults are those of strict decoding by the API server, which kubectl asks for:
unknown fields, values of another type, invalid amounts and times. Nulls count as absent. Only the
API server can check what else a field may hold.
"""

import datetime as dt
import functools
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from bayplan import units

Path = tuple[str | int, ...]
Node = Any  # the name of a scalar, `#name` of a type, `[node]` of a list, `{"": node}` of a map

POD_TEMPLATE = "#io.k8s.api.core.v1.PodTemplateSpec"
POD = "#io.k8s.api.core.v1.PodSpec"
JOB = "#io.k8s.api.batch.v1.JobSpec"

REQUIRED = "is required; write it"
_BOUNDS = {"int32": 1 << 31, "int64": 1 << 63}
_QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Fault:
    """A place and what is wrong there; `shape`: it should be a list or an object, and is not."""

    path: Path
    message: str
    shape: bool = False


@dataclass(frozen=True, slots=True)
class Published:
    """The kinds of a release; `known` also has the kinds of older releases."""

    release: str
    known: frozenset[str]
    kinds: Mapping[str, str]  # apps/v1/Deployment -> name of its type
    types: Mapping[str, Mapping[str, Any]]


@functools.cache
def load() -> Published:
    """The content of the packaged file, which is read once."""
    packed = resources.files("bayplan.manifests").joinpath("kubernetes.json.gz").read_bytes()
    read = json.loads(gzip.decompress(packed))
    return Published(read["release"], frozenset(read["known"]), read["kinds"], read["types"])


def node_of(body: Mapping[str, Any]) -> Node | None:
    """The type of an object by its apiVersion and kind; None if the release has no such kind."""
    name = load().kinds.get(f"{body.get('apiVersion')}/{body.get('kind')}")
    return None if name is None else f"#{name}"


def faults(node: Node, value: Any, path: Path = ()) -> Iterator[Fault]:
    """All faults of a value of this type."""
    if value is None or node == "any":
        return
    match node, value:
        case list(), list():
            for index, one in enumerate(value):
                where = (*path, index)
                if one is None and isinstance(node[0], str) and node[0].startswith("#"):
                    yield Fault(where, "must be an object, is null; remove it", shape=True)
                yield from faults(node[0], one, where)
        case dict(), dict():
            for key, one in value.items():
                yield from faults(node[""], one, (*path, key))
        case str(), dict() if node.startswith("#"):
            yield from _object(node[1:], value, path)
        case str(), _ if not node.startswith("#"):
            message = _scalar(node, value)
            if message:
                yield Fault(path, message)
        case _:
            wanted = "a list" if isinstance(node, list) else "an object"
            yield Fault(path, f"must be {wanted}, is {units.shown(value)}", shape=True)


def _object(name: str, value: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    known = load().types[name]
    fields: Mapping[str, Node] = known["fields"]
    for key in known["required"]:
        if value.get(key) is None:
            yield Fault((*path, key), REQUIRED)
    for key, one in value.items():
        if key in fields:
            yield from faults(fields[key], one, (*path, key))
        else:
            release = load().release
            message = f"no such field in Kubernetes {release}{_meant(key, fields)}"
            yield Fault((*path, key), message)


def _meant(key: str, fields: Mapping[str, Node]) -> str:
    import difflib  # only needed for a mistyped field

    lower = {field.lower(): field for field in fields}
    near = difflib.get_close_matches(key.lower(), lower, 1)
    return f"; is {lower[near[0]]!r} meant?" if near else "; remove it"


def _scalar(node: str, value: Any) -> str:
    """What is wrong with a scalar; empty if nothing is."""
    shown = units.shown(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match node:
        case "text" if not isinstance(value, str):
            plain = isinstance(value, bool | int | float)
            remedy = f'; write it in quotes: "{_spelt(value)}"' if plain else ""
            return f"must be text, is {shown}{remedy}"
        case "boolean" if not isinstance(value, bool):
            return f"must be true or false, is {shown}"
        case "number" if not number:
            return f"must be a number, is {shown}"
        case "integer or text" if not (isinstance(value, str) or _whole(value)):
            return f"must be a whole number or text, is {shown}"
        case "quantity" if not (number or _matches(_QUANTITY, value)):
            return f"{shown} is not a quantity; write a quantity such as 500m or 2Gi"
        case "time" if not (isinstance(value, str) and _is_time(value)):
            return f"{shown} must be a time such as 2026-01-31T06:00:00Z"
    return _of_width(node, value) if node in _BOUNDS else ""


def _of_width(node: str, value: Any) -> str:
    shown = units.shown(value)
    if not _whole(value):
        return f"must be a whole number, is {shown}"
    beyond = not -_BOUNDS[node] <= value < _BOUNDS[node]
    return f"{shown} does not fit into {node}" if beyond else ""


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _spelt(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _whole(value: Any) -> bool:
    """Whether a number is whole; in Kubernetes' JSON 1.0 is."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and value.is_integer())


def _is_time(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
