"""Reads YAML and JSON as the API server gets it, and remembers the line of each value.

Nothing is executed. Files that are too deep or too large, and recursive aliases, are refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from bayplan.inputs import InputError
from bayplan.manifests import yaml_text

Path_ = tuple[str | int, ...]

MOST_BYTES = 16 << 20
_DEEPEST = 64
_MOST_VALUES = 400_000
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Marked:
    """A document; `node` is its YAML node, which knows the lines, counted from 1."""

    file: str
    line: int
    body: Any
    node: yaml.Node

    def line_of(self, path: Path_) -> int:
        """The line of a value; if the file does not have it, the line of what encloses it."""
        line, node = self.line, self.node
        for part in path:
            found = _inside(node, part)
            if found is None:
                break
            line, node = found
        return line


def _inside(node: yaml.Node, part: str | int) -> tuple[int, yaml.Node] | None:
    """The line of a key or an item, and its value."""
    match node:
        case yaml.MappingNode():
            for key, inner in node.value:
                if key.value == part:
                    return key.start_mark.line + 1, inner
        case yaml.SequenceNode() if isinstance(part, int) and part < len(node.value):
            inner = node.value[part]
            return inner.start_mark.line + 1, inner
    return None


class UnreadableError(Exception):
    """A file is not YAML: the line, and what is wrong."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def texts(paths: tuple[str, ...], stdin: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files, of the files in folders, and of `-`, standard input."""
    for path in paths:
        if path == "-":
            yield "standard input", stdin.read(MOST_BYTES + 1)
            continue
        place = Path(path)
        files = [place]
        if place.is_dir():
            files = sorted(
                file for file in place.rglob("*") if file.suffix in _SUFFIXES and file.is_file()
            )
        for file in files:
            try:
                with file.open("rb") as stream:
                    yield str(file), stream.read(MOST_BYTES + 1)
            except OSError as error:
                raise InputError(str(file), error.strerror or "cannot be read") from error


def documents(file: str, text: bytes) -> Iterator[Marked]:
    """Each document of a file; raises UnreadableError."""
    if len(text) > MOST_BYTES:
        raise UnreadableError(1, f"larger than {MOST_BYTES >> 20} MiB")
    loader = None
    try:
        loader = yaml_text.Loader(text)
        while loader.check_node():
            node = loader.get_node()
            if node is None:
                break
            body = _Reading(loader).value(node, 0)
            yield Marked(file, node.start_mark.line + 1, body, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise UnreadableError(line, error.problem or "is not YAML") from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise UnreadableError(1, f"is not YAML: {error}") from error
    finally:
        if loader is not None:
            loader.dispose()


@dataclass(slots=True)
class _Reading:
    loader: Any
    values: int = 0

    def value(self, node: yaml.Node, depth: int) -> Any:
        self.values += 1
        if depth > _DEEPEST:
            raise UnreadableError(_line(node), f"nested deeper than {_DEEPEST} levels")
        if self.values > _MOST_VALUES:
            raise UnreadableError(_line(node), "too many values; does an alias repeat itself?")
        match node:
            case yaml.MappingNode():
                return self._mapping(node, depth)
            case yaml.SequenceNode():
                return [self.value(inner, depth + 1) for inner in node.value]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        said = set()
        for key_node, _ in node.value:
            text = self._key(node, key_node)
            if text in said:
                raise UnreadableError(_line(key_node), f"the key {text[:40]!r} is there twice")
            said.add(text)
        self.loader.flatten_mapping(node)
        # Merged keys come first, so that the mapping's own keys replace them.
        pairs = {self._key(node, key_node): (key_node, inner) for key_node, inner in node.value}
        node.value = list(pairs.values())
        return {text: self.value(inner, depth + 1) for text, (_, inner) in pairs.items()}

    def _key(self, node: yaml.MappingNode, key_node: yaml.Node) -> str:
        if key_node.tag in {_TEXT, _MERGE}:
            return str(key_node.value)
        key = self._scalar(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str | int | float | bool):
            raise UnreadableError(_line(node), "a key that is not text")
        return str(key).lower() if isinstance(key, bool) else str(key)

    def _scalar(self, node: yaml.Node) -> Any:
        if node.tag == _TEXT:
            return node.value
        scalar = self.loader.construct_object(node)
        if scalar is None or isinstance(scalar, str | int | float | bool):
            return scalar
        shown = f"a value that JSON cannot express: {str(scalar)[:40]!r}"
        raise UnreadableError(_line(node), shown)


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line + 1
    return line
