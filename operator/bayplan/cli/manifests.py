"""Kubernetes objects from files, folders and standard input, as plain JSON values.

Whatever a file holds, it ends as a list of objects or as one line that says what is wrong. Nothing
is executed, no tag but YAML's own is known, aliases cannot multiply a small file into a large
object, and what is too deep or too large is refused.
"""

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from bayplan.cli.problem import BadInput

MOST_BYTES = 256 << 20
_MOST_VALUES = 20_000_000  # of one file, aliases counted each time they are used
_DEEPEST = 64
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Document:
    """One object and where it was read: `web.yaml` or `web.yaml[2]`."""

    where: str
    body: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.body.get("kind", ""))

    @property
    def name(self) -> str:
        return str(mapping(self.body.get("metadata")).get("name", ""))

    @property
    def called(self) -> str:
        """For messages: file, kind and name."""
        return f"{self.where}: {self.kind} {self.name}"


def documents(paths: Sequence[str], stdin: BinaryIO) -> list[Document]:
    """Every object of these files and folders (`-`: standard input), lists taken apart."""
    found: list[Document] = []
    for path in paths:
        for where, text in _texts(path, stdin):
            found.extend(_objects(where, text))
    if not found:
        named = ("standard input" if path == "-" else path for path in paths)
        raise BadInput(", ".join(named), "no Kubernetes object in it")
    return found


def mapping(value: object) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _texts(path: str, stdin: BinaryIO) -> Iterator[tuple[str, bytes]]:
    if path == "-":
        yield "standard input", _limited("standard input", stdin)
        return
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.suffix in _SUFFIXES)
        if not any(file.is_file() for file in files):
            raise BadInput(path, "no .yaml, .yml or .json file in this folder")
    else:
        files = [place]
    for file in files:
        if file.is_dir():
            continue
        try:
            with file.open("rb") as stream:
                yield str(file), _limited(str(file), stream)
        except OSError as error:
            raise BadInput(str(file), error.strerror or "cannot be read") from error


def _limited(where: str, stream: BinaryIO) -> bytes:
    text = stream.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise BadInput(where, f"larger than {MOST_BYTES >> 20} MiB")
    return text


def _objects(where: str, text: bytes) -> Iterator[Document]:
    try:
        loaded = [body for body in yaml.load_all(text, _Loader) if body is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise BadInput(f"{where}{at}", error.problem or "is no YAML") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(where, f"is no YAML: {error}") from error
    except (RecursionError, ValueError, OverflowError, TypeError) as error:
        raise BadInput(where, f"cannot be read: {error}") from error
    budget = _Budget(where)
    for index, body in enumerate(loaded):
        place = where if len(loaded) == 1 else f"{where}[{index + 1}]"
        yield from _flat(place, budget.plain(body, 0))


def _flat(where: str, body: object) -> Iterator[Document]:
    """An object, or the items of a list such as `kubectl get -o yaml` prints."""
    if not isinstance(body, dict):
        raise BadInput(where, "expected an object with apiVersion and kind")
    if str(body.get("kind", "")).endswith("List") and isinstance(body.get("items"), list):
        for index, item in enumerate(body["items"]):
            yield from _flat(f"{where}.items[{index}]", item)
        return
    if not isinstance(body.get("kind"), str) or not body["kind"]:
        raise BadInput(where, "no kind; expected an object with apiVersion and kind")
    yield Document(where, body)


@dataclass(slots=True)
class _Budget:
    """Copies what YAML built into plain JSON values, as long as it stays a sane size."""

    where: str
    values: int = 0

    def plain(self, value: Any, depth: int) -> Any:
        self.values += 1
        if depth > _DEEPEST:
            raise BadInput(self.where, f"nested deeper than {_DEEPEST} levels")
        if self.values > _MOST_VALUES:
            raise BadInput(self.where, "too many values; does an alias repeat itself?")
        match value:
            case None | bool() | str():
                return value
            case int():
                return value
            case float() if math.isfinite(value):
                return repr(value)  # quantities only have fractions, and they are text
            case dict():
                return {self._key(key): self.plain(one, depth + 1) for key, one in value.items()}
            case list():
                return [self.plain(one, depth + 1) for one in value]
            case dt.date():  # and datetime: YAML reads an unquoted time as one
                return value.isoformat()
        raise BadInput(self.where, f"a value that JSON has no word for: {str(value)[:40]!r}")

    def _key(self, key: object) -> str:
        if isinstance(key, str | int | float | bool):
            return str(key)
        raise BadInput(self.where, f"a key that is no text: {str(key)[:40]!r}")
